"""Garbage collection by tags: what a live run holds, what is a stranger's, and what nobody holds any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.virtual.furnishing import definition, disk, gallery, id_of, version
from tests.virtual.loop import ageing, in_virtual_time
from tests.virtual.place import VM, Place, PretendedDevices, image_spec, no_turn, placed

from gilder.azure.clock import ServiceClock
from gilder.azure.disks import disk_facts
from gilder.azure.labels import Labelled, labelled, read_labelled, relabel
from gilder.azure.snapshots import SnapshotPlan, take_snapshot
from gilder.build.leases import KEPT, LEASE, TERM, Leases, lease_until
from gilder.cli.gc import done_lines
from gilder.engine import Collector, Here
from gilder.engine.gc import GRACE, judged
from gilder.model.errors import CloudError, GilderError
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built
from gilder.model.spec import GalleryVersion
from gilder.model.tags import BUILD, CREATED, HOST, RUN
from localarm.door_sdk import virtual_clock
from localarm.faults import ENDINGS, Fault, What

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
OTHER_VM = id_of("virtualMachines", "other-host")
HOURS = 3600.0
HERE = Here(VM, lambda run: "it lives" if run == "living" else "")


@pytest.fixture(autouse=True)
def tokens_age() -> Iterator[None]:
    with ageing(virtual_clock()):
        yield


def collector(place: Place, here: Here = HERE) -> Collector:
    return Collector(place.arm, here, PretendedDevices(place.plugs), no_turn)


async def collected(place: Place, here: Here = HERE) -> list[str]:
    """Collect in the place's group; the names of what went."""
    collecting = collector(place, here)
    done = await collecting.collect(await collecting.found(VM.subscription, [VM.resource_group]))
    return sorted(one.name for one in done.removed)


moments = st.one_of(
    st.just(""),
    st.just(KEPT),
    st.just("tomorrow"),
    st.just("2027-01-01T00:00:00"),
    st.integers(-40, 40).map(lambda hours: (NOW + timedelta(hours=hours)).isoformat()),
)
tags = st.fixed_dictionaries(
    {},
    optional={
        RUN: st.sampled_from(["run1", "living", ""]),
        BUILD: st.just("tiny"),
        HOST: st.sampled_from([str(VM), str(VM).upper(), str(OTHER_VM)]),
        CREATED: st.just("2027-01-01T00:00:00+00:00"),
        LEASE: moments,
        "team": st.just("ours"),
    },
)
resources = st.builds(
    Labelled,
    st.sampled_from([id_of("disks", "d"), id_of("snapshots", "s")]),
    tags,
    st.one_of(st.none(), st.integers(0, 100).map(lambda hours: NOW - timedelta(hours=hours))),
    st.sampled_from(["", "", str(VM), str(OTHER_VM)]),
    st.just(30),
)


@given(resources)
def test_garbage_is_only_what_every_rule_gives_up(resource: Labelled) -> None:
    verdict = judged(resource, NOW, HERE)
    assert (verdict is None) == (RUN not in resource.tags)
    if verdict is None or not verdict.garbage:
        assert verdict is None or verdict.why
        return
    told = resource.tags
    assert set(told) >= {RUN, BUILD, HOST, CREATED, LEASE}
    assert told[RUN] == "run1"
    assert datetime.fromisoformat(told[LEASE]) <= NOW - GRACE
    assert resource.created is None or resource.created <= NOW - timedelta(seconds=TERM)
    assert (
        resource.attached_to == "" or resource.attached_to == str(VM).lower() or told[HOST].lower() == str(VM).lower()
    )
    assert resource.attached_to != str(OTHER_VM)


def test_what_a_dead_run_left_is_garbage() -> None:
    ran_out = (NOW - timedelta(hours=1)).isoformat()
    told = {RUN: "run1", BUILD: "tiny", HOST: str(OTHER_VM), CREATED: "x", LEASE: ran_out}
    verdict = judged(Labelled(id_of("disks", "d"), told, None, "", 30), NOW, HERE)
    assert verdict is not None
    assert verdict.garbage
    assert verdict.why == "the lease of run run1 on other-host ran out 1 h ago"


