"""What is created is created once, and is there in the end, whatever passing trouble comes between."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sweeps.cells import Cell, examined
from tests.virtual.furnishing import id_of
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import placed

from gilder.azure.arm import THROTTLE_PATIENCE
from gilder.azure.disks import DiskPlan, Empty, create_disk, disk_facts
from gilder.model.errors import CloudError, Conflict, OperationFailed
from gilder.model.spec import DiskSku
from gilder.model.tags import BUILD, RUN
from localarm.faults import OPERATIONS, Fault, What

TROUBLES = {
    "dropped": Fault("drop", "PUT"),
    "answer lost": Fault("lose", "PUT"),
    "no answer": Fault("hang", "PUT"),
    "server error": Fault("refuse", "PUT", status=503, code="ServiceUnavailable"),
    "busy": Fault("refuse", "PUT", status=409, code="AnotherOperationInProgress", times=3),
    "preempted": Fault("preempt", "PUT"),
    "failed, retryable": Fault("fail", "PUT", code="RetryableError"),
    "answers lost twice": Fault("lose", "PUT", times=2),
}
"""By what a person would call it."""

KINDS = {"disks": "image", "snapshots": "image", "images": "image", "galleries/images/versions": "version"}
"""A resource, and the kind of build that creates it."""

WANTED = DiskPlan(
    id=id_of("disks", "wanted"),
    location="westeurope",
    zone="",
    source=Empty(),
    sku=DiskSku.STANDARD_LRS,
    size_gb=1,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_passing_trouble_costs_no_build(trouble: str, kind: str) -> None:
    cell = Cell(trouble, (KINDS[kind],), (replace(TROUBLES[trouble], kind=kind),), passing=True)
    found = examined(cell)
    assert found.fired
    assert not found.violations


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["lose", "drop"])
def test_an_answer_lost_after_a_long_queue_costs_no_build(what: What, kind: str) -> None:
    """The queue had used up the patience: the first lost answer counted as the last, and nobody looked."""
    queue = Fault("throttle", "PUT", kind, seconds=400, times=2)  # the first of them is not waited for
    lost = Fault(what, "PUT", kind, nth=3)
    for faults in ((queue, lost), (queue, lost, replace(queue, nth=4), replace(lost, nth=6))):
        found = examined(Cell("queue", (KINDS[kind],), faults, passing=True))
        assert found.fired
        assert not found.violations


def test_nothing_is_given_up_unseen() -> None:
    """Where patience ended with a lost answer, nobody looked whether the image was made."""
    drops = (Fault("drop", "PUT", "images"), Fault("drop", "PUT", "images", nth=4))
    queues = tuple(Fault("throttle", "PUT", "images", seconds=400, nth=n, times=2) for n in (2, 5))
    found = examined(Cell("lost", ("image",), (*drops, *queues, Fault("lose", "PUT", "images", nth=7)), passing=True))
    assert found.fired
    assert not found.violations


@pytest.mark.parametrize("queue", [30, 3000])
def test_queues_and_lost_answers_in_turn_end_some_day(tmp_path: Path, queue: int) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            for n in range(1, 400, 2):
                place.application.faults.add(Fault("throttle", "PUT", "disks", seconds=queue, nth=n))
                place.application.faults.add(Fault("drop", "PUT", "disks", nth=n + 1))
            with pytest.raises(CloudError):
                await create_disk(place.arm, WANTED)

    assert in_virtual_time(main)[1] < 3 * THROTTLE_PATIENCE


def test_a_read_without_an_answer_is_made_again() -> None:
    for nth in (1, 2, 3):
        found = examined(Cell("hang", ("image",), (Fault("hang", "GET", nth=nth),), passing=True))
        assert found.fired
        assert not found.violations


@pytest.mark.parametrize("nth", [1, 13, 25, 37, 46])
@pytest.mark.parametrize("status", [400, 404, 409])
@pytest.mark.parametrize("kind", ["image", "version"])
def test_what_the_cloud_refuses_to_tell_of_an_operation_is_seen_on_its_resource(
    kind: str, status: int, nth: int
) -> None:
    """It goes on: a build was lost, an attachment left, and a disk counted as gone that was not."""
    refused = Fault("refuse", "GET", OPERATIONS, status=status, code="NotFound", nth=nth, times=99)
    for fault in (refused, replace(refused, times=1)):
        found = examined(Cell("untold", (kind,), (fault,), passing=True))
        assert found.fired
        assert not found.violations


@pytest.mark.parametrize(
    "silent", [Fault("drop"), Fault("hang"), Fault("refuse", status=503), Fault("throttle", seconds=60)]
)
def test_an_operation_of_which_nothing_is_heard_any_more_is_seen_on_its_resource(silent: Fault) -> None:
    """Whoever waited for it waited for ever."""
    fault = replace(silent, method="GET", kind=OPERATIONS, nth=2, times=99_999)
    found = examined(Cell("silent", ("image", "version"), (fault,), within=8 * 3600.0))
    assert found.fired
    assert (found.violations, found.failed) == ((), 0)


@pytest.mark.parametrize("nth", [25, 45])
def test_a_network_that_never_comes_back_ends_the_build(nth: int) -> None:
    found = examined(Cell("cut", ("image",), (Fault("drop", nth=nth, times=99_999),)))
    assert (found.violations, found.failed) == ((), 1)


def test_an_image_is_finished_though_the_cloud_refuses_to_tell_of_it_in_the_recovery() -> None:
    dropped = Fault("drop", "PUT", "galleries/images/versions", times=99)
    refused = Fault("refuse", "GET", OPERATIONS, status=400, code="InvalidParameter", nth=3)
    found = examined(Cell("untold", ("version",), (dropped,), killed=288, recovering=(refused,), passing=True))
    assert found.fired
    assert not found.violations


def test_a_failure_that_does_not_pass_counts_at_once() -> None:
    found = examined(Cell("fail", ("image",), (Fault("fail", "PUT", "snapshots"),)))
    assert found.failed == 1
    assert sum(method == "PUT" and "/snapshots/" in path for method, path in found.requests) == 1


def test_the_first_failure_is_told_beside_the_last(tmp_path: Path) -> None:
    """What fails a second time may only be what the first failure left."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.application.faults.add(Fault("fail", "PUT", code="RetryableError", message="No space left."))
            place.application.faults.add(Fault("fail", "PUT", code="Boom", message="Not there.", nth=2))
            with pytest.raises(OperationFailed) as failed:
                await create_disk(place.arm, WANTED)
            assert re.search(
                r"^Not there\. \(Boom.*\nThe first try: No space left\. \(RetryableError", failed.value.message
            )

    in_virtual_time(main)


def test_a_lost_answer_does_not_make_a_strangers_disk_ours(tmp_path: Path) -> None:
    """Somebody made a disk of that name: the request was refused, and its answer lost."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            await create_disk(place.arm, replace(WANTED, tags={RUN: "theirs", BUILD: "theirs"}))
            before = await disk_facts(place.arm, WANTED.id)
            place.application.faults.add(Fault("refuse", "PUT", "disks", status=409, code="Conflict", nth=2, times=99))
            place.application.faults.add(Fault("drop", "PUT", "disks"))
            with pytest.raises(CloudError) as refused:
                await create_disk(place.arm, replace(WANTED, tags={RUN: "ours", BUILD: "ours"}))
            assert isinstance(refused.value, Conflict)
            assert await disk_facts(place.arm, WANTED.id) == before

    in_virtual_time(main)
