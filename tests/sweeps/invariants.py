"""What must hold after every cell, whatever went wrong: the sentences that a violation completes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from tests.localarm.invariants import check_world
from tests.sweeps.published import published_wrong
from tests.sweeps.scenarios import DATA_LUN
from tests.sweeps.scene import Scene
from tests.sweeps.standing import (
    OURS,
    Strangers,
    entries,
    harmed,
    name_of,
    products,
    remains,
    standing,
    strangers_detaches,
)
from tests.sweeps.watch import ours
from tests.virtual.place import VM

from gilder.build.products import plan_from, snapshots_of
from gilder.engine import Recovered
from gilder.model.events import Finished, LeftBehind, Said
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome
from gilder.model.spec import BuildSpec

WRITES = ("PUT", "POST", "PATCH", "DELETE")
STATUS = {Built: "built", Failed: "failed", Cancelled: "cancelled"}


async def untrue(scene: Scene, specs: Sequence[BuildSpec], outcomes: Sequence[Outcome]) -> list[str]:
    """Where what a process said when it ended is not how the world was then."""
    return [
        *_unlike_outcome(scene, specs, outcomes),
        *_unlike_events(scene, outcomes),
        *await _unlike_journal(scene, outcomes),
        *_untold(scene, outcomes),
        *_lost_leases(scene, outcomes),
    ]


def _unlike_outcome(scene: Scene, specs: Sequence[BuildSpec], outcomes: Sequence[Outcome]) -> Iterator[str]:
    for spec, outcome in zip(specs, outcomes, strict=True):
        wanted = products(spec)
        there = [id_ for id_ in wanted if (found := scene.resource(id_)) is not None and found.state == "Succeeded"]
        if isinstance(outcome, Built):
            if sorted(map(str, outcome.artifacts)) != sorted(map(str, wanted)):
                yield f"{spec.name} is built, and its artifacts are {outcome.artifacts}"
            for id_ in wanted:
                if id_ not in there:
                    yield f"{spec.name} is built, and {id_.name} is not there"
            continue
        if isinstance(outcome, Failed) and "mistake in gilder" in (outcome.hint or ""):
            yield f"{spec.name} failed by a mistake in gilder: {outcome.error}"
        said = f"{[residue.what for residue in outcome.residues]} {_remarks(scene, spec.name)}"
        for id_ in wanted:
            if scene.resource(id_) is not None and id_.name not in said:
                yield f"{spec.name} is {STATUS[type(outcome)]}, and {id_.name} is there, which nothing says"
        if wanted and len(there) == len(wanted) and not outcome.residues:
            yield f"{spec.name} is {STATUS[type(outcome)]}, and all that it was to make is there"


def _remarks(scene: Scene, build: str) -> list[str]:
    return [event.text for event in scene.events if isinstance(event, Said) and event.build == build]


def _unlike_events(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    told = Counter((event.build, event.status) for event in scene.events if isinstance(event, Finished))
    meant = Counter((outcome.build, STATUS[type(outcome)]) for outcome in outcomes)
    begun = {event.build for event in scene.events}  # a build that never began ends without a word
    for each in told.keys() | meant.keys():
        if told[each] != meant[each] and not (each[1] == "cancelled" and each[0] not in begun):
            yield f"{each[0]} is told {told[each]} times as {each[1]}, and so ended {meant[each]} times"
    left = Counter((event.build, event.what) for event in scene.events if isinstance(event, LeftBehind))
    if left != Counter((outcome.build, residue.what) for outcome in outcomes for residue in outcome.residues):
        yield f"told as left behind: {sorted(left)}, and the outcomes say otherwise"


async def _unlike_journal(scene: Scene, outcomes: Sequence[Outcome]) -> list[str]:
    status = {build.name: build.status for build in await scene.record.builds(scene.run)}
    wrong = [
        f"{outcome.build} is {STATUS[type(outcome)]}, and the journal says {status.get(outcome.build)}"
        for outcome in outcomes
        if status.get(outcome.build, "cancelled") != STATUS[type(outcome)]
    ]
    told = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    noted = {f"{record.kind} {record.name}" for record in await scene.record.residues(scene.run)}
    return [*wrong, *([f"told as left: {told}, noted: {noted}"] if told != noted else [])]


def _untold(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    said = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    for thing in sorted(remains(scene, scene.run) - said):
        yield f"{thing} is there when the process ends, which nothing says"


def _lost_leases(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """LUNs that the process still believes to be its own although the VM has no such disk."""
    book = scene.writer.book if scene.writer else None
    attached = {name_of(entry) for entry in entries(scene)}
    given_up = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    for lun, disk in (book.pool.leased if book and book.is_open else {}).items():
        if disk not in attached and f"attachment {disk}" not in given_up:
            yield f"LUN {lun} is still leased to {disk}"


async def unfinished(
    scene: Scene, specs: Sequence[BuildSpec], recovered: Sequence[Recovered], excused: Collection[str]
) -> list[str]:
    """Where recovery has not finished or removed all, or images are not what their builds made.

    `excused` are the old images (ids) of which recovery may say that they are gone, and nothing is in their place.
    """
    left = [f"recovery leaves {what}" for each in recovered for what in each.left]
    return [*left, *_lost(scene, specs, excused), *await wrongly_made(scene, specs)]


def harmless(scene: Scene, specs: Sequence[BuildSpec], before: Strangers) -> list[str]:
    """Where something is left, or something of somebody else's is not as it was."""
    return [
        *(f"{thing} is left in the end" for thing in sorted(remains(scene))),
        *harmed(scene, specs, before),
        *scene.watch.wrong,
        *_touched(scene, specs),
        *_sinned(scene),
        *_inconsistent(scene),
    ]


