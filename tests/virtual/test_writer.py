"""The single writer in trouble: one bad disk, strangers, lost answers, throttling, another API, devices that do not come."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from benchmarks.peer import changes_vm
from tests.sweeps.cells import examined
from tests.sweeps.chance import random_cell
from tests.virtual import furnishing
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import COMPUTE, VM, Place, PretendedDevices, image_spec, placed

from gilder.azure.machines import Attachment, attach_and_detach, vm_view
from gilder.engine import RunOptions, Stopping
from gilder.model.errors import CloudError, Throttled
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Failed, Outcome
from gilder.model.spec import Caching
from gilder.model.tags import RUN
from gilder.runtime.filelock import in_line, nobody
from gilder.slots.blame import named
from gilder.slots.calls import DiskCalls
from gilder.slots.devices import Scenery
from gilder.slots.wishes import Attach
from localarm import mischief
from localarm.faults import Armed, Fault

BATCH = "virtualmachines/attachdetachdatadisks"


def answers(place: Place, method: str, ending: str) -> list[int]:
    """The statuses that requests to paths with this ending were answered with."""
    found = [entry for entry in place.application.audit if entry["method"] == method]
    return [entry["status"] for entry in found if entry["path"].lower().endswith(ending)]


async def built_with(place: Place, builds: int, *faults: Fault) -> tuple[list[Outcome], list[Armed]]:
    """Build while these faults strike; afterwards nothing may be left, mounted or torn away."""
    armed = [place.application.faults.add(fault) for fault in faults]
    outcomes = await place.build([image_spec(f"image{n}") for n in range(builds)])
    assert place.plugs.violations == []
    assert await place.journal.residues() == []
    return outcomes, armed


def fails_alone(tmp_path: Path, harm: Callable[[Place], bool]) -> Failed:
    """Build five while `harm` is tried until it succeeds; returns the one failure among them."""

    async def meddle(place: Place) -> None:
        while not harm(place):
            await anyio.sleep(0.01)

    async def main() -> Failed:
        async with placed(tmp_path) as place, anyio.create_task_group() as group:
            group.start_soon(meddle, place)
            outcomes, _ = await built_with(place, 5)
            group.cancel_scope.cancel()
            assert [type(outcome) for outcome in outcomes] == [Built, Built, Failed, Built, Built]
            assert place.left() == []
            # One for all, one without the bad one, and the detach: no search by halves.
            assert answers(place, "POST", "attachdetachdatadisks").count(200) <= 3
        failure = outcomes[2]
        assert isinstance(failure, Failed)
        return failure

    failure, _ = in_virtual_time(main)
    return failure


def test_a_disk_of_another_zone_fails_alone(tmp_path: Path) -> None:
    def moved(place: Place) -> bool:
        for disk in place.world.all("disks"):
            if "image2" in disk.name and disk.body["properties"].get("provisioningState") == "Succeeded":
                disk.body["zones"] = ["2"]
                return True
        return False

    assert "zone" in fails_alone(tmp_path, moved).error


def test_a_disk_that_somebody_deleted_fails_alone(tmp_path: Path) -> None:
    def deleted(place: Place) -> bool:
        for disk in place.world.all("disks"):
            if "image2" in disk.name and disk.body["properties"].get("provisioningState") == "Succeeded":
                place.world.remove(disk)
                return True
        return False

    assert "image2" in fails_alone(tmp_path, deleted).error


def test_an_unfit_half_of_a_batch_costs_the_other_half_nothing(tmp_path: Path) -> None:
    """Azure names one disk a refusal: found one by one, eight bad disks once wore out the patience for the good ones."""

    async def meddle(place: Place) -> None:
        moved: set[str] = set()
        while len(moved) < 8:
            for disk in place.world.all("disks"):
                if "bad" in disk.name and disk.body["properties"].get("provisioningState") == "Succeeded":
                    disk.body["zones"] = ["2"]
                    moved.add(disk.name)
            await anyio.sleep(0.01)

    async def main() -> None:
        async with placed(tmp_path) as place, anyio.create_task_group() as group:
            group.start_soon(meddle, place)
            outcomes = await place.build([image_spec(f"{kind}{n}") for n in range(8) for kind in ("bad", "good")])
            assert [type(outcome) for outcome in outcomes] == [Failed, Built] * 8
            assert all("in zone" in failed.error for failed in outcomes if isinstance(failed, Failed))
            assert place.left() == []
            assert answers(place, "POST", "attachdetachdatadisks") == [400, 200, 200]

    in_virtual_time(main)


def test_a_disk_that_another_vm_took_fails_alone(tmp_path: Path) -> None:
    """Azure's code for that, ConflictingUserInput, may also pass; so nobody looked, and all failed after six tries."""

    async def main() -> None:
        async with placed(tmp_path) as place, anyio.create_task_group() as group:

            async def meddle() -> None:
                while True:
                    for disk in place.world.all("disks"):
                        if "image1" in disk.name and disk.body["properties"].get("provisioningState") == "Succeeded":
                            disk.body["managedBy"] = f"{COMPUTE}/virtualMachines/other"
                            return
                    await anyio.sleep(0.01)

            group.start_soon(meddle)
            outcomes = await place.build([image_spec(f"image{n}") for n in range(3)])
            assert [type(outcome) for outcome in outcomes] == [Built, Failed, Built]
            assert answers(place, "POST", "attachdetachdatadisks") == [409, 200, 200]

    in_virtual_time(main)


