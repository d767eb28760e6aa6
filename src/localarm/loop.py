"""One loop device: bind a file to it, ask the kernel for its partitions, release it.

The numbers are from ``linux/loop.h``, ``linux/fs.h`` and ``linux/blkpg.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOOP_CLR_FD: Final = 0x4C01
_LOOP_GET_STATUS64: Final = 0x4C05
_LOOP_CONFIGURE: Final = 0x4C0A
_LOOP_CTL_GET_FREE: Final = 0x4C82
_BLKROSET: Final = 0x125D
_BLKPG: Final = 0x1269
_BLKPG_DEL_PARTITION: Final = 2
_FLAG_PARTSCAN: Final = 8
_FLAG_READ_ONLY: Final = 1
_MAJOR: Final = 7

_INFO: Final = "=QQQQQIIII64s64s32s2Q"  # struct loop_info64
_CONFIG: Final = "=II" + _INFO[1:] + "8Q"  # struct loop_config
_ATTEMPTS: Final = 64  # everyone who asks for a free loop device at once is told the same number


class NoLoopDevice(Exception):
    """The kernel gives no loop device, or its partitions cannot be read; the message says why."""


@dataclass(frozen=True)
class LoopDevice:
    """The loop device with this number, bound or not."""

    number: int

    @property
    def node(self) -> Path:
        """``/dev/loopN``."""
        return Path(f"/dev/loop{self.number}")

    @property
    def _sysfs(self) -> Path:
        return Path(f"/sys/block/loop{self.number}")

    def backing_path(self) -> Path | None:
        """The path of the file behind it, as far as the kernel still knows one; None when it is not bound."""
        try:
            text = os.fsdecode((self._sysfs / "loop/backing_file").read_bytes())
        except OSError:
            return None
        return Path(text.removesuffix("\n").removesuffix(" (deleted)"))

    def is_bound_to(self, file: Path) -> bool:
        """Whether it is bound to exactly this inode: a file that took the same name later does not count."""
        try:
            with self._opened(os.O_RDONLY) as fd:
                info = bytearray(struct.calcsize(_INFO))
                fcntl.ioctl(fd, _LOOP_GET_STATUS64, info)
            found = file.stat()
        except OSError:
            return False
        device, inode, *_rest = struct.unpack(_INFO, info)
        # The kernel encodes device numbers in its own way; the path settles which file system is meant.
        return bool(inode == found.st_ino and _same_device(device, found.st_dev))

    def in_use(self) -> bool:
        """Whether the device or a partition is mounted or claimed, in whatever namespace."""
        try:
            with self._opened(os.O_RDONLY | os.O_EXCL):
                return False
        except OSError as error:
            if error.errno == errno.EBUSY:
                return True
            raise

    def sectors_written(self) -> int:
        """512-byte sectors written since it was bound (``/sys/block/loopN/stat``, seventh field, never falls)."""
        return int((self._sysfs / "stat").read_text().split()[6])

    def partitions(self) -> list[int]:
        """Numbers of the partitions that the kernel shows."""
        found = self._sysfs.glob(f"loop{self.number}p*/partition")
        return sorted(int(file.read_text()) for file in found)

    def read_partitions(self) -> None:
        """Make the kernel show the partitions of the table on the device, also where it reads no tables itself.

        A device without a table is fine, and so are partitions that are shown already. (``partx --update`` will not
        do here: seen with util-linux 2.38, it looks only at as many numbers as there are partitions, so it misses
        14 and 15 of a disk that has 1, 14 and 15.)
        """
        try:
            subprocess.run(["partx", "--add", self.node], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except FileNotFoundError:
            raise NoLoopDevice("partx is missing; it comes with the Debian package util-linux") from None

    def drop_partitions(self) -> None:
        """Make the kernel forget the partitions, as far as they are not in use.

        Without this they come back, wrongly, with the next file that is bound to the device.
        """
        with self._opened(os.O_RDONLY) as fd:
            for number in self.partitions():
                partition = ctypes.create_string_buffer(struct.pack("=qqi64s64s4x", 0, 0, number, b"", b""))
                argument = struct.pack("@iiiP", _BLKPG_DEL_PARTITION, 0, len(partition), ctypes.addressof(partition))
                with contextlib.suppress(OSError):  # EBUSY: mounted; ENXIO: gone meanwhile
                    fcntl.ioctl(fd, _BLKPG, argument)

    def flush(self) -> None:
        """Write out what the kernel still holds back for the device and its partitions."""
        nodes = [self.node, *(Path(f"{self.node}p{number}") for number in self.partitions())]
        for node in nodes:
            with contextlib.suppress(FileNotFoundError):  # a partition that went meanwhile
                fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def set_read_only(self, read_only: bool) -> None:
        """Let the kernel refuse writes through the device or a partition, or allow them again."""
        with self._opened(os.O_RDONLY) as fd:
            fcntl.ioctl(fd, _BLKROSET, struct.pack("@i", read_only))

    def release(self) -> None:
        """Unbind the file: at once, or when the last user of the device closes it."""
        with contextlib.suppress(OSError), self._opened(os.O_RDONLY) as fd:  # ENXIO: was not bound
            fcntl.ioctl(fd, _LOOP_CLR_FD)

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        fd = os.open(self.node, flags | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def bound(file: Path) -> LoopDevice:
    """A loop device bound to ``file`` for reading and writing, with partitions shown.

    Raises:
        NoLoopDevice: the kernel has no loop driver or refuses.
    """
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        device = _configured(backing, file)
    finally:
        os.close(backing)
    try:
        device.set_read_only(False)  # this flag outlives the file that was bound before
        device.drop_partitions()  # left by others
        device.read_partitions()
    except BaseException:
        device.release()
        raise
    return device


def all_bound() -> Iterator[LoopDevice]:
    """All loop devices of this machine that have a file, whoever made them."""
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        yield LoopDevice(int(entry.parent.parent.name.removeprefix("loop")))


def _configured(backing: int, file: Path) -> LoopDevice:
    name = os.fsencode(file)[-63:]
    info = (0, 0, 0, 0, 0, 0, 0, 0, _FLAG_PARTSCAN, name, b"", b"", 0, 0)
    config = struct.pack(_CONFIG, backing, 0, *info, *([0] * 8))
    for _ in range(_ATTEMPTS):
        device = LoopDevice(_free_number())
        _ensure_node(device)
        with device._opened(os.O_RDWR) as fd:
            try:
                fcntl.ioctl(fd, _LOOP_CONFIGURE, config)
            except OSError as error:
                if error.errno == errno.EBUSY:  # another program was quicker
                    continue
                raise NoLoopDevice(f"{device.node} refuses {file}: {error.strerror}") from error
        return device
    raise NoLoopDevice("no loop device: others took every one that the kernel offered")


def _free_number() -> int:
    """A free loop device; the kernel makes a new one when all are taken."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NoLoopDevice(f"no loop devices here (/dev/loop-control: {error.strerror}); they need root") from error
    try:
        return fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)


def _ensure_node(device: LoopDevice) -> None:
    """Make the device node where /dev is not kept by the kernel (some containers)."""
    if not device.node.exists():
        with contextlib.suppress(FileExistsError):
            os.mknod(device.node, stat.S_IFBLK | 0o660, os.makedev(_MAJOR, device.number))


def _same_device(kernels: int, ours: int) -> bool:
    """Compare a device number from the loop driver (huge_encode_dev) with one from ``stat``."""
    minor = (kernels & 0xFF) | ((kernels >> 12) & ~0xFF)
    major = (kernels >> 8) & 0xFFF
    return (major, minor) == (os.major(ours), os.minor(ours))
