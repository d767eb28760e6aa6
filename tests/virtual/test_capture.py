"""The order of the capture: what may go on beside the snapshot, and what must wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed

from gilder.model.outcomes import Built
from gilder.model.spec import Caching
from localarm.faults import Fault, What


def moments(place: Place) -> dict[str, float]:
    """When each request of the build that changes something was first sent."""
    found: dict[str, float] = {}
    for entry in place.application.audit:
        kind = str(entry["path"]).rpartition("/providers/Microsoft.Compute/")[2].split("/")[0]
        if entry["method"] != "GET":
            found.setdefault(f"{entry['method']} {kind}", entry["time"])
            found[f"last {entry['method']} {kind}"] = entry["time"]
    return found


def built(tmp_path: Path, caching: Caching, *faults: Fault) -> tuple[dict[str, float], float, list[dict[str, Any]]]:
    """Build an image; when each request was sent, how long a snapshot takes, and what the cloud holds against the client."""

    async def main() -> tuple[dict[str, float], float, list[dict[str, Any]]]:
        async with placed(tmp_path) as place:
            for fault in faults:
                place.application.faults.add(fault)
            spec = image_spec("img").model_copy(update={"os_disk_cache_type": caching})
            assert [type(outcome) for outcome in await place.build([spec])] == [Built]
            assert place.left() == []
            return moments(place), place.world.lasts("snapshot.create.full"), place.world.violations

    return in_virtual_time(main)[0]


@pytest.mark.parametrize("caching", [Caching.NONE, Caching.READ_ONLY])
def test_the_detach_goes_on_beside_the_snapshot(tmp_path: Path, caching: Caching) -> None:
    sent, snapshot, violations = built(tmp_path, caching)
    detach = sent["last POST virtualMachines"]
    assert sent["PUT snapshots"] < detach < sent["PUT snapshots"] + snapshot
    assert sent["PUT images"] > sent["PUT snapshots"] + snapshot
    assert sent["DELETE disks"] > sent["PUT snapshots"] + snapshot
    assert violations == []


def test_what_the_host_caches_is_written_back_before_the_snapshot(tmp_path: Path) -> None:
    sent, _, violations = built(tmp_path, Caching.READ_WRITE)
    assert sent["PUT snapshots"] > sent["last POST virtualMachines"]
    assert violations == []


@pytest.mark.parametrize("what", ["lose", "drop", "fail"])
def test_a_snapshot_that_must_be_taken_again_is_taken_of_the_same_disk(tmp_path: Path, what: What) -> None:
    fault = Fault(what, "PUT", "snapshots", code="RetryableError")
    sent, _, violations = built(tmp_path, Caching.READ_ONLY, fault)
    assert sent["DELETE disks"] > sent["last PUT snapshots"]
    assert violations == []
