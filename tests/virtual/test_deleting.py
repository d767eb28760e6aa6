"""Deleting what another process is deleting, or what somebody changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.sweeps.cells import Cell, examined
from tests.sweeps.chance import random_cell
from tests.virtual.furnishing import disk
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import placed

from gilder.azure.arm import PATIENCE, THROTTLE_PATIENCE
from gilder.azure.disks import delete_disk, disk_facts
from gilder.model.errors import CloudError, OperationFailed
from localarm.faults import Fault


def test_a_deletion_under_way_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            await place.arm.client(one.subscription).disks.begin_delete(one.resource_group, one.name, polling=False)
            await delete_disk(place.arm, one)
            assert await disk_facts(place.arm, one) is None

    in_virtual_time(main)


def test_a_change_that_the_state_does_not_show_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            fault = Fault("refuse", "DELETE", "disks", status=409, code="Conflict", times=2)
            refused = place.application.faults.add(fault)
            await delete_disk(place.arm, one)
            assert refused.fired == 2
            assert await disk_facts(place.arm, one) is None

    in_virtual_time(main)


@pytest.mark.parametrize("code", ["RetryableError", "OperationPreempted"])
def test_a_deletion_that_fails_in_passing_is_begun_again(tmp_path: Path, code: str) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            place.application.faults.add(Fault("fail", "DELETE", "disks", code=code, times=2))
            await delete_disk(place.arm, one)
            assert await disk_facts(place.arm, one) is None

    in_virtual_time(main)


def test_an_answer_lost_after_a_long_queue_leaves_nothing_behind(tmp_path: Path) -> None:
    """The queue had used up the patience, and the disk stayed."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            place.application.faults.add(Fault("throttle", "DELETE", "disks", seconds=400, times=2))
            place.application.faults.add(Fault("drop", "DELETE", "disks", nth=3))
            await delete_disk(place.arm, one)
            assert await disk_facts(place.arm, one) is None

    in_virtual_time(main)


def test_queues_and_lost_answers_in_turn_end_some_day(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            for n in range(1, 400, 2):
                place.application.faults.add(Fault("throttle", "DELETE", "disks", seconds=30, nth=n))
                place.application.faults.add(Fault("drop", "DELETE", "disks", nth=n + 1))
            with pytest.raises(CloudError):
                await delete_disk(place.arm, one)

    assert in_virtual_time(main)[1] < THROTTLE_PATIENCE + 2 * PATIENCE


def test_a_deletion_that_fails_for_good_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            failed = place.application.faults.add(Fault("fail", "DELETE", "disks", code="Boom", times=9))
            with pytest.raises(OperationFailed):
                await delete_disk(place.arm, one)
            assert failed.fired == 1

    in_virtual_time(main)


@pytest.mark.parametrize("kind", ["disks", "images"])
def test_a_stale_look_leaves_nothing_behind(kind: str) -> None:
    stale = Fault("stale", "GET", kind, nth=2 if kind == "images" else 1)
    failing = Fault("fail", "PUT", kind)
    found = examined(Cell("", ("image",), (failing, stale)))
    assert found.violations == ()
    assert found.failed == 1


@pytest.mark.parametrize("kind", ["disks", "snapshots"])
@pytest.mark.parametrize("name", ["image", "named"])
def test_a_deletion_that_finds_nothing_counts_only_if_nothing_is_there(name: str, kind: str) -> None:
    """Resource Manager may not know yet of what was created a moment ago: it was told as gone, and stayed for ever."""
    unknown = Fault("refuse", "DELETE", kind, status=404, code="ResourceNotFound")
    for fault in (unknown, replace(unknown, times=99)):
        found = examined(Cell("", (name,), (fault,), passing=fault.times == 1))
        assert found.fired
        assert found.violations == ()


def test_a_stale_look_after_a_cancellation_leaves_nothing_behind() -> None:
    assert examined(random_cell(1001787)).violations == ()