def test_a_refusal_that_may_pass_wears_out_the_patience_for_its_own_disk_only(tmp_path: Path) -> None:
    message = (
        "Cannot attach data disk 'gilder-run1-image1-2-osdisk' to VM 'build-host' because the disk is currently being"
    )
    detached = {"status": 409, "code": "AttachDiskWhileBeingDetached", "message": f"{message} detached."}
    stubborn = Fault("refuse", "POST", BATCH, times=7, **detached)  # type: ignore[arg-type]  # a table of words

    async def main() -> None:
        async with placed(tmp_path) as place:
            outcomes, _ = await built_with(place, 3, stubborn)
            assert [type(outcome) for outcome in outcomes] == [Built, Failed, Built]
            assert place.left() == []

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Disk os-1 cannot be attached", True),
        ("Disk os-12 cannot be attached, nor my-os-1, os-1.2, os-1-a", False),
        ("'/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/OS-1' is owned", True),
        ("There is something wrong with os-1.", True),
    ],
)
def test_a_disk_is_named_by_its_whole_name(text: str, names: bool) -> None:
    wish = Attach(ArmId.parse(f"{COMPUTE}/disks/os-1"), Caching.NONE, 0.0)
    assert named(CloudError(text), [wish]) == [wish] * names


TROUBLES = {
    "dropped": Fault("drop", "POST", BATCH),
    "answer lost": Fault("lose", "POST", BATCH),
    "server error": Fault("refuse", "POST", BATCH, status=500),
    "somebody else writes": Fault(
        "refuse", "POST", BATCH, status=409, code="ConflictingConcurrentWriteNotAllowed", times=3
    ),
    "preempted": Fault("preempt", "POST", BATCH),
    "throttled": Fault("throttle", "POST", BATCH, seconds=40, times=2),
    "a stranger takes LUN 0": Fault("stranger-attaches", "POST", BATCH, lun=0),
    "the look before is stale": Fault("stale", "GET", "virtualmachines"),
    "the look before fails": Fault("refuse", "GET", "virtualmachines", status=503),
    "slow": Fault("delay", "POST", BATCH, seconds=70),
    "device late": Fault("device-late", "POST", BATCH, seconds=20),
}


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_passing_trouble_costs_no_image(tmp_path: Path, trouble: str, nth: int) -> None:
    """At the nth request that it is about, or the next at which it has an effect: no device comes late of a detach."""

    async def main(folder: Path, struck: Fault) -> bool:
        async with placed(folder, 4) as place:
            outcomes, (armed,) = await built_with(place, 9, struck)
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
            assert [name for name in place.left() if "stranger" not in name] == []
            return bool(armed.fired)

    def fires(nth: int) -> bool:
        folder = tmp_path / str(nth)
        folder.mkdir()
        return in_virtual_time(partial(main, folder, replace(TROUBLES[trouble], nth=nth)))[0]

    assert any(map(fires, (nth, nth + 1)))


