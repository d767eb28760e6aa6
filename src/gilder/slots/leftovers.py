"""Disks of dead builds that are still attached to this VM: detached when nothing uses them any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from gilder.azure.arm import Arm
from gilder.azure.machines import VmView, vm_view
from gilder.azure.operations import Usual, looks
from gilder.model.errors import Busy, DeviceMissing, GilderError, Refused
from gilder.model.ids import ArmId
from gilder.slots.calls import DiskCalls
from gilder.slots.devices import SlotDevices, wait_gone

_FREE_WITHIN = 30.0
"""Seconds for the kernel to take down what a killed build had mounted."""


async def detach_leftovers(
    arm: Arm,
    vm: ArmId,
    devices: SlotDevices,
    disks: Sequence[ArmId],
    turn: Callable[[], AbstractAsyncContextManager[None]],
) -> dict[ArmId, GilderError]:
    """Detach those of `disks` that the VM lists, all in one request; returns what could not be done, and why.

    A disk whose device is in use stays attached: detaching it would tear a mounted filesystem away.
    """
    async with turn():
        view = await vm_view(arm, vm)
        listed = [disk for disk in disks if view.lists(disk)]
        refused = {disk: error for disk in listed if (error := await _in_use(view, devices, disk)) is not None}
        free = [disk for disk in listed if disk not in refused]
        if free:
            operation = await DiskCalls(arm, vm).send_in_time(view, [], free)
            await arm.finished(vm.subscription, operation, looks(Usual.CHANGE_DISKS))
            after = await vm_view(arm, vm)
            for disk in free:
                if after.lists(disk):
                    refused[disk] = Refused(f"the VM {vm.name} still lists the disk {disk.name}")
                elif (entry := view.lists(disk)) is not None:
                    await wait_gone(devices, entry.lun, 10.0)
    return refused


async def _in_use(view: VmView, devices: SlotDevices, disk: ArmId) -> GilderError | None:
    entry = view.lists(disk)
    try:
        device = devices.device(entry.lun) if entry else None
        if device is not None:
            await devices.wait_free(device, within=_FREE_WITHIN)
    except Busy as error:
        return error
    except DeviceMissing:
        return None
    return None