@pytest.mark.parametrize("lease", [NOW + timedelta(hours=5), NOW - timedelta(hours=5)])
def test_of_a_run_that_died_here_nothing_is_said_to_live(lease: datetime) -> None:
    """It "may live" for as long as its lease ran, although this machine's journal and locks knew better."""
    here = Here(VM, lambda run: "run run1 is dead: gilder recover run1")
    told = {RUN: "run1", BUILD: "tiny", HOST: str(VM), CREATED: "x", LEASE: lease.isoformat()}
    verdict = judged(Labelled(id_of("disks", "d"), told, None, "", 30), NOW, here)
    assert verdict is not None
    assert (verdict.garbage, verdict.why) == (False, "run run1 is dead: gilder recover run1")
    kept = judged(Labelled(id_of("disks", "d"), told | {LEASE: KEPT}, None, "", 30), NOW, here)
    assert kept is not None
    assert kept.why == "it was kept on purpose (skip_cleanup)"


@pytest.mark.parametrize(
    ("attached_to", "host", "why"),
    [
        (OTHER_VM, OTHER_VM, f"it is attached to {OTHER_VM}: run gilder gc there"),
        (OTHER_VM, VM, f"it is attached to {OTHER_VM}: run gilder gc there"),
        (VM, OTHER_VM, "it is attached to this VM, and was made for a run of other-host: detach it first, if nobody "),
    ],
)
def test_why_an_attached_disk_stays_can_be_acted_on(attached_to: ArmId, host: ArmId, why: str) -> None:
    """Who ran it on the VM that the disk is attached to was told to run it there."""
    ran_out = (NOW - timedelta(hours=1)).isoformat()
    told = {RUN: "run1", BUILD: "tiny", HOST: str(host), CREATED: "x", LEASE: ran_out}
    verdict = judged(Labelled(id_of("disks", "d"), told, None, str(attached_to), 30), NOW, HERE)
    assert verdict is not None
    assert not verdict.garbage
    assert verdict.why.startswith(why)


async def lost(place: Place, name: str, host: ArmId = VM, *, tags: dict[str, str] | None = None) -> ArmId:
    """A disk of a run that died now."""
    made = await disk(place, name)
    await relabel(place.arm, made, whole(place, host) | (tags or {}))
    return made


def whole(place: Place, host: ArmId) -> dict[str, str]:
    """The tags of what a run makes now."""
    return {RUN: "lost", BUILD: "tiny", HOST: str(host), CREATED: "now", LEASE: lease_until(place.arm.clock.now())}


async def attached(place: Place, made: ArmId) -> int:
    """Attach a disk to this VM; returns its LUN."""
    from gilder.azure.machines import Attachment, vm_view
    from gilder.azure.operations import Usual, looks
    from gilder.model.spec import Caching
    from gilder.slots.calls import DiskCalls

    view = await vm_view(place.arm, VM)
    lun = min(set(range(8)) - view.luns)
    operation = await DiskCalls(place.arm, VM).send_in_time(view, [Attachment(made, lun, Caching.NONE)], [])
    await place.arm.finished(VM.subscription, operation, looks(Usual.CHANGE_DISKS))
    return lun


def test_garbage_goes_when_its_lease_has_run_out_and_strangers_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            before = {one.id for one in await labelled(place.arm, VM.subscription, VM.resource_group)}
            await disk(place, "stranger")
            await lost(place, "free")
            await lost(place, "of-another-vm", OTHER_VM)
            await lost(place, "kept", tags={LEASE: KEPT})
            await lost(place, "without-a-lease", tags={LEASE: ""})
            await lost(place, "of-a-living-run", tags={RUN: "living"})
            await attached(place, await lost(place, "plugged"))
            place.plugs.mounted.add(await attached(place, await lost(place, "mounted")))
            await attached(place, await lost(place, "plugged-by-another", OTHER_VM))
            assert await collected(place) == []
            await anyio.sleep(TERM)
            assert await collected(place) == [], "the grace"
            await anyio.sleep(1 * HOURS)
            assert await collected(place) == ["free", "of-another-vm", "plugged"]
            stays = {one.id for one in await labelled(place.arm, VM.subscription, VM.resource_group)} - before
            names = {"stranger", "kept", "without-a-lease", "of-a-living-run", "mounted", "plugged-by-another"}
            assert {one.name for one in stays} == names
            assert place.plugs.violations == []

    in_virtual_time(main)


