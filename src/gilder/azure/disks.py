"""Managed disks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio
from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.creating import Creation, created
from gilder.azure.machines import VmView
from gilder.azure.operations import Usual
from gilder.azure.settling import FOREIGN, Removal, removed
from gilder.azure.words import word
from gilder.model.errors import Denied, NotFound, Refused
from gilder.model.ids import ArmId
from gilder.model.spec import DiskSku, HyperVGeneration
from gilder.model.tags import RUN, carries

_MANAGED_BY_LAGS = (1.0, 2.0, 4.0)
"""Seconds between looks at a disk that is detached and does not show it yet (azuredisk-csi-driver polls it likewise)."""


@dataclass(frozen=True, slots=True)
class FromPlatformImage:
    """Start from a platform image version, by its id as the service gave it."""

    version_id: str


@dataclass(frozen=True, slots=True)
class FromGalleryVersion:
    """Start from a gallery image version: its OS disk, or the data disk of `lun`."""

    version: ArmId
    lun: int | None = None


@dataclass(frozen=True, slots=True)
class FromDisk:
    """Start from a copy of a managed disk in the same region."""

    disk: ArmId


@dataclass(frozen=True, slots=True)
class Empty:
    """Start with nothing."""


DiskSource = FromPlatformImage | FromGalleryVersion | FromDisk | Empty


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPlan:
    """A disk to create. `size_gb` None: the size of the source (GiB)."""

    id: ArmId
    location: str
    zone: str
    source: DiskSource
    sku: DiskSku
    size_gb: int | None = None
    os_disk: bool = True
    generation: HyperVGeneration | None = None
    architecture: str = ""
    """`x64`, `Arm64`; "" leaves it to the source."""
    encryption_set: ArmId | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A disk as it is. `attached_to` is the VM's id, "" when none; other texts are "" where Azure says nothing."""

    id: ArmId
    location: str
    size_bytes: int
    state: str
    attached_to: str
    os_type: str = ""
    generation: str = ""
    architecture: str = ""
    security: str = ""
    """Such as `TrustedLaunch` or `ConfidentialVM_DiskEncryptedWithPlatformKey`."""
    zone: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    provisioning: str = "Succeeded"
    """Updating while it is created."""


def _creation(source: DiskSource) -> models.CreationData:
    match source:
        case FromPlatformImage():
            return models.CreationData(
                create_option="FromImage", image_reference=models.ImageDiskReference(id=source.version_id)
            )
        case FromGalleryVersion():
            reference = models.ImageDiskReference(id=str(source.version), lun=source.lun)
            return models.CreationData(create_option="FromImage", gallery_image_reference=reference)
        case FromDisk():
            return models.CreationData(create_option="Copy", source_resource_id=str(source.disk))
        case Empty():
            return models.CreationData(create_option="Empty")


def _body(plan: DiskPlan) -> models.Disk:
    properties = models.DiskProperties(creation_data=_creation(plan.source), disk_size_gb=plan.size_gb)
    if plan.os_disk:
        properties.os_type = models.OperatingSystemTypes.LINUX
    if plan.generation is not None:
        properties.hyper_v_generation = plan.generation.value
    if plan.architecture:
        properties.supported_capabilities = models.SupportedCapabilities(architecture=plan.architecture)
    if plan.encryption_set is not None:
        properties.encryption = models.Encryption(disk_encryption_set_id=str(plan.encryption_set))
    return models.Disk(
        location=plan.location,
        zones=[plan.zone] if plan.zone else None,
        tags=dict(plan.tags),
        sku=models.DiskSku(name=plan.sku.value),
        properties=properties,
    )


async def create_disk(arm: Arm, plan: DiskPlan) -> int:
    """Create a disk and wait until it is there; returns its size in bytes. Raises CloudError."""
    begin, doing = arm.client(plan.id.subscription).disks.begin_create_or_update, f"creating the disk {plan.id.name}"

    async def state() -> str:
        if (facts := await disk_facts(arm, plan.id)) is None:
            return ""
        return facts.provisioning if carries(facts.tags, plan.tags) else FOREIGN

    what = Creation(id=plan.id, begin=begin, body=_body(plan), state=state, usual=Usual.CREATE_DISK, doing=doing)
    told = (await created(arm, what)).get("properties") or {}
    if "diskSizeBytes" in told:
        return int(told["diskSizeBytes"])
    facts = await disk_facts(arm, plan.id)
    if facts is None:
        raise Refused(f"the disk {plan.id} was created and is not there: somebody deleted it")
    return facts.size_bytes


async def disk_facts(arm: Arm, disk: ArmId) -> DiskFacts | None:
    """The disk as it is now, None when there is none."""
    disks = arm.client(disk.subscription).disks
    try:
        found = await arm.ask(f"reading the disk {disk.name}", lambda: disks.get(disk.resource_group, disk.name))
    except NotFound:
        return None
    told = found.properties or models.DiskProperties(creation_data=models.CreationData(create_option="Empty"))
    size = told.disk_size_bytes or (told.disk_size_gb or 0) * 2**30
    capabilities, security = told.supported_capabilities, told.security_profile
    return DiskFacts(
        disk,
        found.location,
        size,
        word(told.disk_state),
        found.managed_by or "",
        word(told.os_type),
        word(told.hyper_v_generation),
        word(capabilities.architecture) if capabilities else "",
        word(security.security_type) if security else "",
        (found.zones or [""])[0],
        dict(found.tags or {}),
        word(told.provisioning_state) or "Unknown",
    )


async def runs_on(arm: Arm, vm: VmView) -> list[str]:
    """The runs for which the VM has temporary data disks, as the tags of these say, a name for each; raises CloudError.

    A disk that may not be read counts as no run's: roles are for our resource groups, and a stranger's disk of another one
    would else fail every build on a VM where a LUN comes free in a minute.
    """
    runs: list[str] = []
    for disk in [entry.disk for entry in vm.disks if entry.disk is not None]:
        with suppress(Denied):
            facts = await disk_facts(arm, disk)
            if facts is not None and RUN in facts.tags:
                runs.append(facts.tags[RUN])
    return runs


async def _free_state(arm: Arm, disk: ArmId, tags: Mapping[str, str] | None) -> str:
    """The provisioning state of the disk, once no VM has it; raises Refused when one keeps it.

    What the disk says of it follows what the VM says, with a delay: one look too early would leave the disk behind.
    """
    for wait in (*_MANAGED_BY_LAGS, None):
        if (facts := await disk_facts(arm, disk)) is None:
            return ""
        if tags is not None and not carries(facts.tags, tags):
            return FOREIGN
        if not facts.attached_to:
            return facts.provisioning
        if wait is None:
            raise Refused(f"the disk {disk.name} is still attached to {facts.attached_to}")
        await anyio.sleep(wait)
    raise AssertionError("the last look returns or raises")


async def delete_disk(arm: Arm, disk: ArmId, tags: Mapping[str, str] | None = None) -> Removal:
    """Delete a disk if it is there; raises CloudError, Refused when a VM still has it.

    With `tags`, only one that was made for the build that these name; without, whatever has the name, which must be nobody
    else's. One that is still being created refuses that (409), so its end is waited for first.
    """
    begin, state = arm.client(disk.subscription).disks.begin_delete, partial(_free_state, arm, disk, tags)
    return await removed(arm, disk, begin, state, Usual.CREATE_DISK, ours_by_name=tags is None)
