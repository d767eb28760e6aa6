"""Data disks of the virtual machine as devices of this machine: a loop device for each, under the names Azure shows.

One world at a time owns the names below ``/dev/disk/azure``; a lock says which. Device names (``sdc`` and up) may be
shared by worlds with different link directories; a name in use is never taken.

After a disk was captured while attached, its file is shared with the snapshot (see :mod:`localarm.blobs`); then
:meth:`Devices.make_read_only` keeps the snapshot from changing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class DeviceError(Exception):
    """A device cannot be made or removed; the message says why."""


class DeviceBusy(DeviceError):
    """A disk was detached while it was mounted or otherwise held.

    As on Azure the detach went ahead: the names are gone; the loop device goes when its last user does.
    """


class DevicesOwned(DeviceError):
    """Another world, alive, owns the device names."""


class Devices(Protocol):
    """What the world asks of the machine it runs on. Synchronous: each call takes a few milliseconds."""

    def attach(self, lun: int, blob: Path) -> None:
        """Show the disk at this LUN, read and write. Raises :class:`DeviceError`.

        After a restart, a device that is still there for the same LUN and file is adopted, mounts and all.
        """

    def detach(self, lun: int) -> int:
        """Remove the disk and all its names; returns how many 512-byte sectors had not been flushed by its user.

        Raises :class:`DeviceBusy` when it was in use, after having done what can be done.
        """

    def in_use(self, lun: int) -> bool:
        """Whether the disk or a partition of it is mounted or held by another driver, in any mount namespace."""

    def attached(self) -> dict[int, Path]:
        """The files of the attached disks by LUN."""

    def sectors_written(self, lun: int) -> int:
        """512-byte sectors written to the disk since it was attached."""

    def make_read_only(self, lun: int) -> int:
        """Let the kernel refuse writes from now on; returns how many sectors had not been flushed by then.

        For a disk that is not in use and whose file a snapshot now shares.
        """

    def sweep(self) -> None:
        """Remove what an earlier process left and nobody adopted. To be called when the world is restored."""

    def close(self) -> None:
        """Detach everything and give up the names."""


class LoopDevices:
    """Loop devices; needs root. ``state`` is the directory of the world, with its blobs somewhere below."""

    def __init__(self, state: Path, links: Path = Path("/dev/disk/azure"), dev: Path = Path("/dev")) -> None:
        raise NotImplementedError

    def attach(self, lun: int, blob: Path) -> None:
        raise NotImplementedError

    def detach(self, lun: int) -> int:
        raise NotImplementedError

    def in_use(self, lun: int) -> bool:
        raise NotImplementedError

    def attached(self) -> dict[int, Path]:
        raise NotImplementedError

    def sectors_written(self, lun: int) -> int:
        raise NotImplementedError

    def make_read_only(self, lun: int) -> int:
        raise NotImplementedError

    def sweep(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class NoDevices:
    """Bookkeeping only, for machines without root and for tests of the wire."""

    def __init__(self) -> None:
        self._attached: dict[int, Path] = {}

    def attach(self, lun: int, blob: Path) -> None:
        if lun in self._attached:
            raise DeviceError(f"LUN {lun} has a disk")
        self._attached[lun] = blob

    def detach(self, lun: int) -> int:
        if self._attached.pop(lun, None) is None:
            raise DeviceError(f"LUN {lun} has no disk")
        return 0

    def in_use(self, lun: int) -> bool:
        return False

    def attached(self) -> dict[int, Path]:
        return dict(self._attached)

    def sectors_written(self, lun: int) -> int:
        return 0

    def make_read_only(self, lun: int) -> int:
        return 0

    def sweep(self) -> None:
        return

    def close(self) -> None:
        self._attached.clear()
