"""One disk in a slot of this VM: attached, found, proven, and given back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gilder.host.devices import BlockDevice
from gilder.model.errors import Busy, DeviceMissing, GilderError
from gilder.model.ids import ArmId
from gilder.model.spec import Caching
from gilder.runtime.release import Ledger, Release, releasing
from gilder.slots.devices import SlotDevices, wait_device
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
    """A disk attached to this VM, with its device. Comes only out of `attached`."""

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
        if self._devices.is_free(self.device):
            self.leaving = True
            self._writer.detach_soon(self.disk.id)


@asynccontextmanager
async def attached(
    writer: SlotWriter,
    devices: SlotDevices,
    disk: Disk,
    ledger: Ledger,
    announcement: Announcement,
    waiting: Callable[[str], None] = lambda what: None,
) -> AsyncIterator[Slot]:
    """Have a disk attached while inside; raises CloudError, Refused, DeviceMissing.

    `waiting` is told what the attach has to wait for, "" when it goes on.

    On leaving, the disk is detached only when nothing uses its device any more.
    """
    device: BlockDevice | None = None
    slot: Slot | None = None

    async def detach() -> None:
        if device is not None:
            try:
                await devices.wait_free(device, within=10.0)
            except Busy:
                writer.abandon(disk.id, "its device is still in use")
                raise
            except DeviceMissing:
                pass  # gone already: the detach queued by `release_soon` was served meanwhile
        try:
            await writer.detach(disk.id)
        except GilderError as error:
            writer.abandon(disk.id, error.message)
            raise

    remedy = f"az vm disk detach --ids {writer.vm} --disk-ids {disk.id}"

    def stays() -> str | None:
        if slot is None:
            return ""
        return None if slot.leaving else f" as {slot.device.path} on LUN {slot.lun}, not mounted"

    name, handle = disk.id.name, str(disk.id)
    # What a ReadWrite cache still holds is on the disk only after the detach: without it, its snapshot would be false.
    must = disk.caching is Caching.READ_WRITE
    how = Release("attachment", name, remedy, detach, _DETACHING, handle, must=must, stays=stays)
    async with releasing(ledger, how):
        settled = await writer.attach(disk.id, disk.caching, announcement, waiting)
        device = await wait_device(devices, settled.lun, disk.size_bytes, settled.before, APPEARING)
        slot = Slot(disk, settled.lun, device, writer, devices)
        yield slot
