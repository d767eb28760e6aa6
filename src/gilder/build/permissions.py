"""What a build asks Azure to permit: the least roles, by source and destination, and where each must be held.

docs/permissions.md shows the same roles; a test holds both to what localarm's audit log says that builds really used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gilder.azure.metadata import Machine
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, GalleryVersion, ManagedDisk, PlatformImage


@dataclass(frozen=True, slots=True)
class Role:
    """A custom role: its actions, and what each is for. `where` says in words on what it is assigned."""

    name: str
    where: str
    actions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Need:
    """A role that a build needs, and the id of what it is needed on: a subscription, resource group or resource."""

    role: Role
    scope: str


def _role(name: str, where: str, actions: Mapping[str, str]) -> Role:
    return Role(f"gilder {name}", where, {f"Microsoft.Compute/{action}": why for action, why in actions.items()})


SIZES = _role("sizes", "the subscription of the VM", {"skus/read": "how many data disks a VM of this size takes"})
MACHINE = _role(
    "machine",
    "the resource group of the VM",
    {
        "virtualMachines/read": "which data disks the VM has",
        "virtualMachines/attachDetachDataDisks/action": "to attach and detach",
        "disks/read": "what became of one whose creation was not answered; whether it is gone",
        "disks/write": "to create and to attach the temporary disk",
        "disks/delete": "to remove it",
        "disks/beginGetAccess/action": "to take a snapshot of it",
        "snapshots/read": "to make an image of the snapshot; whether it is gone",
        "snapshots/write": "to take the snapshot; to make an image version of it",
        "snapshots/delete": "to remove it",
        "locations/diskOperations/read": "to wait for disks and snapshots",
        "locations/operations/read": "to wait for the VM",
    },
)
PLATFORM_SOURCE = _role(
    "platform source",
    "the subscription of the VM",
    {
        "locations/publishers/artifacttypes/offers/skus/versions/read": "which version `latest` is, and of what generation"
    },
)
DISK_SOURCE = _role(
    "disk source",
    "the source disk or its resource group",
    {"disks/read": "where it is, and how large", "disks/beginGetAccess/action": "to copy it"},
)
VERSION_SOURCE = _role(
    "version source",
    "the source's gallery or its resource group",
    {
        "galleries/images/read": "the generation of the image definition",
        "galleries/images/versions/read": "which version `latest` is; to copy it",
    },
)
ENCRYPTION = _role(
    "encryption",
    "the disk encryption set or its resource group",
    {"diskEncryptionSets/read": "to encrypt the new disk"},
)
IMAGE_DESTINATION = _role(
    "image destination",
    "the resource group of the image",
    {
        "images/read": "whether it exists already",
        "images/write": "to create it",
        "images/delete": "to remove one that failed half-way, or that `-force` replaces",
        "locations/operations/read": "to wait for it",
    },
)
VERSION_DESTINATION = _role(
    "version destination",
    "the destination's gallery or its resource group",
    {
        "galleries/images/read": "whether the image definition fits",
        "galleries/images/versions/read": "whether the version exists already; its replication",
        "galleries/images/versions/write": "to publish it",
        "galleries/images/versions/delete": "to remove one that failed half-way, or that `-force` replaces",
        "locations/capsOperations/read": "to wait for it",
    },
)
DOCTOR = Role(
    "gilder doctor",
    "the resource groups above",
    {"Microsoft.Authorization/permissions/read": "which of these actions the identity has"},
)
"""What no build needs, and the check before it does."""
ROLES = (
    SIZES,
    MACHINE,
    PLATFORM_SOURCE,
    DISK_SOURCE,
    VERSION_SOURCE,
    ENCRYPTION,
    IMAGE_DESTINATION,
    VERSION_DESTINATION,
    DOCTOR,
)
_TEMPORARY = {"disks", "snapshots", "diskOperations"}
"""Parts of the actions that are needed wherever the temporary disk or snapshot is."""


def needs_of_machine(machine: Machine) -> tuple[Need, ...]:
    """What every build on this VM needs."""
    return Need(SIZES, f"/subscriptions/{machine.id.subscription}"), Need(MACHINE, group_of(machine.id))


def needs_of(spec: BuildSpec, machine: Machine, subscription: str = "") -> tuple[Need, ...]:
    """What this build needs on this VM; `subscription` is that of galleries which name none (that of the VM if empty)."""
    found = [*needs_of_machine(machine), *_of_source(spec, machine)]
    if spec.disk_encryption_set_id is not None:
        found.append(Need(ENCRYPTION, str(spec.disk_encryption_set_id)))
    found.extend(Need(_elsewhere(), group_of(resource)) for resource in _chosen(spec))
    if not spec.skip_create_image:
        found.extend(_of_destinations(spec, subscription or machine.id.subscription))
    return tuple(found)


def _chosen(spec: BuildSpec) -> Iterator[ArmId]:
    """The temporary resources whose place the template chose."""
    for resource in (spec.temporary_os_disk_id, spec.temporary_os_disk_snapshot_id):
        if resource is not None:
            yield resource
    for prefix in (spec.temporary_data_disk_id_prefix, spec.temporary_data_disk_snapshot_id):
        if prefix:
            yield ArmId.parse(f"{prefix}0")


def _of_source(spec: BuildSpec, machine: Machine) -> Iterator[Need]:
    match spec.source:
        case PlatformImage():
            yield Need(PLATFORM_SOURCE, f"/subscriptions/{machine.id.subscription}")
        case ManagedDisk() as disk:
            yield Need(DISK_SOURCE, str(disk.id))
        case GalleryVersion() as version:
            yield Need(VERSION_SOURCE, str(_gallery(version.id)))
        case None:
            return


def _of_destinations(spec: BuildSpec, subscription: str) -> Iterator[Need]:
    if spec.image_resource_id is not None:
        yield Need(IMAGE_DESTINATION, group_of(spec.image_resource_id))
    if spec.shared_image_destination is not None:
        version = spec.shared_image_destination.version_id(subscription)
        yield Need(VERSION_DESTINATION, str(_gallery(version)))


def together(needs: Iterable[Need]) -> dict[str, dict[str, str]]:
    """The actions needed, with what each is for, by scope."""
    found: dict[str, dict[str, str]] = {}
    spelled: dict[str, str] = {}
    for need in needs:
        scope = spelled.setdefault(need.scope.lower(), need.scope)
        found.setdefault(scope, {}).update(need.role.actions)
    return found


def group_of(resource: ArmId) -> str:
    """The id of the resource group of a resource."""
    return f"/subscriptions/{resource.subscription}/resourceGroups/{resource.resource_group}"


def _gallery(version: ArmId) -> ArmId:
    return version.parent().parent()


def _elsewhere() -> Role:
    actions = {action: why for action, why in MACHINE.actions.items() if _TEMPORARY & set(action.split("/"))}
    return Role(MACHINE.name, "the resource group of a temporary disk or snapshot", actions)