def test_a_group_that_is_named_twice_is_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            made = await lost(place, "free")
            await anyio.sleep(TERM + 1 * HOURS)
            collecting = collector(place)
            found = await collecting.found(VM.subscription, [VM.resource_group, VM.resource_group.upper()])
            assert [one.resource.id for one in found] == [made]
            assert (await collecting.collect(found)).removed == (made,)

    in_virtual_time(main)


def test_what_may_not_be_read_holds_up_no_collection(tmp_path: Path) -> None:
    """One deny assignment, and nothing was ever collected."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            for name in ("first", "second", "third"):
                await lost(place, name)
            await anyio.sleep(TERM + 1 * HOURS)
            denied = Fault("refuse", "GET", "disks", name="second", status=403, code="AuthorizationFailed", times=9)
            place.application.faults.add(denied)
            collecting = collector(place)
            done = await collecting.collect(await collecting.found(VM.subscription, [VM.resource_group]))
            assert sorted(one.name for one in done.removed) == ["first", "third"]
            assert [one.name for one, _ in done.left] == ["second"]

    in_virtual_time(main)


def test_what_comes_back_to_life_between_the_look_and_the_deed_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            made = await lost(place, "sleeper")
            await anyio.sleep(TERM + 1 * HOURS)
            collecting = collector(place)
            found = await collecting.found(VM.subscription, [VM.resource_group])
            await relabel(place.arm, made, {LEASE: lease_until(place.arm.clock.now())})
            done = await collecting.collect(found)
            assert (done.removed, [one for one, _ in done.left]) == ((), [made])
            assert await disk_facts(place.arm, made) is not None

    in_virtual_time(main)


def test_what_one_look_does_not_show_is_not_told_as_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            made = await lost(place, "hidden")
            await anyio.sleep(TERM + 1 * HOURS)
            unseen = Fault("refuse", "GET", "disks", name="hidden", status=404, code="ResourceNotFound")
            place.application.faults.add(unseen)
            assert await collected(place) == ["hidden"]
            assert await disk_facts(place.arm, made) is None

    in_virtual_time(main)


@pytest.mark.parametrize("seed", range(4))
def test_a_collector_at_work_takes_nothing_from_live_builds(tmp_path: Path, seed: int) -> None:
    """Builds of up to two days whose data disks are never attached, and a collection about every hour on another VM."""
    rng = Random(seed)
    source = GalleryVersion(id_of("galleries/images/versions", "gallery/linux/2.0.0"))
    specs = [image_spec(f"image{n}").model_copy(update={"source": source}) for n in range(6)]
    long = {spec.name: rng.choice([60.0, rng.uniform(1, 48) * HOURS]) for spec in specs}

    async def main() -> None:
        async with placed(tmp_path) as place:
            place.seconds = long.__getitem__
            stranger = await disk(place, "stranger")
            await gallery(place)
            await definition(place)
            await version(place, "2.0.0", stranger, data={0: stranger})
            await lost(place, "garbage")
            taken: list[str] = []

            async def nightly() -> None:
                while True:
                    await anyio.sleep(rng.uniform(0.5, 1.5) * HOURS)
                    taken.extend(await collected(place, Here(OTHER_VM, lambda run: "")))

            async with anyio.create_task_group() as group:
                group.start_soon(nightly)
                outcomes = await place.build(specs)
                await anyio.sleep(TERM + 2 * HOURS)
                group.cancel_scope.cancel()
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
            assert taken == ["garbage"]
            assert place.left() == ["stranger"]
            assert await read_labelled(place.arm, stranger) is not None
            renewals = sum(entry["method"] == "PATCH" for entry in place.application.audit)
            assert renewals <= 1 + sum(4 * seconds / (TERM / 2) for seconds in long.values()), "a renewal is rare"

    in_virtual_time(main)


def test_a_renewal_that_fails_is_tried_again_and_fails_no_build(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            place.seconds = lambda build: 40 * HOURS
            for kind in ("disks", "snapshots"):
                place.application.faults.add(Fault("refuse", "PATCH", kind, times=3, status=403, code="Denied"))
            outcomes: list[object] = []

            async def build() -> None:
                outcomes.extend(await place.build([image_spec("slow")]))

            async with anyio.create_task_group() as group:
                group.start_soon(build)
                for _ in range(39):
                    await anyio.sleep(1 * HOURS)
                    for one in await labelled(place.arm, VM.subscription, VM.resource_group):
                        if LEASE in one.tags:
                            until = datetime.fromisoformat(one.tags[LEASE])
                            assert until > place.arm.clock.now() + timedelta(hours=5)
            assert isinstance(outcomes[0], Built), outcomes

    in_virtual_time(main)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("throttle", "PATCH", "disks", seconds=900, times=9),
        Fault("throttle", "GET", "disks", seconds=900, times=9),
        Fault("hang", "PATCH", "disks", times=9),
        Fault("refuse", "PATCH", "disks", status=503, times=400),
        Fault("delay", "PATCH", "disks", seconds=900),
    ],
    ids=lambda fault: f"{fault.what} {fault.method}",
)
def test_a_renewal_that_is_held_up_holds_up_no_deletion(tmp_path: Path, fault: Fault) -> None:
    """A build ended while its lease was renewed: its disk was told as left behind after ten minutes of waiting."""

    async def cell(folder: Path, before: float) -> None:
        async with placed(folder) as place:
            place.seconds = lambda build: 6 * HOURS - before
            place.application.faults.add(fault)
            (outcome,) = await place.build([image_spec("slow")])
            assert isinstance(outcome, Built), outcome
            assert outcome.residues == (), before
            assert outcome.seconds < 6 * HOURS - before + 60
            assert place.left() == []

    for before in (15, 5, -5, -60):
        folder = tmp_path / str(before)
        folder.mkdir()
        in_virtual_time(partial(cell, folder, before))


@pytest.mark.parametrize("kind", ["disk.delete", "vm.attachdetach"])
def test_what_the_cloud_never_ends_holds_up_no_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("gilder.engine.patience.PATIENCE", 1800.0)

    async def main() -> None:
        async with placed(tmp_path) as place:
            plugged = await lost(place, "plugged")
            await attached(place, plugged)
            await anyio.sleep(TERM + 1 * HOURS)
            lasts = place.world.lasts
            place.world.lasts = lambda what: 8 * HOURS if what.startswith(kind) else lasts(what)
            collecting = collector(place)
            begin = anyio.current_time()
            done = await collecting.collect(await collecting.found(VM.subscription, [VM.resource_group]))
            assert anyio.current_time() - begin < 2 * HOURS
            assert (done.removed, [one for one, _ in done.left]) == ((), [plugged])

    in_virtual_time(main)


def test_a_call_that_the_service_does_not_have_is_made_once(tmp_path: Path) -> None:
    """501 was repeated for five minutes like a service that is down."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            place.application.faults.add(Fault("refuse", "GET", "disks", status=501, code="NotImplemented", times=99))
            begin = anyio.current_time()
            with pytest.raises(CloudError, match="HTTP 501"):
                await collector(place).found(VM.subscription, [VM.resource_group])
            assert anyio.current_time() - begin < 5

    in_virtual_time(main)


