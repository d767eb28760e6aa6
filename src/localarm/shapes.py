"""What kind of JSON value each member of a request has: Resource Manager uses a name for one kind of value everywhere."""

from __future__ import annotations

from typing import Any

from localarm.errors import Refused
from localarm.values import tags_lawful

TEXTS = (
    "location", "id", "name", "createOption", "sourceResourceId", "sourceUri", "osType", "osState", "hyperVGeneration",
    "caching", "storageAccountType", "deleteOption", "detachOption", "diskId", "vmSize", "publisher", "offer", "sku_text",
    "version", "architecture", "description", "endOfLifeDate", "replicationMode", "virtualMachineId", "hostCaching",
    "networkAccessPolicy", "publicNetworkAccess", "access", "operation", "tier", "securityType", "computerName",
    "adminUsername", "sharedGalleryImageId", "communityGalleryImageId", "type",
)  # fmt: skip
NUMBERS = (
    "diskSizeGB", "lun", "durationInSeconds", "uploadSizeBytes", "replicaCount", "regionalReplicaCount", "maxShares",
    "diskIOPSReadWrite", "diskMBpsReadWrite", "logicalSectorSize",
)  # fmt: skip
FLAGS = (
    "incremental",
    "excludeFromLatest",
    "toBeDetached",
    "writeAcceleratorEnabled",
    "allowDeletionOfReplicatedLocations",
)
OBJECTS = (
    "properties", "creationData", "imageReference", "galleryImageReference", "storageProfile", "osDisk", "managedDisk",
    "snapshot", "hardwareProfile", "osProfile", "linuxConfiguration", "networkProfile", "publishingProfile", "safetyProfile",
    "osDiskImage", "sourceVirtualMachine", "encryption", "securityProfile", "tags", "identifier", "recommended",
    "diagnosticsProfile", "supportedCapabilities",
)  # fmt: skip
LISTS_OF_OBJECTS = (
    "dataDisks",
    "dataDisksToAttach",
    "dataDisksToDetach",
    "targetRegions",
    "dataDiskImages",
    "features",
)
LISTS_OF_TEXTS = ("zones",)

KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(TEXTS, (str, "a string")),
    **dict.fromkeys(NUMBERS, (int, "an integer")),
    **dict.fromkeys(FLAGS, (bool, "a boolean")),
    **dict.fromkeys(OBJECTS, (dict, "an object")),
    **dict.fromkeys((*LISTS_OF_OBJECTS, *LISTS_OF_TEXTS), (list, "an array")),
}
LONGEST = 1 << 53
"""No number of a request is larger."""


def well_typed(value: Any, path: str = "") -> None:
    """Check a request's body.

    Raises:
        Refused: 400, a member is of another kind than its name says.
    """
    for name, child in value.items():
        place = f"{path}.{name}" if path else name
        expected = _expected(name, child, path)
        if expected is not None:
            _of_kind(child, expected, place)
        if name == "tags":
            for tag, text in child.items():
                _of_kind(text, (str, "a string"), f"{place}.{tag}")
            tags_lawful(child)
        elif isinstance(child, dict):
            well_typed(child, place)
        elif isinstance(child, list):
            _items(name, child, place)


def _expected(name: str, child: Any, path: str) -> tuple[type, str] | None:
    if name not in ("sku", "source", "identity"):
        return KINDS.get(name)
    part_of_a_name = isinstance(child, str) and path and not path.endswith("properties")
    return None if part_of_a_name else (dict, "an object")


def _items(name: str, items: list[Any], place: str) -> None:
    for index, each in enumerate(items):
        if name in LISTS_OF_TEXTS:
            _of_kind(each, (str, "a string"), f"{place}[{index}]")
        elif name in LISTS_OF_OBJECTS:
            _of_kind(each, (dict, "an object"), f"{place}[{index}]")
            well_typed(each, f"{place}[{index}]")


def _of_kind(value: Any, expected: tuple[type, str], place: str) -> None:
    kind, words = expected
    fits = isinstance(value, kind)
    if kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LONGEST
    if not fits:
        message = f"Error converting value to type of '{place}': {words} was expected. Path '{place}'."
        raise Refused(400, "BadRequest", message, target=place)