async def wrongly_made(scene: Scene, specs: Sequence[BuildSpec]) -> list[str]:
    """Where images are not what their builds made, or the journal, once recovered, tells otherwise of them."""
    return [*published_wrong(scene, specs), *await _journal_in_the_end(scene, specs)]


async def finishable(scene: Scene) -> list[ArmId]:
    """What a dead process was about to publish, and all snapshots of it are there."""
    found = []
    for records in (await scene.record.products(scene.run)).values():
        for record in records:
            if record.state not in ("held", "left"):
                continue
            plan = plan_from(record.data)
            snapshots = [scene.world.find("snapshots", str(id_)) for id_ in snapshots_of(plan)]
            if all(each is not None and ours(each) and each.state == "Succeeded" for each in snapshots):
                found.append(plan.id)
    return found


def _lost(scene: Scene, specs: Sequence[BuildSpec], excused: Collection[str]) -> Iterator[str]:
    """Images that were there before, and neither they nor what replaces them are there, which nothing says."""
    said: list[str] = []
    for outcome in scene.outcomes or ():  # what a dead process says, nobody hears
        said += [outcome.error] if isinstance(outcome, Failed) else []
        said += _remarks(scene, outcome.build)
    for id_ in (id_ for spec in specs for id_ in products(spec) if str(id_).lower() in scene.theirs):
        heard = said + scene.said if str(id_).lower() in excused else said
        if not standing(scene, str(id_)) and not any(f"what {id_} was before" in text for text in heard):
            yield f"the old {id_.name} is gone and no new one in its place, which nothing says"


def _sinned(scene: Scene) -> Iterator[str]:
    """Harm as the machine and the cloud have noted it. As often as a stranger took a disk, a mounted one of ours may be torn
    away; both see that."""
    taken = strangers_detaches(scene)
    torn = [what for what in scene.plugs.violations if what.endswith("was detached while mounted")]
    yield from (f"on this machine: {what}" for what in scene.plugs.violations if what not in torn)
    yield from (f"on this machine: {what}" for what in torn[taken:])
    used = [what for what in scene.world.violations if what["law"] == "detached-while-in-use"]
    yield from (f"in the cloud: {what}" for what in scene.world.violations if what not in used)
    yield from (f"in the cloud: {what}" for what in used[taken:])


def _touched(scene: Scene, specs: Sequence[BuildSpec]) -> Iterator[str]:
    """Writes to what is not ours; and what was created again although it was there."""
    mine = {str(id_).lower() for spec in specs for id_ in products(spec)}
    chosen = {str(id_).lower() for spec in specs for id_ in _chosen(spec)}
    machine = str(VM).lower()
    made, asked = Counter[str](), Counter[str]()
    calm = not any("faults" in entry for entry in scene.application.audit)
    for entry in scene.application.audit:
        path = str(entry["path"]).rstrip("/").lower()
        if entry["method"] not in WRITES or "/subscriptions/" not in path:
            continue
        name = path.rpartition("/")[2]
        usual = (machine, f"{machine}/attachdetachdatadisks", *mine, *chosen)
        if scene.by_others.knows(entry):
            continue
        if path not in usual and not name.startswith(OURS):
            yield f"{entry['method']} {path} is none of our business"
        if path in mine:
            put = entry["method"] == "PUT" and entry["status"] in (200, 201)
            gone = entry["method"] == "DELETE" and entry["status"] in (200, 202)
            # A build that was cancelled, and killed while it took its image back, is finished by recovery all the same.
            asked[path] = 0 if gone else asked[path] + put
            made[path] += (entry["status"] == 201) - gone
    for path, times in made.items():
        if times > 1:
            yield f"{path.rpartition('/')[2]} was created {times} times more than deleted"
    for path, times in asked.items():
        if calm and times > 1:
            yield f"{path.rpartition('/')[2]} was asked for {times} times, and nothing had gone wrong with the first"


def _chosen(spec: BuildSpec) -> list[ArmId | str]:
    """The ids of temporary resources that the template gives."""
    found: list[ArmId | None] = [spec.temporary_os_disk_id, spec.temporary_os_disk_snapshot_id]
    prefixes = (spec.temporary_data_disk_id_prefix, spec.temporary_data_disk_snapshot_id)
    return [id_ for id_ in found if id_ is not None] + [f"{prefix}{DATA_LUN}" for prefix in prefixes if prefix]


async def _journal_in_the_end(scene: Scene, specs: Sequence[BuildSpec]) -> list[str]:
    """Where the journal, once recovered, tells otherwise of images than the cloud."""
    wrong = []
    records = {build.name: build for build in await scene.record.builds(scene.run)}
    for spec in specs:
        wanted = products(spec)
        there = {str(id_) for id_ in wanted if scene.resource(id_) is not None}
        record = records.get(spec.name)
        status, named = (record.status, set(record.artifacts)) if record else ("not begun", set())
        if (bool(wanted) and len(there) == len(wanted)) != (status == "built"):
            wrong.append(f"{len(there)} of {len(wanted)} of {spec.name} are there, and the journal says {status}")
        if status == "built" and named != there:
            wrong.append(f"the journal says that {spec.name} made {sorted(named)}")
        if status == "running":
            wrong.append(f"the journal says for ever that {spec.name} is running")
    left = await scene.record.residues(scene.run)
    return wrong + [f"the journal still has {record.kind} {record.name}" for record in left]


def _inconsistent(scene: Scene) -> Iterator[str]:
    try:
        check_world(scene.world)
    except AssertionError as error:
        yield f"the cloud is inconsistent: {error}"