def test_a_collection_that_is_stopped_knows_what_it_has_done(tmp_path: Path) -> None:
    """What was deleted already went unreported."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            await lost(place, "first")
            await lost(place, "endless")
            await anyio.sleep(TERM + 1 * HOURS)
            lasts, endless = place.world.lasts, iter([8 * HOURS])
            place.world.lasts = lambda what: next(endless, lasts(what)) if what == "disk.delete" else lasts(what)
            collecting = collector(place)
            found = await collecting.found(VM.subscription, [VM.resource_group])
            with anyio.move_on_after(1 * HOURS):
                await collecting.collect(found)
            assert list(done_lines(collecting.done, len(found))) == ["1 deleted, 0 left, 1 not finished"]

    in_virtual_time(main)


def test_a_renewal_that_never_ends_holds_up_no_other(tmp_path: Path) -> None:
    """The leases of all other resources of the run ran out meanwhile, and another VM could collect what it held."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            leases = Leases(place.arm, "lost")
            for name in ("first", "second"):
                leases.begun(await lost(place, name))
                await anyio.sleep(60)
            lasts, endless = place.world.lasts, iter([1000 * HOURS])
            place.world.lasts = lambda what: next(endless, lasts(what)) if what == "disk.update" else lasts(what)
            async with anyio.create_task_group() as group:
                group.start_soon(leases.run)
                await anyio.sleep(TERM + 3 * HOURS)
                found = await collector(place).found(VM.subscription, [VM.resource_group])
                assert [one.why for one in found if one.garbage] == []
                assert not list(endless), "the renewal that never ends was asked for"
                group.cancel_scope.cancel()

    in_virtual_time(main)


