"""One disk in a slot of this VM: attached, found, proven, and given back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gilder.host.devices import BlockDevice
from gilder.model.errors import Busy, DeviceMissing, HostError
from gilder.model.ids import ArmId
from gilder.model.spec import Caching
from gilder.runtime.release import Ledger, Release, releasing
from gilder.slots.devices import SlotDevices, wait_device
from gilder.slots.wishes import Attach
from gilder.slots.writer import Announcement, SlotWriter

APPEARING = 180.0
"""Seconds for the device of an attached disk to show (the reference builder waits 3 minutes)."""

_DETACHING = 1200.0
"""Seconds for a detach; one in a hundred takes over two minutes, outliers 13 (issue reports)."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk to attach, and its size, by which its device is recognised."""

    id: ArmId
    size_bytes: int
    caching: Caching


class Slot:
    """A disk attached to this VM, with its device. Comes only out of `Place.slot`."""

    def __init__(self, disk: Disk, lun: int, device: BlockDevice, writer: SlotWriter, devices: SlotDevices) -> None:
        self.disk = disk
        self.lun = lun
        self.device = device
        self.leaving = False
        """Whether its detach was queued."""
        self._writer = writer
        self._devices = devices

    def release_soon(self) -> None:
        """Queue the detach without waiting for it; a device still in use stays where it is."""
        try:
            free = self._devices.is_free(self.device)
        except DeviceMissing:
            free = True  # somebody tore it away; the writer sees what the VM lists
        except HostError:
            free = False  # it is told when it is detached
        if free:
            self.leaving = True
            self._writer.detach_soon(self.disk.id)


class Place:
    """Where a disk is to be attached. Comes only out of `place_for`."""

    def __init__(self, writer: SlotWriter, devices: SlotDevices, disk: Disk) -> None:
        self._writer = writer
        self._devices = devices
        self._disk = disk
        self._wish: Attach | None = None
        self._device: BlockDevice | None = None
        self._slot: Slot | None = None

    def attach_soon(self, announcement: Announcement, waiting: Callable[[str], None] = lambda what: None) -> None:
        """Have the disk attached, without waiting for it: it takes seconds, in which other things can be made ready.

        `waiting` is told what the attach has to wait for, "" when it goes on.
        """
        self._wish = self._writer.attach_soon(self._disk.id, self._disk.caching, announcement, waiting)

    async def sent(self) -> None:
        """Wait until the VM attaches the disk: from then on there are seconds in which nobody else needs this machine.

        Raises CloudError or Refused when it will not.
        """
        assert self._wish is not None
        await self._writer.sent(self._wish)

    async def slot(self) -> Slot:
        """Wait until the disk is attached and its device is here; raises CloudError, Refused, DeviceMissing."""
        assert self._wish is not None
        settled = await self._writer.settled(self._wish)
        wanted = self._disk.size_bytes
        self._device = await wait_device(self._devices, settled.lun, wanted, settled.before, APPEARING)
        self._slot = Slot(self._disk, settled.lun, self._device, self._writer, self._devices)
        return self._slot

    def withdraw(self) -> None:
        """Nobody waits for the disk any more."""
        if self._wish is not None:
            self._writer.withdraw(self._wish)

    async def detach(self) -> None:
        """Have the disk detached, but only when nothing uses its device; raises GilderError."""
        disk = self._disk.id
        if self._device is not None:
            try:
                await self._devices.wait_free(self._device, within=10.0)
            except DeviceMissing:
                pass  # gone already: the detach queued by `release_soon` was served meanwhile
            except HostError as error:
                self._writer.abandon(disk, "its device is still in use" if isinstance(error, Busy) else error.message)
                raise
        try:
            await self._writer.detach(disk)
        except Exception as error:
            self._writer.abandon(disk, str(error))
            raise

    def stays(self) -> str | None:
        """As what the disk is still there after a failure, for `Release`."""
        slot = self._slot
        if slot is None:
            return ""
        return None if slot.leaving else f" as {slot.device.path} on LUN {slot.lun}, not mounted"


@asynccontextmanager
async def place_for(disk: Disk, writer: SlotWriter, devices: SlotDevices, ledger: Ledger) -> AsyncIterator[Place]:
    """Have a place in which a disk is attached at will; it is detached on leaving."""
    place = Place(writer, devices, disk)
    remedy = f"az vm disk detach --ids {writer.vm} --disk-ids {disk.id}"
    name, handle = disk.id.name, str(disk.id)
    # What a ReadWrite cache still holds is on the disk only after the detach: without it, its snapshot would be false.
    must = disk.caching is Caching.READ_WRITE
    how = Release("attachment", name, remedy, place.detach, _DETACHING, handle, must=must, stays=place.stays)
    async with releasing(ledger, how):
        try:
            yield place
        finally:
            place.withdraw()
