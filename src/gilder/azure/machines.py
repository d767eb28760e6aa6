"""The VM whose data disks gilder uses: reading it, and changing which disks it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.operations import Operation
from gilder.azure.words import word
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.spec import Caching


@dataclass(frozen=True, slots=True)
class DataDisk:
    """A data disk as the VM lists it; `leaving` while it is being detached."""

    lun: int
    disk: ArmId | None
    leaving: bool


@dataclass(frozen=True, slots=True)
class VmView:
    """The VM as one GET showed it."""

    id: ArmId
    location: str
    zone: str
    size: str
    etag: str
    state: str
    disks: tuple[DataDisk, ...]

    def lists(self, disk: ArmId) -> DataDisk | None:
        """The entry of one disk, None when the VM does not have it."""
        return next((entry for entry in self.disks if entry.disk == disk), None)

    @property
    def luns(self) -> frozenset[int]:
        """The LUNs taken, also by disks that are leaving."""
        return frozenset(entry.lun for entry in self.disks)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A disk to attach at a LUN."""

    disk: ArmId
    lun: int
    caching: Caching


async def vm_view(arm: Arm, vm: ArmId) -> VmView:
    """Read the VM; raises CloudError."""
    machines = arm.client(vm.subscription).virtual_machines
    return _view(vm, await arm.ask(f"reading the VM {vm.name}", lambda: machines.get(vm.resource_group, vm.name)))


def _view(vm: ArmId, found: models.VirtualMachine) -> VmView:
    told = found.properties
    storage = told.storage_profile if told else None
    entries = tuple(
        DataDisk(
            disk.lun,
            ArmId.parse(disk.managed_disk.id) if disk.managed_disk and disk.managed_disk.id else None,
            bool(disk.to_be_detached),
        )
        for disk in (storage.data_disks if storage and storage.data_disks else [])
    )
    size = told.hardware_profile.vm_size if told and told.hardware_profile else ""
    state = told.provisioning_state if told else ""
    return VmView(
        vm,
        found.location,
        (found.zones or [""])[0],
        word(size),
        found.etag or "",
        word(state),
        entries,
    )


async def attach_and_detach(
    arm: Arm, vm: ArmId, attach: Sequence[Attachment], detach: Sequence[ArmId], *, patient: bool = True
) -> Operation | None:
    """Start one change of the VM's data disks, all attachments and detachments in one request.

    Raises CloudError; Unreachable means that it may or may not have been accepted, so read the VM.
    Source: the attachDetachDataDisks call of the Compute API since 2024-03-01.
    """
    machines = arm.client(vm.subscription).virtual_machines
    body = models.AttachDetachDataDisksRequest(
        data_disks_to_attach=[
            models.DataDisksToAttach(disk_id=str(a.disk), lun=a.lun, caching=a.caching.value, delete_option="Detach")
            for a in attach
        ],
        data_disks_to_detach=[models.DataDisksToDetach(disk_id=str(disk)) for disk in detach],
    )
    doing = f"changing the data disks of the VM {vm.name}"
    begin = machines.begin_attach_detach_data_disks
    return await arm.change(doing, begin, vm.resource_group, vm.name, body, repeatable=False, patient=patient)


async def update_disks(
    arm: Arm, seen: VmView, attach: Sequence[Attachment], detach: Sequence[ArmId], *, patient: bool = True
) -> Operation | None:
    """The same by an update of the whole VM, for services without that call; `seen` must still be current (If-Match).

    Raises Conflict when somebody else changed the VM meanwhile.
    """
    machines = arm.client(seen.id.subscription).virtual_machines
    found = await arm.ask(f"reading the VM {seen.id.name}", lambda: machines.get(seen.id.resource_group, seen.id.name))
    if not found.properties or not found.properties.storage_profile:
        raise Refused(f"the VM {seen.id.name} has no storage profile")
    storage = found.properties.storage_profile
    kept = [
        disk
        for disk in storage.data_disks or []
        if not (disk.managed_disk and disk.managed_disk.id and ArmId.parse(disk.managed_disk.id) in detach)
    ]
    for a in attach:
        managed = models.ManagedDiskParameters(id=str(a.disk))
        kept.append(models.DataDisk(lun=a.lun, create_option="Attach", caching=a.caching.value, managed_disk=managed))
    storage.data_disks = kept
    match: dict[str, Any] = {"etag": found.etag, "match_condition": MatchConditions.IfNotModified} if found.etag else {}
    doing = f"updating the VM {seen.id.name}"
    return await arm.change(
        doing,
        machines.begin_create_or_update,
        seen.id.resource_group,
        seen.id.name,
        found,
        repeatable=False,
        patient=patient,
        **match,
    )


async def max_data_disks(arm: Arm, vm: VmView) -> int:
    """How many data disks a VM of this size may have, from the resource SKUs; raises Refused if they do not say.

    Not from a table: tables of sizes rot.
    """
    skus = arm.client(vm.id.subscription).resource_skus

    async def look() -> int | None:
        async for sku in skus.list(filter=f"location eq '{vm.location}'"):
            if sku.resource_type == "virtualMachines" and (sku.name or "").lower() == vm.size.lower():
                for capability in sku.capabilities or []:
                    if capability.name == "MaxDataDiskCount":
                        return int(capability.value or 0)
        return None

    count = await arm.ask(f"reading the limits of VM size {vm.size}", look)
    if count is None:
        raise Refused(f"Azure does not say how many data disks a VM of size {vm.size} may have in {vm.location}")
    return count