def test_the_lease_of_a_namesake_is_not_renewed(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            theirs = await lost(place, "chosen")
            before = await read_labelled(place.arm, theirs)
            leases = Leases(place.arm, "another run")
            leases.begun(theirs)
            with anyio.move_on_after(20 * HOURS):
                await leases.run()
            assert await read_labelled(place.arm, theirs) == before

    in_virtual_time(main)


async def test_the_clock_of_the_service_is_not_this_machines() -> None:
    class Answer:
        class http_response:  # noqa: N801 — the name in azure-core
            headers = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}  # noqa: RUF012 — never changed

    clock = ServiceClock()
    assert not clock.known
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    clock.on_response(None, Answer())  # type: ignore[arg-type] # only the headers are read
    assert clock.known
    assert NOW <= clock.now() < NOW + timedelta(minutes=1)


_FAULTS = ("refuse", "throttle", "drop", "lose", "delay", "hang", "fail", "cancel", "stale")
_STEPS = (("GET", "disks"), ("GET", "snapshots"), ("GET", "virtualmachines"), ("DELETE", "disks"), ("DELETE", "snapshots"),
          ("POST", "virtualmachines/attachdetachdatadisks"))  # fmt: skip


@pytest.mark.parametrize("what", _FAULTS)
def test_whatever_goes_wrong_strangers_stay_and_a_second_collection_finishes(tmp_path: Path, what: What) -> None:
    """Every kind of request that a collection makes × its first or second occurrence, each in a world of its own."""

    async def cell(folder: Path, method: str, kind: str, nth: int) -> None:
        async with placed(folder) as place:
            stranger = await disk(place, "stranger")
            await attached(place, await disk(place, "plugged-stranger"))
            await lost(place, "free")
            plugged = await lost(place, "plugged")
            await attached(place, plugged)
            snapshot = SnapshotPlan(
                id=id_of("snapshots", "shot"), disk=stranger, location="westeurope", tags=whole(place, VM)
            )
            await take_snapshot(place.arm, snapshot)
            await anyio.sleep(TERM + 1 * HOURS)
            place.application.faults.add(Fault(what, method, kind, nth=nth, status=500, seconds=20))
            removed: list[str] = []
            with suppress(GilderError):  # the listing failed: nothing was done
                removed += await collected(place)
            removed += await collected(place)
            assert {"free", "plugged", "shot"} <= set(removed)
            assert place.left() == ["stranger", "plugged-stranger"]
            assert place.plugs.violations == []

    first = _FAULTS.index(what) % 2
    aimed = [step for step in _STEPS if (step[0] == "GET") is (what == "stale") or what not in (*ENDINGS, "stale")]
    for number, (method, kind) in enumerate(aimed):
        nth = 1 + (number + first) % 2
        folder = tmp_path / str(number)
        folder.mkdir()
        in_virtual_time(partial(cell, folder, method, kind, nth))
