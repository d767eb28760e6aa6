"""What answers tell of the requests that are left."""

from __future__ import annotations

from pathlib import Path

from tests.virtual.loop import in_virtual_time
from tests.virtual.place import image_spec, placed

from gilder.azure.budgets import Budgets


def test_both_kinds_of_headers_are_read_and_nonsense_is_passed_over() -> None:
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
    assert budgets.tightest() == ("PutVMResource", 11)
    assert budgets.tightest(below=5) is None
    assert Budgets().tightest() is None


def test_a_run_learns_what_is_left(tmp_path: Path) -> None:
    async def main() -> dict[str, int]:
        async with placed(tmp_path) as place:
            await place.build([image_spec("image")])
            return place.arm.budgets.left

    left, _ = in_virtual_time(main)
    assert left["AttachDetachVMDisksResource"] == 10, "an attach and a detach of 12"
    assert left["CreateImagesSubscriptionMaximum"] == 59