@pytest.mark.parametrize("begins", [0.3, 15.0])
def test_a_stranger_who_writes_for_minutes_costs_no_image(tmp_path: Path, begins: float) -> None:
    """When the disks are to be attached, and when they are to be detached: the tries were used up within a minute."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place, anyio.create_task_group() as group:
            theirs = await furnishing.disk(place, "stranger")
            usual = place.world.lasts

            async def stranger() -> None:
                await anyio.sleep(begins)
                place.world.lasts = lambda kind: 300.0 if kind.startswith("vm.") else usual(kind)
                await attach_and_detach(place.arm, VM, [Attachment(theirs, 3, Caching.NONE)], [])
                place.world.lasts = usual

            group.start_soon(stranger)
            place.seconds = lambda build: 10.0
            outcomes, _ = await built_with(place, 3)
            assert 409 in answers(place, "POST", "attachdetachdatadisks"), "they met"
            assert [type(outcome) for outcome in outcomes] == [Built, Built, Built]
            assert place.left() == ["stranger"]

    in_virtual_time(main)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_slow_write_whose_answer_was_lost_is_waited_for(tmp_path: Path, nth: int) -> None:
    """Attach and detach: the next tries met it (409) until there were none left."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            usual = place.world.lasts
            place.world.lasts = lambda kind: 300.0 if kind.startswith("vm.") else usual(kind)
            outcomes, (lost,) = await built_with(place, 3, Fault("lose", "POST", BATCH, nth=nth))
            place.world.lasts = usual
            assert lost.fired
            assert [type(outcome) for outcome in outcomes] == [Built, Built, Built]
            assert answers(place, "POST", "attachdetachdatadisks") == [200, 200]
            assert place.left() == []

    in_virtual_time(main)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_a_stale_look_after_a_lost_answer_costs_no_image(tmp_path: Path, nth: int, times: int) -> None:
    """The disks were asked for again at other LUNs, and all were refused: a disk of that name is there already."""
    troubles = [Fault("lose", "POST", BATCH), Fault("stale", "GET", "virtualmachines", nth=nth, times=times)]

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            outcomes, _ = await built_with(place, 3, *troubles)
            assert [type(outcome) for outcome in outcomes] == [Built, Built, Built]
            assert 400 not in answers(place, "POST", "attachdetachdatadisks")
            assert place.left() == []

    in_virtual_time(main)


def test_a_stale_look_sends_its_detach_all_the_same(tmp_path: Path) -> None:
    """Two looks without it, and the disk counted as detached although nothing had been sent."""
    stale = Fault("stale", "GET", "virtualmachines", nth=3, times=2)

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            outcomes, _ = await built_with(place, 3, Fault("lose", "POST", BATCH), stale)
            assert [type(outcome) for outcome in outcomes] == [Built, Built, Built]
            assert [residue for outcome in outcomes for residue in outcome.residues] == []
            assert place.plugs.attached() == {}
            assert place.left() == []

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidResourceType"), (405, "MethodNotAllowed"), (501, "NotImplemented")]
)
def test_a_service_without_the_batch_call_gets_vm_updates(tmp_path: Path, status: int, code: str) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            outcomes, _ = await built_with(place, 6, Fault("refuse", "POST", BATCH, status=status, code=code, times=99))
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
            assert place.left() == []
            assert answers(place, "POST", "attachdetachdatadisks") == [status], "asked once, then known"
            assert set(answers(place, "PUT", "virtualmachines/build-host")) == {200}

    in_virtual_time(main)


async def in_a_long_run(place: Place, *faults: Fault) -> float:
    """Build so many that one budget does not do; returns the seconds it took."""
    start = anyio.current_time()
    outcomes, _ = await built_with(place, 120, *faults)
    assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
    assert place.left() == []
    return anyio.current_time() - start


def run_in(folder: Path, main: Callable[[Place], Awaitable[float]]) -> float:
    async def inside() -> float:
        folder.mkdir()
        async with placed(folder, 4) as place:
            return await main(place)

    took, _ = in_virtual_time(inside)
    return took


