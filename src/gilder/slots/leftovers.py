"""Disks of dead builds that are still attached to this VM: detached when nothing uses them any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from gilder.azure.arm import Arm
from gilder.azure.disks import DiskFacts, disk_facts
from gilder.azure.machines import VmView, vm_view
from gilder.azure.operations import Usual, looks
from gilder.model.errors import CloudError, DeviceMissing, GilderError, HostError, Refused
from gilder.model.ids import ArmId
from gilder.model.tags import carries
from gilder.runtime.filelock import Turn
from gilder.slots.calls import DiskCalls, collided
from gilder.slots.devices import SlotDevices, wait_gone
from gilder.slots.sight import settled_view

_FREE_WITHIN = 30.0
"""Seconds for the kernel to take down what a killed build had mounted."""

_DETACHED_WITHIN = 3600.0
"""Seconds for the detach and the tries it takes: as long as a throttled request waits. Other gilder processes wait too."""

_LAGS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks at a VM and a disk that do not agree (azuredisk-csi-driver waits likewise for a disk to follow)."""

_LOOKS = 3
"""How many must show that the VM does not have a disk. The killed process may have asked for it right before: Azure lets a
disk be deleted that is just being attached (kubernetes issue 82714), and the VM is left with a disk that there is not."""

_TRIES = 6
"""How often a detach is sent when it meets changes by others."""


@dataclass(frozen=True, slots=True)
class Detached:
    """What became of leftovers. This VM has none of them any more but those `refused`, with the reason, and those that are
    `foreign`: somebody else made them under the same name, and they were not touched. `detached` are those it had."""

    refused: Mapping[ArmId, GilderError]
    foreign: frozenset[ArmId] = frozenset()
    detached: frozenset[ArmId] = frozenset()


@dataclass(frozen=True, slots=True)
class _Sight:
    """The VM and the disks, as far as they agree."""

    view: VmView
    facts: Mapping[ArmId, DiskFacts | GilderError | None]

    def attached(self, disk: ArmId) -> bool:
        """Whether the VM lists it."""
        return self.view.lists(disk) is not None

    def doubt(self, disk: ArmId) -> GilderError | None:
        """Why it is not known whether the VM has a disk, and whose that is; None when it is."""
        vm = self.view.id
        match self.facts[disk]:
            case GilderError() as error:
                return error
            case None if self.attached(disk):
                return Refused(f"the VM {vm.name} lists the disk {disk.name}, which is not there")
            case DiskFacts() as facts if facts.attached_to.lower() == str(vm).lower() and not self.attached(disk):
                return Refused(f"the disk {disk.name} is attached to the VM {vm.name}, which does not list it")
        return None

    def foreign(self, disk: ArmId, tags: Mapping[str, str]) -> bool:
        """Whether it was made for another build than these tags name."""
        facts = self.facts[disk]
        return isinstance(facts, DiskFacts) and not carries(facts.tags, tags)


async def detach_leftovers(
    arm: Arm,
    vm: ArmId,
    devices: SlotDevices,
    disks: Mapping[ArmId, Mapping[str, str]],
    turn: Turn,
) -> Detached:
    """Detach those of `disks` that the VM lists and that carry the tags given for them, all in one request.

    A disk whose device is in use stays attached: detaching it would tear a mounted filesystem away.
    """
    async with turn():
        sight = await _agreed(arm, vm, list(disks))
        refused = {disk: doubt for disk in disks if (doubt := sight.doubt(disk)) is not None}
        foreign = {disk for disk, tags in disks.items() if sight.foreign(disk, tags)}
        ours = [disk for disk in disks if sight.attached(disk) and disk not in refused and disk not in foreign]
        refused |= await _in_use(sight.view, devices, ours)
        free = [disk for disk in ours if disk not in refused]
        if free:
            after = await _without(arm, vm, free)
            for disk in free:
                if after.lists(disk):
                    refused[disk] = Refused(f"the VM {vm.name} still lists the disk {disk.name}")
                elif (entry := sight.view.lists(disk)) is not None:
                    await wait_gone(devices, entry.lun, 10.0)
    return Detached(refused, frozenset(foreign), frozenset(free) - refused.keys())


