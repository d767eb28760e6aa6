"""Blobs behind resources: a point-in-time share of a disk, and the copies that make new disks.

Snapshots, images and image versions are immutable and share one blob by hard link; only creating a disk copies data. A
disk that is attached while it is captured gets a read-only device from then on (Azure would allow writes; a client that
writes after capture errs). One that is mounted at that moment is copied instead, and that is noted as a violation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localarm.arm import key
from localarm.catalogue import CatalogueError
from localarm.errors import Refused, not_allowed
from localarm.machine_disks import disk_of
from localarm.messages import Json
from localarm.resources import Resource
from localarm.world import World

GIB = 1 << 30


def captured(world: World, source: Resource, name: str) -> Json | None:
    """Put the present content of `source` (a disk or anything immutable) under the blob name `name`.

    Returns:
        Work that is still to be done by the operation, or None when the blob is there already.
    """
    if not source.blob:  # a disk of another machine has no content here
        world.create_blob(name, int(source.properties["diskSizeGB"]) * GIB)
        return None
    lun = lun_of(world, source) if source.kind == "disks" else None
    if lun is not None and lun in world.devices.attached():
        if world.devices.in_use(lun):
            world.violate("captured-while-mounted", resource=source.id, lun=lun)
            return {"do": "copy", "sources": [source.blob], "name": name, "size": None}
        unflushed = world.devices.make_read_only(lun)
        if unflushed:
            world.violate("captured-unflushed", resource=source.id, lun=lun, sectors=unflushed)
    if not world.blobs.exists(source.blob):
        return {"do": "share", "sources": [source.blob], "name": name}
    world.share_blob(source.blob, name)
    return None


def lun_of(world: World, disk: Resource) -> int | None:
    """At which LUN of the host machine a disk is listed; None when it is not."""
    host = world.find("virtualmachines", world.settings.host_id)
    if host is None:
        return None
    for entry in host.properties["storageProfile"].get("dataDisks", []):
        if key(disk_of(entry)) == disk.key:
            return int(entry["lun"])
    return None


def do_copy(world: World, work: Json) -> None:
    """Copy a blob to a new one of `size` bytes or more."""
    if not world.blobs.exists(work["name"]):  # else it was made before a restart: blobs appear whole
        world.blobs.copy(work["sources"][0], work["name"], work["size"])


def do_share(world: World, work: Json) -> None:
    """Link a blob that was not there yet when the capture was asked for."""
    if not world.blobs.exists(work["name"]):
        world.blobs.share(work["sources"][0], work["name"])


def do_platform(world: World, work: Json) -> None:
    """Copy a platform image, making it first if this is its first use.

    Raises:
        Refused: it cannot be made, is not wanted any more, or is no longer in the catalogue.
    """
    if world.blobs.exists(work["name"]):
        return
    wanted = tuple(work["image"])
    for image in world.catalogue.images():
        if (image.publisher, image.offer, image.sku, image.version) == wanted:
            try:
                made = Path(world.catalogue.blob(image, lambda: world.wanted(work["name"])))
            except CatalogueError as error:  # not passing, so not the code of an error inside of Azure
                raise not_allowed(
                    f"The resource cannot be created from Image {':'.join(wanted)} until Image has been successfully "
                    f"created: {error}"
                ) from error
            world.blobs.copy(made, work["name"], work["size"])
            return
    raise Refused(404, "NotFound", f"The Image {':'.join(wanted)} cannot be found.")


def do_thaw(world: World, work: Json) -> None:
    """Give disks that share their blob with a snapshot one of their own, before they can be written."""
    for name in work["names"]:
        world.blobs.thaw(name)


def do_several(world: World, work: Json) -> None:
    """Several pieces of work of one operation."""
    for each in work["works"]:
        WORK[each["do"]](world, each)


WORK: dict[str, Any] = {
    "copy": do_copy,
    "share": do_share,
    "platform": do_platform,
    "thaw": do_thaw,
    "several": do_several,
}


def shared(world: World, blob: str) -> bool:
    """Whether a blob's file has other names."""
    return bool(blob) and world.blobs.exists(blob) and world.blobs.path(blob).stat().st_nlink > 1