def test_a_long_run_draws_on_both_budgets(tmp_path: Path) -> None:
    async def both(place: Place) -> float:
        took = await in_a_long_run(place)
        assert 429 in answers(place, "POST", "attachdetachdatadisks")
        assert 200 in answers(place, "PUT", "virtualmachines/build-host")
        written = sum(changes_vm(request) for request in place.application.audit)
        assert written + place.writes.refused == place.writes.writes, "benchmarks count both"
        return took

    async def one(place: Place) -> float:
        forbidden = Fault("refuse", "PUT", "virtualmachines", status=403, code="AuthorizationFailed", times=99)
        took = await in_a_long_run(place, forbidden)
        assert answers(place, "PUT", "virtualmachines/build-host") == [403], "not asked again"
        return took

    assert run_in(tmp_path / "both", both) < run_in(tmp_path / "one", one)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidResourceType"), (405, "MethodNotAllowed"), (501, "NotImplemented")]
)
def test_without_either_call_builds_end_and_name_both_reasons(tmp_path: Path, status: int, code: str) -> None:
    """A role that grants only the disks, and a service that does not know their call any more: nobody's wait had an end."""
    denied = Fault("refuse", "PUT", "virtualmachines", status=403, code="AuthorizationFailed", times=999)
    throttled = Fault("throttle", "POST", BATCH, seconds=20)
    unknown = Fault("refuse", "POST", BATCH, status=status, code=code, nth=2, times=999)

    async def main(folder: Path, *faults: Fault) -> list[Outcome]:
        folder.mkdir()
        async with placed(folder, 4) as place:
            for fault in faults:
                place.application.faults.add(fault)
            with anyio.fail_after(3600):
                return await place.build([image_spec(f"image{n}") for n in range(6)])
        raise AssertionError("fail_after swallows nothing")

    once = replace(unknown, times=1)
    outcomes, _ = in_virtual_time(partial(main, tmp_path / "once", denied, throttled, once))
    assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
    outcomes, _ = in_virtual_time(partial(main, tmp_path / "ever", denied, throttled, unknown))
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert re.search(f"{code}, .*; nor may the VM be updated instead: .*AuthorizationFailed", outcome.error)


def test_a_cloud_without_etags_is_asked_again_after_a_throttle(tmp_path: Path) -> None:
    """It has one call only. Asked while that was throttled, the other counted as the one to wait for: for ever."""

    async def main() -> None:
        async with placed(tmp_path, newest_api="2023-09-01") as place:
            made = await furnishing.disk(place, "one")
            calls, view = DiskCalls(place.arm, VM), await vm_view(place.arm, VM)
            place.application.faults.add(Fault("throttle", "PUT", "virtualmachines", seconds=20))
            for _ in range(2):
                with pytest.raises(Throttled):
                    await calls.send(view, [Attachment(made, 0, Caching.NONE)], [])
            assert calls.wait() == pytest.approx(20, abs=1)
            await calls.send_in_time(view, [Attachment(made, 0, Caching.NONE)], [])

    in_virtual_time(main)


def test_a_device_that_never_comes_fails_one_image_and_its_lun_is_given_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            outcomes, _ = await built_with(place, 6, Fault("device-never", "POST", BATCH))
            failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
            assert failed
            assert len(failed) < len(outcomes)
            assert "LUN" in failed[0].error
            assert place.left() == []

    in_virtual_time(main)


def test_an_attach_that_nobody_saw_is_undone(tmp_path: Path) -> None:
    """Answers were lost and the look after them was stale: the writer gave the disk up, and it stayed attached."""
    troubles = [Fault("lose", "POST", BATCH, times=99), Fault("stale", "GET", "virtualmachines", nth=3)]

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            stopping = Stopping(lambda text: None)
            for fault in troubles:
                place.application.faults.add(fault)
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await anyio.sleep(13)
                    stopping.signalled("SIGINT")
                    place.application.faults.clear()

                group.start_soon(stop)
                await place.build([image_spec("image")], stopping=stopping)
                group.cancel_scope.cancel()
            assert place.plugs.attached() == {}
            assert place.left() == []

    in_virtual_time(main)