async def _agreed(arm: Arm, vm: ArmId, disks: Sequence[ArmId]) -> _Sight:
    """The VM and these disks, looked at until they agree on which of them the VM has, or for some seconds.

    Either look may be stale, and a disk follows its VM with a delay. Who believes one look takes an attached disk for free.
    """
    for look, pause in enumerate((*_LAGS, None), 1):
        # What a killed process began goes on: until it has ended, the VM refuses the next change (409).
        view = await settled_view(arm, vm)
        sight = _Sight(view, await _facts(arm, disks))
        sure = look >= _LOOKS or all(sight.attached(disk) for disk in disks)
        if pause is None or (sure and all(sight.doubt(disk) is None for disk in disks)):
            return sight
        await anyio.sleep(pause)
    raise AssertionError("the last look is taken")


async def _facts(arm: Arm, disks: Sequence[ArmId]) -> dict[ArmId, DiskFacts | GilderError | None]:
    found: dict[ArmId, DiskFacts | GilderError | None] = {}

    async def look(disk: ArmId) -> None:
        try:
            found[disk] = await disk_facts(arm, disk)
        except GilderError as error:
            found[disk] = error

    async with anyio.create_task_group() as group:
        for disk in disks:
            group.start_soon(look, disk)
    return found


async def _without(arm: Arm, vm: ArmId, disks: Sequence[ArmId]) -> VmView:
    """Detach these, again (not for ever) when the change met another or its fate is unknown; the VM as it is then."""
    with anyio.move_on_after(_DETACHED_WITHIN):
        return await _tried_without(arm, vm, disks)
    return await vm_view(arm, vm)


async def _tried_without(arm: Arm, vm: ArmId, disks: Sequence[ArmId]) -> VmView:
    calls = DiskCalls(arm, vm)
    view = await settled_view(arm, vm)
    for tries in range(1, _TRIES + 1):
        if not (listed := [disk for disk in disks if view.lists(disk)]):
            break
        try:
            await arm.finished(vm.subscription, await calls.send_in_time(view, [], listed), looks(Usual.CHANGE_DISKS))
        except CloudError as error:
            if not collided(error) or tries == _TRIES:
                raise
            await anyio.sleep(2.0**tries)
        view = await settled_view(arm, vm)
    return view


async def _in_use(view: VmView, devices: SlotDevices, disks: Sequence[ArmId]) -> dict[ArmId, GilderError]:
    """By which of these a device of this machine is in use, and how. All are waited for at once: the VM's turn is held."""
    found: dict[ArmId, GilderError] = {}

    async def look(disk: ArmId) -> None:
        if (entry := view.lists(disk)) is not None:
            try:
                await _unused(devices, entry.lun)
            except HostError as error:
                found[disk] = error

    async with anyio.create_task_group() as group:
        for disk in disks:
            group.start_soon(look, disk)
    return found


async def _unused(devices: SlotDevices, lun: int) -> None:
    """Return once nothing uses the device of a LUN, or there is none; raises HostError, also when that cannot be seen."""
    device = devices.device(lun)
    if device is None:
        return
    # What stands in the way of that, or hangs, is no word on whether the device is in use.
    with anyio.move_on_after(_FREE_WITHIN), suppress(DeviceMissing):
        await devices.give_up(device)
    try:
        await devices.wait_free(device, within=_FREE_WITHIN)
    except DeviceMissing:
        # Without its file the device cannot be asked, and may be mounted all the same. Where it has one, the kernel has
        # found no user before the device itself refused to be opened (a dead disk; bdev_open in block/bdev.c).
        devices.device(lun)
