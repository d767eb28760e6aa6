"""Block devices of this machine, as the kernel tells of them.

A device is known by its number (MAJOR:MINOR); names are only ways to it. `/dev/sdc` may be a link, udev may be late or
absent, so partitions are looked up in sysfs and a name is used only when it resolves to the right number.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from gilder.host.holders import device_holders, found_in_time, mount_holders
from gilder.host.run import output, run
from gilder.model.errors import Busy, DeviceMissing, HostError
from gilder.runtime.threads import abandonable

_SECTOR = 512
"""Bytes; sysfs counts in these whatever the device's own sector size (kernel: Documentation/ABI/stable/sysfs-block)."""

_LOOKS = 5
"""How often the partitions of a disk are looked at when some go meanwhile."""

_UNTOLD = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of open(2) that tell of whoever opens, and not of the device: it may be there, and in use."""


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A whole disk. `path` is the name that users know (`/dev/sdc`), `kernel_name` the kernel's (`loop0`), `number` is
    MAJOR:MINOR, `diskseq` the kernel's running number of disks (None before Linux 5.15)."""

    path: str
    kernel_name: str
    number: str
    size_bytes: int
    diskseq: int | None

    @property
    def name(self) -> str:
        """The last part of `path`, `sdc`."""
        return Path(self.path).name

    @property
    def sysfs(self) -> Path:
        """Where the kernel describes it."""
        return Path("/sys/dev/block") / self.number


def block_device(path: str) -> BlockDevice:
    """Look a device up; raises DeviceMissing when there is none at `path`."""
    try:
        number = _number(path)
        sysfs = Path("/sys/dev/block") / number
        size = int((sysfs / "size").read_text()) * _SECTOR
        kernel_name = sysfs.resolve(strict=True).name
    except (OSError, ValueError) as error:
        raise DeviceMissing(f"{path} is not a block device that the kernel shows: {error}") from error
    try:
        diskseq = int((sysfs / "diskseq").read_text())
    except OSError:
        diskseq = None
    return BlockDevice(path, kernel_name, number, size, diskseq)


def _number(path: str) -> str:
    found = Path(path).stat()
    if not stat.S_ISBLK(found.st_mode):
        raise ValueError("it is another kind of file")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def partition_numbers(device: BlockDevice) -> dict[str, str]:
    """The partitions that the kernel knows: partition number ("1") to MAJOR:MINOR. Raises DeviceMissing while they change."""
    for _ in range(_LOOKS):
        # The kernel takes all partitions away for a moment when udev, or whoever, has it read the table again. With those
        # left out that go meanwhile, a disk with LVM would pass for one without.
        with suppress(OSError):
            return {
                file.read_text().strip(): (file.parent / "dev").read_text().strip()
                for file in device.sysfs.glob(f"{device.kernel_name}*/partition")
            }
    raise DeviceMissing(f"the partitions of {device.path} change all the time")


def partition(device: BlockDevice, which: str) -> str:
    """The device path of a partition: `"1"` of `/dev/sdc` is `/dev/sdc1`, of `/dev/nvme0n2` `/dev/nvme0n2p1`. An empty
    `which` is the whole device.

    Raises DeviceMissing when the kernel does not know the partition, or no name leads to it.
    """
    if not which:
        return device.path
    known = partition_numbers(device)
    if which not in known:
        has = ", ".join(sorted(known, key=lambda n: (len(n), n))) or "none"
        raise DeviceMissing(
            f"{device.path} has no partition {which}",
            hint=f"the kernel knows these partitions: {has}; mount_partition says which one is mounted",
        )
    join = "p" if device.path[-1].isdigit() else ""
    kernel_join = "p" if device.kernel_name[-1].isdigit() else ""
    for path in (f"{device.path}{join}{which}", f"/dev/{device.kernel_name}{kernel_join}{which}"):
        try:
            if _number(path) == known[which]:
                return path
        except (OSError, ValueError):
            continue
    raise DeviceMissing(f"partition {which} of {device.path} has no device file for {known[which]} yet")


