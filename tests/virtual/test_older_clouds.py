"""Clouds that have older api-versions than the SDK: a build passes where any will do, and says so where none does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.virtual.furnishing import definition, disk, gallery, version
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, placed
from tests.virtual.wanted import IMAGE, built, from_disk, from_version, spec, to_gallery

from gilder.azure.api_versions import REFUSALS
from gilder.model.outcomes import Built, Failed
from localarm.arm import Address

WANTED: dict[str, dict[str, Any]] = {
    "platform image to both": to_gallery() | {"image_resource_id": IMAGE},
    "disk to image": from_disk(),
    "version to version": from_version("0.0.1") | to_gallery(),
    "scratch to image": {"source": None, "from_scratch": True, "os_disk_size_gb": 1},
}


def refused(place: Place) -> list[str]:
    """The types of the requests whose api-version was refused."""
    paths = [entry["path"] for entry in place.application.audit if entry.get("code") in REFUSALS]
    return [address.kind for path in paths if (address := Address.parse(path)) is not None]


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize(("newest", "batches"), [("2023-09-01", False), ("2024-07-01", True), ("2025-06-30", True)])
def test_a_build_passes_on_an_older_cloud(tmp_path: Path, newest: str, batches: bool, wanted: str) -> None:
    async def main() -> None:
        async with placed(tmp_path, newest_api=newest) as place:
            await gallery(place)
            await definition(place)
            await version(place, "0.0.1", await disk(place, "old"))
            outcome, _ = await built(place, spec(**WANTED[wanted]))
            assert isinstance(outcome, Built), outcome
            assert place.plugs.violations == []
            assert place.plugs.attached() == {}
            assert [name for name in place.left() if name != "old"] == []
            kinds = refused(place)
            assert len(kinds) == len(set(kinds)), "refused once for each type, then known"
            done = [e["status"] for e in place.application.audit if e["path"].endswith("/attachDetachDataDisks")]
            assert done == ([200, 200] if batches else [400]), "asked once, then known"

    in_virtual_time(main)


def test_a_cloud_that_is_too_old_is_named_before_anything(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, newest_api="2020-12-31") as place:
            outcome, written = await built(place, spec())
            assert isinstance(outcome, Failed)
            assert outcome.error.startswith("The resource type 'locations/publishers"), outcome
            assert len(outcome.error) < 300, "without the list of all versions"
            assert "gilder needs api-version 2022-03-01 or newer of Microsoft.Compute" in str(outcome.hint)
            assert written == []

    in_virtual_time(main)
