"""What answers tell of the requests that are left."""

from __future__ import annotations

from pathlib import Path

import anyio
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import image_spec, placed

from gilder.azure.budgets import Budgets, Limit


async def test_both_kinds_of_headers_are_read_and_nonsense_is_passed_over() -> None:
    budgets = Budgets()
    budgets.note(
        {
            "x-ms-ratelimit-remaining-resource": "Microsoft.Compute/PutVMResource;11,Microsoft.Compute/PutVMMaximum;1499",
            "X-Ms-RateLimit-Remaining-Subscription-Writes": "199",
            "Content-Type": "application/json",
        }
    )
    budgets.note({"x-ms-ratelimit-remaining-resource": "Microsoft.Compute/Odd;many, ;,;3"})
    assert budgets.left == {"PutVMResource": 11, "PutVMMaximum": 1499, "subscription-writes": 199}


def test_what_has_come_back_since_the_last_answer_counts() -> None:
    async def main() -> None:
        budgets, images = Budgets(), Limit("CreateImagesSubscriptionMaximum", 60)
        assert budgets.now(images) is None
        budgets.note({"x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{images.name};4"})
        assert budgets.now(images) == 4
        for seconds, left in ((2, 4), (10, 7), (60, 24), (600, 60)):
            start = anyio.current_time()
            await anyio.sleep(seconds)
            assert budgets.now(images) == left
            budgets.note({"x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{images.name};4"})
            assert anyio.current_time() - start == seconds
        budgets.note({"x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{images.name};99"})
        assert budgets.now(images) == 99, "Azure knows its sizes better"

    in_virtual_time(main)


def test_the_writes_to_a_vm_are_those_of_both_calls(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await place.build([image_spec("one")])
            assert place.site is not None
            left = dict(place.site.gauges().requests)["VM writes"]
            place.arm.budgets.note({"x-ms-ratelimit-remaining-resource": "Microsoft.Compute/PutVMResource;7"})
            assert dict(place.site.gauges().requests)["VM writes"] == left + 7

    in_virtual_time(main)


def test_a_run_learns_what_is_left(tmp_path: Path) -> None:
    async def main() -> dict[str, int]:
        async with placed(tmp_path) as place:
            await place.build([image_spec("image")])
            return place.arm.budgets.left

    left, _ = in_virtual_time(main)
    assert left["AttachDetachVMDisksResource"] == 10, "an attach and a detach of 12"
    assert left["CreateImagesSubscriptionMaximum"] == 59
