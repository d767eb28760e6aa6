"""From a LUN to the device that this machine shows for it.

The names come from udev rules of WALinuxAgent (`scsi1/lunN`) and azure-vm-utils (`data/by-lun/N`); without them sysfs
tells: SCSI disks on the data controllers of the VMBus, NVMe namespaces with nsid = LUN + 2.
"""

from __future__ import annotations

import os.path
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import anyio

from gilder.host.devices import BlockDevice, block_device, flush, is_free, wait_free
from gilder.host.lvm import deactivated
from gilder.model.errors import DeviceMissing
from gilder.runtime.threads import abandonable

_DATA_CONTROLLERS = ("{f8b3781b", "{f8b3781c", "{f8b3781d")
"""VMBus ids of the SCSI controllers with data disks (WALinuxAgent, 66-azure-storage.rules)."""

_LATE = 5.0
"""Seconds after which a device that does not show is looked for; nearly all show by themselves within one."""

_LONGEST_SCAN = 10.0
"""Seconds to wait for the kernel to look for disks."""

_SIZE_SLACK = 2**20
"""Bytes by which a device may differ from what Azure says of its disk (disks made from VHDs are rounded)."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """What this machine shows before an attach: devices by LUN, and the newest disk's sequence number."""

    visible: frozenset[int]
    newest: int


class SlotDevices(Protocol):
    """What a machine shows of its data disks; `LunDevices` is this machine."""

    def shows(self, lun: int) -> bool:
        """Whether a device shows at a LUN."""
        ...

    def device(self, lun: int) -> BlockDevice | None:
        """The device of a LUN, None while there is none; raises DeviceMissing for a name without a device."""
        ...

    def visible(self, capacity: int) -> frozenset[int]:
        """The LUNs below `capacity` at which a device shows."""
        ...

    def scenery(self, capacity: int) -> Scenery:
        """What shows now, to tell new devices from old ones later."""
        ...

    def is_free(self, device: BlockDevice) -> bool:
        """Whether nothing uses a device; raises DeviceMissing when it is gone."""
        ...

    async def wait_free(self, device: BlockDevice, within: float) -> None:
        """Wait until nothing uses a device; raises Busy, or DeviceMissing when it is gone."""
        ...

    async def flush(self, device: BlockDevice) -> None:
        """Return once all that was written is on the disk; raises HostError."""
        ...

    async def give_up(self, device: BlockDevice) -> None:
        """Take down what a killed build left on a device and the kernel does not; raises DeviceMissing when it is gone."""
        ...

    async def rescan(self) -> None:
        """Make the machine look for disks that it may have missed."""
        ...


