"""What is built in a place: specs by a few words, and how a build went."""

from __future__ import annotations

from typing import Any

from tests.virtual.furnishing import id_of
from tests.virtual.place import COMPUTE, GROUP, Place

from gilder.engine import RunOptions
from gilder.model.ids import ArmId
from gilder.model.outcomes import Outcome
from gilder.model.spec import (
    BuildSpec,
    GalleryDestination,
    GalleryVersion,
    HyperVGeneration,
    ManagedDisk,
    PlatformImage,
)

BUSYBOX = PlatformImage("localarm", "busybox", "1", "latest")
IMAGE = ArmId.parse(f"{COMPUTE}/images/made")
OTHER_SUBSCRIPTION = "99999999-1111-4222-8333-444444444444"


def spec(**options: Any) -> BuildSpec:
    """A build of the busybox image into a managed image, unless `options` say otherwise."""
    wanted: dict[str, Any] = {"source": BUSYBOX, "image_hyperv_generation": HyperVGeneration.V2} | options
    if not {"image_resource_id", "shared_image_destination"} & set(options):
        wanted["image_resource_id"] = IMAGE
    return BuildSpec(name="one", **wanted)


def to_gallery(**options: Any) -> dict[str, Any]:
    """The options of a build into version 1.0.0 of `linux`."""
    place = {"resource_group": GROUP, "gallery_name": "gallery", "image_name": "linux", "image_version": "1.0.0"}
    return {"shared_image_destination": GalleryDestination(**(place | options))}


def from_disk(name: str = "old", **options: Any) -> dict[str, Any]:
    """The options of a build from a disk of the group."""
    return {"source": ManagedDisk(id_of("disks", name)), **options}


def from_version(name: str, **options: Any) -> dict[str, Any]:
    """The options of a build from a version of `linux`."""
    return {"source": GalleryVersion(id_of("galleries/images/versions", f"gallery/linux/{name}")), **options}


async def built(place: Place, wanted: BuildSpec, *, force: bool = False) -> tuple[Outcome, list[str]]:
    """Build; how it ended and what was written to the cloud."""
    before = len(place.application.audit)
    (outcome,) = await place.build([wanted], RunOptions(force=force))
    new = list(place.application.audit)[before:]
    return outcome, [r["path"] for r in new if r["method"] != "GET" and "/oauth2/" not in r["path"]]
