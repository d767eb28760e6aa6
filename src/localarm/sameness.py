"""Laws of second writes: what of something that exists a write may not change.

Who writes again what is there already names what is there, or is refused. Two clients that write different contents under one
name would otherwise both be told that all went well, and one of them would have the other's.
"""

from __future__ import annotations

from typing import Any

from localarm.arm import key
from localarm.errors import Refused
from localarm.messages import Json
from localarm.resources import Resource

CREATION = (
    "createOption", "sourceResourceId", "imageReference.id", "imageReference.lun", "galleryImageReference.id",
    "galleryImageReference.lun", "uploadSizeBytes",
)  # fmt: skip
IMAGE_DISK = (
    "osType",
    "osState",
    "caching",
    "storageAccountType",
    "diskSizeGB",
    "blobUri",
    "snapshot.id",
    "managedDisk.id",
)
VERSION_DISK = ("hostCaching", "source.id")


def _same(present: Json, asked: Json, member: str, target: str = "") -> None:
    """A member that is asked for (a path, such as `snapshot.id`) is as it is."""
    was, wanted = _at(present, member), _at(asked, member)
    if wanted is not None and _comparable(was) != _comparable(wanted):
        raise _not_allowed(target or member)


def same_creation(found: Resource, asked: Json) -> None:
    """How a disk or snapshot came about cannot be changed by writing it again, nor its generation."""
    creation = asked.get("creationData") or {}
    for member in CREATION:
        _same(found.properties["creationData"], creation, member, f"creationData.{member}")
    _same(found.properties, asked, "hyperVGeneration")
    if found.kind == "snapshots":
        _same(found.properties, asked, "incremental")


def same_zones(found: Resource, body: Json) -> None:
    """A disk stays in its zone (terraform-provider-azurerm issue 16059)."""
    zones, wanted = found.body.get("zones") or [], body.get("zones")
    if wanted is not None and wanted != zones:
        existing, asked = (",".join(each) or "none" for each in (zones, wanted))
        raise Refused(
            400,
            "BadRequest",
            f"Availability zone must not be changed on existing resource '{found.name}'. Existing zone: {existing}, "
            f"requested zone: {asked}.",
        )


def same_machine(found: Resource, body: Json) -> None:
    """A machine keeps its zone, its OS disk and what it was made from."""
    _same(found.body, {"zones": body.get("zones") or None}, "zones")
    storage = (body.get("properties") or {}).get("storageProfile") or {}
    present = found.properties["storageProfile"]
    for member in ("publisher", "offer", "sku", "id"):
        _same(present, storage, f"imageReference.{member}", "imageReference")
    for member in ("name", "managedDisk.id"):
        _same(present, storage, f"osDisk.{member}")


def same_image(found: Resource, asked: Json, *, whole: bool) -> None:
    """Nothing of an image but its tags can be changed (azure-cli issue 5172).

    Args:
        whole: whether data disks that are not mentioned beside an OS disk are none (PUT), or those that there are (PATCH).
    """
    for member in ("hyperVGeneration", "sourceVirtualMachine.id"):
        _same(found.properties, asked, member)
    storage = asked.get("storageProfile") or {}
    present = found.properties["storageProfile"]
    _same(present, storage, "zoneResilient", "storageProfile.zoneResilient")
    for member in IMAGE_DISK:
        _same(present, storage, f"osDisk.{member}", f"storageProfile.osDisk.{member}")
    if "dataDisks" in storage or (whole and storage.get("osDisk")):
        _same_disks(present.get("dataDisks"), storage.get("dataDisks"), IMAGE_DISK, "storageProfile.dataDisks")


def same_version(found: Resource, asked: Json) -> None:
    """An image version keeps its content; where it is replicated may change."""
    target = "galleryImageVersion.properties.storageProfile"
    storage, present = asked.get("storageProfile") or {}, found.properties["storageProfile"]
    for member in ("source.id", "source.virtualMachineId", *(f"osDiskImage.{each}" for each in VERSION_DISK)):
        _same(present, storage, member, f"{target}.{member}")
    if "dataDiskImages" in storage or _at(storage, "osDiskImage.source.id"):
        disks = present.get("dataDiskImages"), storage.get("dataDiskImages")
        _same_disks(*disks, VERSION_DISK, f"{target}.dataDiskImages")
    profile, wanted = found.properties["publishingProfile"], asked.get("publishingProfile") or {}
    mode = {"replicationMode": "Full", **profile}
    _same(mode, wanted, "replicationMode", "galleryImageVersion.properties.publishingProfile.replicationMode")


def _same_disks(present: Any, asked: Any, members: tuple[str, ...], target: str) -> None:
    """The data disks are those that there are, by LUN."""
    by_lun = {entry["lun"]: entry for entry in present or []}
    wanted = {entry.get("lun"): entry for entry in asked or []}
    if by_lun.keys() != wanted.keys() or len(wanted) != len(asked or []):
        raise _not_allowed(target)
    for lun, entry in wanted.items():
        for member in members:
            _same(by_lun[lun], entry, member, f"{target}.{member}")


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _comparable(value: Any) -> Any:
    return key(value) if isinstance(value, str) else value


def _not_allowed(target: str) -> Refused:
    message = f"Changing property '{target}' is not allowed."
    return Refused(409, "PropertyChangeNotAllowed", message, target=target)
