"""The single writer in trouble: one bad disk, strangers, lost answers, throttling, another API, devices that do not come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed

from gilder.engine import Stopping
from gilder.model.outcomes import Built, Failed, Outcome
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
        return took

    async def one(place: Place) -> float:
        forbidden = Fault("refuse", "PUT", "virtualmachines", status=403, code="AuthorizationFailed", times=99)
        took = await in_a_long_run(place, forbidden)
        assert answers(place, "PUT", "virtualmachines/build-host") == [403], "not asked again"
        return took

    assert run_in(tmp_path / "both", both) < run_in(tmp_path / "one", one)


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
