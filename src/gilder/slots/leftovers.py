"""Disks of dead builds that are still attached to this VM: detached when nothing uses them any more."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import anyio

from gilder.azure.arm import Arm
from gilder.azure.machines import VmView, vm_view
from gilder.azure.operations import Usual, looks
from gilder.model.errors import Busy, CloudError, DeviceMissing, GilderError, Refused
from gilder.model.ids import ArmId
from gilder.runtime.filelock import Turn
from gilder.slots.calls import DiskCalls, collided
from gilder.slots.devices import SlotDevices, wait_gone

_FREE_WITHIN = 30.0
"""Seconds for the kernel to take down what a killed build had mounted."""

_SETTLED_WITHIN = 900.0
"""Seconds for a change of the VM that a killed process began, or a stranger."""

_TRIES = 6
"""How often a detach is sent when it meets changes by others."""


async def detach_leftovers(
    arm: Arm,
    vm: ArmId,
    devices: SlotDevices,
    disks: Sequence[ArmId],
    turn: Turn,
) -> dict[ArmId, GilderError]:
    """Detach those of `disks` that the VM lists, all in one request; returns what could not be done, and why.

    A disk whose device is in use stays attached: detaching it would tear a mounted filesystem away.
    """
    async with turn():
        # What a killed process began goes on: until it has ended, the VM refuses the next change (409).
        view = await _settled(arm, vm)
        listed = [disk for disk in disks if view.lists(disk)]
        refused = {disk: error for disk in listed if (error := await _in_use(view, devices, disk)) is not None}
        free = [disk for disk in listed if disk not in refused]
        if free:
            after = await _without(arm, vm, free)
            for disk in free:
                if after.lists(disk):
                    refused[disk] = Refused(f"the VM {vm.name} still lists the disk {disk.name}")
                elif (entry := view.lists(disk)) is not None:
                    await wait_gone(devices, entry.lun, 10.0)
    return refused


async def _settled(arm: Arm, vm: ArmId) -> VmView:
    """The VM when nothing changes it any more, or after a long wait as it is."""
    deadline = anyio.current_time() + _SETTLED_WITHIN
    for wait in looks(Usual.CHANGE_DISKS):
        view = await vm_view(arm, vm)
        if view.state != "Updating" or anyio.current_time() > deadline:
            return view
        await anyio.sleep(wait)
    raise AssertionError("looks never end")


async def _without(arm: Arm, vm: ArmId, disks: Sequence[ArmId]) -> VmView:
    """Detach these, again when the change met somebody else's or its fate is unknown; the VM as it is then."""
    calls = DiskCalls(arm, vm)
    view = await _settled(arm, vm)
    for tries in itertools.count(1):
        if not (listed := [disk for disk in disks if view.lists(disk)]):
            break
        try:
            await arm.finished(vm.subscription, await calls.send_in_time(view, [], listed), looks(Usual.CHANGE_DISKS))
        except CloudError as error:
            if not collided(error) or tries >= _TRIES:
                raise
            await anyio.sleep(2.0**tries)
        view = await _settled(arm, vm)
    return view


async def _in_use(view: VmView, devices: SlotDevices, disk: ArmId) -> GilderError | None:
    entry = view.lists(disk)
    try:
        device = devices.device(entry.lun) if entry else None
        if device is not None:
            await devices.give_up(device)
            await devices.wait_free(device, within=_FREE_WITHIN)
    except Busy as error:
        return error
    except DeviceMissing:
        return None
    return None