async def wait_partition(device: BlockDevice, which: str, within: float = 10.0) -> str:
    """`partition`, waiting up to `within` seconds: udev makes the names a little later than the kernel its partitions."""
    deadline = anyio.current_time() + within
    pause = 0.01
    while True:
        try:
            return partition(device, which)
        except DeviceMissing:
            if anyio.current_time() >= deadline:
                raise
        await anyio.sleep(pause)
        pause = min(pause * 2, 0.5)


async def reread_partitions(device: BlockDevice) -> None:
    """Make the kernel's list of partitions agree with the table on disk, and wait for the names.

    `partx` and not BLKRRPART (`partprobe`): it works while a partition is in use. Number by number, for `partx --update`
    of a whole disk stops at the first gap (util-linux 2.38: of the partitions 1, 14 and 15 it shows only the first). A
    disk without a table is fine. Raises CommandFailed.
    """
    shown = await output(["partx", "--show", "--noheadings", "--output", "NR", device.path], valid=(0, 1))
    on_disk = {line.strip() for line in shown.splitlines() if line.strip()}
    for number in sorted(partition_numbers(device).keys() - on_disk, key=int):
        await run(["partx", "--delete", "--nr", f"{number}:{number}", device.path])
    for number in sorted(on_disk, key=int):
        await run(["partx", "--update", "--nr", f"{number}:{number}", device.path])
    await settle()


async def settle() -> None:
    """Wait for udev to work off its queue, where udev runs."""
    if Path("/run/udev/control").exists() and shutil.which("udevadm"):
        # A machine busy with 64 disks may take longer; then names are waited for one by one.
        await run(["udevadm", "settle", "--timeout=10"], check=False)


async def flush(device: BlockDevice, within: float = 600.0) -> None:
    """Make everything written to the device durable: `fsync` on the block device sends a FLUSH (BLKFLSBUF does not).

    Raises HostError when a write fails, the device is gone, or the kernel does not answer `within` that many seconds: then
    what is on the disk is not what was written.
    """
    with anyio.move_on_after(within) as scope:
        try:
            await abandonable(partial(_fsync, device.path))
        except OSError as error:
            raise unwritten(device.path, error.strerror or str(error)) from error
    if scope.cancelled_caught:
        raise unwritten(device.path, f"the flush did not end within {within:g} s")


def unwritten(path: str, why: str) -> HostError:
    """What is on the disk at `path` is not what was written to it."""
    return HostError(
        f"not everything was written to {path}: {why}",
        hint="the disk or the way to it is faulty, see `dmesg`; building again uses another disk",
    )


def _fsync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_free(device: BlockDevice) -> bool:
    """Whether nothing holds the disk or a partition of it: no mount in any namespace, no LVM, RAID or dm, no exclusive
    opener. Asks the kernel by opening the whole disk exclusively (open(2), O_EXCL on block devices).

    Raises DeviceMissing when it is gone, HostError when the kernel does not say: a disk that is not known to be free is not.
    """
    try:
        os.close(os.open(device.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        if error.errno in _UNTOLD:
            raise HostError(
                f"whether something uses {device.path} cannot be seen: {error.strerror}",
                hint="be root, and let a container open the data disks of its machine",
            ) from error
        raise DeviceMissing(f"{device.path} cannot be opened: {error}") from error
    return True


async def wait_free(device: BlockDevice, within: float = 10.0) -> None:
    """Wait until `is_free`; raises Busy with the holders' names after `within` seconds, else as `is_free` does."""
    deadline = anyio.current_time() + within
    pause = 0.005
    while not is_free(device):
        if anyio.current_time() >= deadline:
            raise Busy(device.path, await found_in_time(partial(holders_of, device)))
        await anyio.sleep(pause)
        pause = min(pause * 2, 0.5)


def holders_of(device: BlockDevice) -> list[str]:
    """Who holds a disk: mounts in any namespace and devices stacked upon it. Blocks a little."""
    numbers = {device.number}
    with suppress(DeviceMissing):
        numbers |= set(partition_numbers(device).values())
    return device_holders(numbers) + mount_holders(numbers)