class LunDevices:
    """Looks up data disks by LUN. `dev` and `sys` are parameters so that a test may lay out other machines."""

    def __init__(self, dev: Path = Path("/dev"), sys: Path = Path("/sys")) -> None:
        self._dev = dev
        self._sys = sys
        self._scanning = Lock()

    def path(self, lun: int) -> Path | None:
        """The device file of a LUN, None while there is none."""
        named = [self._dev / "disk/azure/data/by-lun" / str(lun)]
        named += [self._dev / f"disk/azure/scsi{controller}/lun{lun}" for controller in (1, 2, 3)]
        for link in named:
            with suppress(OSError):  # udev may remove it between two calls
                if link.is_symlink() and link.exists():
                    # One step only: behind `/dev/sdc` there may be further links, and `/dev/sdc` is the name users know.
                    return _normal(link.parent / link.readlink())
        name = self._scsi(lun) or self._nvme(lun)
        return self._dev / name if name else None

    def shows(self, lun: int) -> bool:
        """Whether a device shows at a LUN."""
        return self.path(lun) is not None

    def device(self, lun: int) -> BlockDevice | None:
        """The device of a LUN, None while there is none; raises DeviceMissing for a name without a device."""
        path = self.path(lun)
        return None if path is None else block_device(str(path))

    def is_free(self, device: BlockDevice) -> bool:
        """Whether nothing uses a device; raises DeviceMissing when it is gone."""
        return is_free(device)

    async def wait_free(self, device: BlockDevice, within: float) -> None:
        """Wait until nothing uses a device; raises Busy, or DeviceMissing when it is gone."""
        await wait_free(device, within=within)

    async def flush(self, device: BlockDevice) -> None:
        """Return once all that was written is on the disk; raises HostError."""
        await flush(device)

    async def give_up(self, device: BlockDevice) -> None:
        """Take down what a killed build left on a device: volume groups, which are the whole machine's."""
        await deactivated(device)

    async def rescan(self) -> None:
        """Make the kernel look for disks on the controllers with data disks; what it refuses is left alone.

        A scan may take seconds, and some kernels never end one: that is left behind, and no other begun.
        """
        with anyio.move_on_after(_LONGEST_SCAN):
            await abandonable(self._rescan)

    def _rescan(self) -> None:
        if self._scanning.acquire(timeout=_LONGEST_SCAN):
            try:
                self._scan()
            finally:
                self._scanning.release()

    def _scan(self) -> None:
        for host in self._sys.glob("class/scsi_host/host*"):
            if _has_data_disks(host):
                _write(host / "scan", "- - -")
        for controller in self._nvme_controllers():
            _write(controller / "rescan_controller", "1")

    def visible(self, capacity: int) -> frozenset[int]:
        """The LUNs below `capacity` at which a device shows."""
        return frozenset(lun for lun in range(capacity) if self.path(lun) is not None)

    def scenery(self, capacity: int) -> Scenery:
        """What shows now, to tell new devices from old ones later."""
        return Scenery(self.visible(capacity), max(self._sequences(), default=0))

    def _sequences(self) -> list[int]:
        files = self._sys.glob("block/*/diskseq")
        return [int(text) for text in (_read(file) for file in files) if text.isdigit()]

    def _scsi(self, lun: int) -> str | None:
        for device in self._sys.glob(f"bus/scsi/devices/*:*:*:{lun}"):
            if _has_data_disks(device):
                return next((block.name for block in _inside(device / "block", "*")), None)
        return None

    def _nvme(self, lun: int) -> str | None:
        for controller in self._nvme_controllers():
            for namespace in _inside(controller, "nvme*n*"):
                if _read(namespace / "nsid") == str(lun + 2):
                    # A kernel that expects several paths to a disk shows each as nvme0c0n1, and the disk as nvme0n1.
                    return re.sub(r"c\d+(n\d+)$", r"\1", namespace.name)
        return None

    def _nvme_controllers(self) -> list[Path]:
        """Those with remote disks; local ones have another model (azure-vm-utils, 80-azure-disk.rules)."""
        found = self._sys.glob("class/nvme/nvme*")
        return [controller for controller in found if _read(controller / "model").startswith("MSFT NVMe Accelerator")]


def _has_data_disks(place: Path) -> bool:
    """Whether something of the SCSI bus belongs to a controller with data disks."""
    above = (_read(parent / "device_id") for parent in place.resolve().parents)
    return any(text.lower().startswith(_DATA_CONTROLLERS) for text in above)


def _inside(folder: Path, pattern: str) -> list[Path]:
    """What of that kind a folder has; nothing once it is gone, for the kernel removes a disk while it is looked for."""
    with suppress(OSError):
        return list(folder.glob(pattern))
    return []


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _write(file: Path, text: str) -> None:
    with suppress(OSError):  # a container may not; then the device must show by itself, as it nearly always does
        file.write_text(text)


async def wait_device(devices: SlotDevices, lun: int, size_bytes: int, before: Scenery, within: float) -> BlockDevice:
    """Wait for the device of a disk just attached and prove that it is that disk's.

    It must have about the disk's size, and be newer than everything that was there before. A machine that does not show it
    is made to look again, at growing intervals: some kernels miss the message (azure-vm-utils, scylla-machine-image
    reports). Raises DeviceMissing when it does not show in time, or what shows is another.
    """
    start = anyio.current_time()
    deadline, rescan_at = start + within, start + _LATE
    pause = 0.01
    doubt = "no device appeared"
    while anyio.current_time() < deadline:
        try:
            device = devices.device(lun)
        except DeviceMissing as error:
            doubt = error.message
        else:
            if device is not None and (doubt := _doubt(device, size_bytes, before)) == "":
                return device
        if anyio.current_time() >= rescan_at:
            rescan_at += 2 * (anyio.current_time() - start)
            await devices.rescan()
        await anyio.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    raise DeviceMissing(
        f"the disk was attached at LUN {lun}, but {doubt} within {within:g} s",
        hint="see `lsblk` and `dmesg`: this machine was made to look for disks again and did not find it",
    )


def _doubt(device: BlockDevice, size_bytes: int, before: Scenery) -> str:
    if abs(device.size_bytes - size_bytes) > _SIZE_SLACK:
        return f"{device.path} has {device.size_bytes} bytes and the disk {size_bytes}"
    if device.diskseq is not None and device.diskseq <= before.newest:
        return f"{device.path} was there before the attach"
    return ""


async def wait_gone(devices: SlotDevices, lun: int, within: float) -> bool:
    """Wait until no device shows at a LUN; False if one still does."""
    deadline = anyio.current_time() + within
    while devices.shows(lun):
        if anyio.current_time() >= deadline:
            return False
        await anyio.sleep(0.02)
    return True
