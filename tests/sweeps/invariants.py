"""What must hold after every cell, whatever went wrong: the sentences that a violation completes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.localarm.invariants import check_world
from tests.sweeps.scene import Scene, mark_of
from tests.virtual.place import VM

from gilder.engine import Recovered
from gilder.model.events import Finished, LeftBehind, Said
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome
from gilder.model.spec import BuildSpec
from localarm.resources import Resource

OURS = "gilder-run"
"""How the names of temporary resources begin."""

WRITES = ("PUT", "POST", "PATCH", "DELETE")
STATUS = {Built: "built", Failed: "failed", Cancelled: "cancelled"}


@dataclass(frozen=True)
class Strangers:
    """What is not ours, as it was: resources with their contents, and disks in the machine by LUN with their numbers."""

    resources: dict[str, Any]
    plugged: dict[int, int]


def strangers(scene: Scene) -> Strangers:
    """What is not ours now."""
    found = {}
    for kind in scene.world.kinds():
        for resource in scene.world.all(kind):
            if not resource.name.startswith(OURS) and kind not in ("virtualmachines", "images"):
                found[resource.id] = (resource.body, resource.hidden)
    return Strangers(found, {lun: number for lun, number in scene.plugs.sequence.items() if lun in _foreign(scene)})


def products(spec: BuildSpec) -> list[ArmId]:
    """What a build is to make."""
    found = [spec.image_resource_id] if spec.image_resource_id else []
    if spec.shared_image_destination:
        found.append(spec.shared_image_destination.version_id(VM.subscription))
    return found


def resource(scene: Scene, id_: ArmId) -> Resource | None:
    """A resource of the cloud, None when there is none."""
    return scene.world.find("/".join(id_.types).lower(), str(id_))


def _foreign(scene: Scene) -> set[int]:
    return {entry["lun"] for entry in _entries(scene) if not _name(entry).startswith(OURS)}


def _entries(scene: Scene) -> list[dict[str, Any]]:
    machine = scene.world.find("virtualmachines", str(VM))
    assert machine is not None
    found: list[dict[str, Any]] = machine.properties["storageProfile"].get("dataDisks", [])
    return found


def _name(entry: dict[str, Any]) -> str:
    return str(entry["managedDisk"]["id"]).rpartition("/")[2]


def remains(scene: Scene) -> set[str]:
    """What of ours there is that only a build needs, as a person would name it."""
    found = {
        f"{kind.removesuffix('s')} {each.name}"
        for kind in ("disks", "snapshots")
        for each in scene.world.all(kind)
        if each.name.startswith(OURS)
    }
    return found | {f"attachment {_name(entry)}" for entry in _entries(scene) if _name(entry).startswith(OURS)}


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
        there = [id_ for id_ in wanted if (found := resource(scene, id_)) is not None and found.state == "Succeeded"]
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
            if resource(scene, id_) is not None and id_.name not in said:
                yield f"{spec.name} is {STATUS[type(outcome)]}, and {id_.name} is there, which nothing says"
        if wanted and len(there) == len(wanted) and not outcome.residues:
            yield f"{spec.name} is {STATUS[type(outcome)]}, and all that it was to make is there"


def _remarks(scene: Scene, build: str) -> list[str]:
    return [event.text for event in scene.events if isinstance(event, Said) and event.build == build]


def _unlike_events(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    told = Counter((event.build, event.status) for event in scene.events if isinstance(event, Finished))
    meant = Counter((outcome.build, STATUS[type(outcome)]) for outcome in outcomes)
    # A build that never began ends without a word.
    for each in told.keys() | meant.keys():
        if told[each] != meant[each] and not (each[1] == "cancelled" and told[each] == 0):
            yield f"{each[0]} is told {told[each]} times as {each[1]}, and so ended {meant[each]} times"
    left = Counter((event.build, event.what) for event in scene.events if isinstance(event, LeftBehind))
    if left != Counter((outcome.build, residue.what) for outcome in outcomes for residue in outcome.residues):
        yield f"told as left behind: {sorted(left)}, and the outcomes say otherwise"


async def _unlike_journal(scene: Scene, outcomes: Sequence[Outcome]) -> list[str]:
    status = {build.name: build.status for build in await scene.record.builds("run1")}
    wrong = [
        f"{outcome.build} is {STATUS[type(outcome)]}, and the journal says {status.get(outcome.build)}"
        for outcome in outcomes
        if status.get(outcome.build, "cancelled") != STATUS[type(outcome)]
    ]
    told = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    noted = {f"{record.kind} {record.name}" for record in await scene.record.residues()}
    return [*wrong, *([f"told as left: {told}, noted: {noted}"] if told != noted else [])]


def _untold(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    said = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    for thing in sorted(remains(scene) - said):
        yield f"{thing} is there when the process ends, which nothing says"


def _lost_leases(scene: Scene, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """LUNs that the process still believes to be its own although the VM has no such disk."""
    pool = scene.writer._pool if scene.writer else None
    attached = {_name(entry) for entry in _entries(scene)}
    given_up = {residue.what.partition(" (")[0] for outcome in outcomes for residue in outcome.residues}
    for lun, disk in (pool.leased if pool else {}).items():
        if disk not in attached and f"attachment {disk}" not in given_up:
            yield f"LUN {lun} is still leased to {disk}"


async def broken(
    scene: Scene, specs: Sequence[BuildSpec], before: Strangers, recovered: Sequence[Recovered]
) -> list[str]:
    """What must hold in the end, after recovery, and does not."""
    return [
        *_leftovers(scene, recovered),
        *_harmed(scene, before),
        *_touched(scene, specs),
        *_published_wrong(scene, specs),
        *await _journal_in_the_end(scene, specs),
        *(f"on this machine: {what}" for what in scene.plugs.violations if not _torn_away(scene, what)),
        *(f"in the cloud: {what}" for what in scene.world.violations if not _strangers_doing(scene, what)),
        *_inconsistent(scene),
    ]


def _strangers_doing(scene: Scene, violation: dict[str, Any]) -> bool:
    return _stranger_detached(scene) and str(violation["law"]).startswith("detached")


def _torn_away(scene: Scene, violation: str) -> bool:
    """Whether somebody else took a mounted disk of ours: the same deed as seen from the machine."""
    return _stranger_detached(scene) and violation.endswith("was detached while mounted")


def _stranger_detached(scene: Scene) -> bool:
    return any("stranger-detaches" in entry.get("faults", ()) for entry in scene.application.audit)


def _leftovers(scene: Scene, recovered: Sequence[Recovered]) -> Iterator[str]:
    for thing in sorted(remains(scene)):
        yield f"{thing} is left after recovery"
    for each in recovered:
        yield from (f"recovery leaves {what}" for what in each.left)


def _harmed(scene: Scene, before: Strangers) -> Iterator[str]:
    now = strangers(scene)
    detached = _stranger_detached(scene)
    for id_, content in before.resources.items():
        if id_ not in now.resources:
            yield f"a stranger's {id_.rpartition('/')[2]} is gone"
        elif now.resources[id_] != content and not detached:
            yield f"a stranger's {id_.rpartition('/')[2]} has changed"
    if not detached and any(now.plugged.get(lun) != number for lun, number in before.plugged.items()):
        yield "a stranger's disk was taken from the machine"
    attached = {_name(entry) for entry in _entries(scene)}
    known = {id_.rpartition("/")[2] for id_ in before.resources}
    for disk in scene.world.all("disks"):  # those that came meanwhile
        if disk.name.startswith("stranger-") and not {disk.name} & (attached | known) and not detached:
            yield f"a stranger's {disk.name} was taken from the machine"


def _touched(scene: Scene, specs: Sequence[BuildSpec]) -> Iterator[str]:
    """Writes to what is not ours; and what was created again although it was there."""
    mine = {str(id_).lower() for spec in specs for id_ in products(spec)}
    machine = str(VM).lower()
    made: Counter[str] = Counter()
    for entry in scene.application.audit:
        path = str(entry["path"]).rstrip("/").lower()
        if entry["method"] not in WRITES or "/subscriptions/" not in path:
            continue
        name = path.rpartition("/")[2]
        if path not in (machine, f"{machine}/attachdetachdatadisks", *mine) and not name.startswith(OURS):
            yield f"{entry['method']} {path} is none of our business"
        if path in mine:
            made[path] += (entry["status"] == 201) - (entry["method"] == "DELETE" and entry["status"] in (200, 202))
    for path, times in made.items():
        if times > 1:
            yield f"{path.rpartition('/')[2]} was created {times} times more than deleted"


def _published_wrong(scene: Scene, specs: Sequence[BuildSpec]) -> Iterator[str]:
    for spec in specs:
        for id_ in products(spec):
            found = resource(scene, id_)
            if found is None:
                continue
            if found.state != "Succeeded":
                yield f"{id_.name} stays {found.state}"
            with scene.world.blobs.path(found.hidden["blobs"]["os"]).open("rb") as disk:
                begin = disk.read(64)
            if not begin.startswith(mark_of(spec.name)):
                yield f"{id_.name} does not have what {spec.name} made: it begins with {begin[:24]!r}"


async def _journal_in_the_end(scene: Scene, specs: Sequence[BuildSpec]) -> list[str]:
    """Where the journal, once recovered, tells otherwise of images than the cloud."""
    wrong = []
    records = {build.name: build for build in await scene.record.builds("run1")}
    for spec in specs:
        wanted = products(spec)
        there = {str(id_) for id_ in wanted if resource(scene, id_) is not None}
        record = records.get(spec.name)
        status, named = (record.status, set(record.artifacts)) if record else ("not begun", set())
        if (bool(wanted) and len(there) == len(wanted)) != (status == "built"):
            wrong.append(f"{len(there)} of {len(wanted)} of {spec.name} are there, and the journal says {status}")
        if status == "built" and named != there:
            wrong.append(f"the journal says that {spec.name} made {sorted(named)}")
        if status == "running":
            wrong.append(f"the journal says for ever that {spec.name} is running")
    return wrong + [f"the journal still has {record.kind} {record.name}" for record in await scene.record.residues()]


def _inconsistent(scene: Scene) -> Iterator[str]:
    try:
        check_world(scene.world)
    except AssertionError as error:
        yield f"the cloud is inconsistent: {error}"
