"""Whether images are what their builds were to make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.sweeps.scenarios import DATA_LUN, DATA_MARK
from tests.sweeps.scene import Scene, mark_of
from tests.sweeps.standing import products

from gilder.model.spec import BuildSpec, GalleryVersion
from localarm.resources import Resource


def published_wrong(scene: Scene, specs: Sequence[BuildSpec]) -> Iterator[str]:
    """Where an image that is there is not what its build was to make, on its disks or in what it says of itself."""
    for spec in specs:
        for id_ in products(spec):
            found = scene.resource(id_)
            if found is None:
                continue
            if found.state != "Succeeded":
                yield f"{id_.name} stays {found.state}"
            with scene.world.blobs.path(found.hidden["blobs"]["os"]).open("rb") as disk:
                begin = disk.read(64)
            if not begin.startswith(mark_of(spec.name)):
                yield f"{id_.name} does not have what {spec.name} made: it begins with {begin[:24]!r}"
            yield from _data_wrong(scene, spec, id_.name, found.hidden["blobs"])
            yield from _described_wrong(spec, found)


def _data_wrong(scene: Scene, spec: BuildSpec, name: str, blobs: dict[str, str]) -> Iterator[str]:
    """Where the data disks of an image are not those of its source."""
    wanted = {str(DATA_LUN)} if isinstance(spec.source, GalleryVersion) else set()
    if (luns := blobs.keys() - {"os"}) != wanted:
        yield f"{name} has data disks at the LUNs {sorted(luns)}, and its source at {sorted(wanted)}"
    for lun in luns & wanted:
        with scene.world.blobs.path(blobs[lun]).open("rb") as disk:
            if (begin := disk.read(len(DATA_MARK))) != DATA_MARK:
                yield f"the data disk of {name} at LUN {lun} is not the source's: it begins with {begin!r}"


def _described_wrong(spec: BuildSpec, made: Resource) -> Iterator[str]:
    """Where an image says otherwise of itself than its build was told, be it made by the build or by a recovery."""
    told = made.properties
    storage, publishing = told["storageProfile"], told.get("publishingProfile")
    wanted: dict[str, Any] = {"tags": spec.tags, "caching": spec.os_disk_cache_type.value}
    shown = {"tags": made.body.get("tags")}
    if publishing is None:
        wanted["generation"] = spec.image_hyperv_generation.value if spec.image_hyperv_generation else None
        shown |= {"caching": storage["osDisk"]["caching"], "generation": told["hyperVGeneration"]}
    elif spec.shared_image_destination is not None:
        wanted["regions"] = {region.name for region in spec.shared_image_destination.target_regions}
        regions = {region["name"].replace(" ", "").lower() for region in publishing["targetRegions"]}
        shown |= {"caching": storage["osDiskImage"]["hostCaching"], "regions": regions}
    for what in wanted:
        if shown[what] != wanted[what]:
            yield f"{made.name} has the {what} {shown[what]}, and was to have {wanted[what]}"