def test_builds_go_on_as_wide_as_the_vm_gets(tmp_path: Path) -> None:
    """A VM that others fill when a run begins once kept that run narrow to its end."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place, anyio.create_task_group() as group:
            for lun in range(4):
                mischief.stranger_attaches(place.world, lun)
            place.seconds = lambda build: 30.0

            async def leave() -> None:
                await anyio.sleep(60)
                for lun in range(4):
                    mischief.stranger_detaches(place.world, lun)

            for disk in place.world.all("disks"):
                disk.body.setdefault("tags", {})[RUN] = "other"  # so that the VM counts as one that gets free again
            group.start_soon(leave)
            widest = 0

            async def watch() -> None:
                nonlocal widest
                while True:
                    await anyio.sleep(1)
                    widest = max(widest, len(place.plugs.mounted))

            group.start_soon(watch)
            outcomes = await place.build([image_spec(f"image{n}") for n in range(8)])
            group.cancel_scope.cancel()
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
            assert widest == 4
            assert place.site is not None
            assert place.site.gauges().slots == 4

    in_virtual_time(main)


@pytest.mark.parametrize("early", [True, False])
def test_a_strangers_disk_that_may_not_be_read_costs_no_build(tmp_path: Path, early: bool) -> None:
    """The VM is full, and the disks of another gilder come free; whoever looked at all of them failed over the one."""

    def fill(place: Place) -> None:
        *theirs, strange = [mischief.stranger_attaches(place.world, lun).rpartition("/")[2] for lun in range(4)]
        for one in place.world.all("disks"):
            if one.name in theirs:
                one.body.setdefault("tags", {})[RUN] = "other"
        refused = Fault("refuse", "GET", "disks", strange, status=403, code="AuthorizationFailed", times=999)
        place.application.faults.add(refused)

    async def main() -> None:
        async with placed(tmp_path, 4) as place, anyio.create_task_group() as group:

            async def come_and_go() -> None:
                while not early and not any("image0" in one.name for one in place.world.all("disks")):
                    await anyio.sleep(0.01)
                if not early:
                    fill(place)
                await anyio.sleep(1200)
                mischief.stranger_detaches(place.world, 0)

            if early:
                fill(place)
            group.start_soon(come_and_go)
            outcomes, _ = await built_with(place, 1)
            group.cancel_scope.cancel()
            assert isinstance(outcomes[0], Built), outcomes

    in_virtual_time(main)


def test_two_processes_take_turns_at_a_full_vm(tmp_path: Path) -> None:
    """The one that had it took the lock again at once; the other was asleep between tries, and refused after ten minutes."""

    async def main() -> None:
        async with placed(tmp_path, 4) as ours:
            lock = tmp_path / "lock"
            ours.turn = lambda busy=nobody: in_line(lock, busy=busy)
            theirs = Place(ours.world, ours.application, ours.plugs, ours.arm, ours.journal, runs=iter([2]))
            theirs.turn = ours.turn
            ours.seconds = theirs.seconds = lambda build: 30.0
            ended: dict[str, float] = {}

            async def build(place: Place, name: str, builds: int) -> None:
                outcomes = await place.build([image_spec(f"{name}{n}") for n in range(builds)])
                assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
                ended[name] = anyio.current_time()

            async with anyio.create_task_group() as group:
                group.start_soon(build, ours, "ours", 40)
                await anyio.sleep(20)
                group.start_soon(build, theirs, "theirs", 4)
            assert ended["theirs"] < ended["ours"] / 2
            assert any("another gilder" in str(event) for event in theirs.events)
            assert ours.left() == []

    in_virtual_time(main)


@pytest.mark.parametrize("seed", [1009094, 1010220])
def test_nobody_waits_for_a_disk_of_this_run_that_could_not_be_detached(seed: int) -> None:
    """Strangers have the other LUNs; it counted as the disk of another gilder, and the run had no end."""
    assert examined(random_cell(seed)).violations == ()


def test_an_attach_that_may_not_be_followed_and_does_not_show_costs_no_disk() -> None:
    """The disk was deleted while it was being attached, and the VM was left with a disk that there is not."""
    assert examined(random_cell(1005998)).violations == ()


class Mistaken(PretendedDevices):
    """Devices whose second look is a mistake."""

    looks = 0

    def scenery(self, capacity: int) -> Scenery:
        self.looks += 1
        if self.looks == 2:
            raise ValueError("a mistake")
        return super().scenery(capacity)


class Failing(PretendedDevices):
    """Devices of which one fails to be looked at when it is to be gone."""

    failed = False

    def shows(self, lun: int) -> bool:
        if not Failing.failed and lun not in self._plugs.attached():
            Failing.failed = True
            raise OSError("a look that failed")
        return super().shows(lun)


def test_a_look_that_fails_leaves_no_lun_that_nobody_holds(tmp_path: Path) -> None:
    """The lease had ended and the LUN was not given back: the VM was one LUN narrower for the rest of the run."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.devices, Failing.failed = Failing, False
            await place.build([image_spec(f"image{number}") for number in range(8)])
            assert Failing.failed
            assert place.writer is not None
            assert place.writer.book.pool.leased == {}
            assert place.left() == []

    in_virtual_time(main)


def test_a_mistake_of_the_writer_fails_those_who_waited_and_no_others(tmp_path: Path) -> None:
    """It once ended the writer's task, without which nobody detaches."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.devices = Mistaken
            options = RunOptions(parallel_builds=1)
            failed, built = await place.build([image_spec("first"), image_spec("second")], options)
            assert isinstance(failed, Failed)
            assert failed.error == "ValueError: a mistake"
            assert isinstance(built, Built)
            assert place.left() == []

    in_virtual_time(main)
