"""The machine's side of a scene, with caches and devices that linger: a mark reaches its disk only when all is done right."""

from __future__ import annotations

from pathlib import Path

import anyio
from tests.virtual.place import Plugs, PretendedDevices

from gilder.host.devices import BlockDevice
from gilder.slots.devices import Scenery


class CachingPlugs(Plugs):
    """Plugs with caches: what is written is on the disk only after a flush, of a ReadWrite disk only after the detach.

    The devices of detached disks show for `linger` seconds more, and hide what comes to their LUN meanwhile; when they
    are `unseen`, only to who looks for the device of a LUN.
    """

    def __init__(self, linger: float = 0.0) -> None:
        super().__init__()
        self.unseen = False
        self._written: dict[int, tuple[bytes, bool]] = {}
        """What the machine's kernel holds, and whether the host of the VM will hold it then."""
        self._cached: dict[int, bytes] = {}
        """What the host of the VM holds."""
        self._linger = linger
        self._lingering: dict[int, tuple[float, int, int]] = {}

    def write(self, lun: int, mark: bytes, *, cached: bool) -> None:
        """Write to the disk at a LUN."""
        self._written[lun] = mark, cached

    def flush(self, lun: int) -> None:
        mark, cached = self._written.pop(lun, (b"", True))
        if not mark:
            return
        if cached:
            self._cached[lun] = mark
        else:
            _write(self.attached()[lun], mark)

    def detach(self, lun: int) -> int:
        self._written.pop(lun, None)
        mark, blob = self._cached.pop(lun, None), self.attached().get(lun)
        if mark is not None and blob is not None:
            _write(blob, mark)
        if self._linger:
            self._lingering[lun] = (anyio.current_time() + self._linger, self.sequence[lun], self.sizes[lun])
        return super().detach(lun)

    def old_device(self, lun: int) -> tuple[int, int] | None:
        """Number and size of the device of a disk that is gone, while this machine still shows it."""
        until, number, size = self._lingering.get(lun, (0.0, 0, 0))
        return (number, size) if anyio.current_time() < until else None


class LingeringDevices(PretendedDevices):
    """What gilder sees of plugs whose old devices linger."""

    def __init__(self, plugs: Plugs) -> None:
        super().__init__(plugs)
        assert isinstance(plugs, CachingPlugs)
        self._lingering = plugs

    def shows(self, lun: int) -> bool:
        old = None if self._lingering.unseen else self._lingering.old_device(lun)
        return old is not None or super().shows(lun)

    def visible(self, capacity: int) -> frozenset[int]:
        return frozenset(lun for lun in range(capacity) if self.shows(lun))

    def scenery(self, capacity: int) -> Scenery:
        # As in /sys/block: a device that nothing shows for its LUN is among them all the same, with its number.
        seen = super().scenery(capacity)
        old = (self._lingering.old_device(lun) for lun in range(capacity))
        return Scenery(seen.visible, max(seen.newest, *(number for number, _ in filter(None, old)), 0))

    def device(self, lun: int) -> BlockDevice | None:
        if (old := self._lingering.old_device(lun)) is None:
            return super().device(lun)
        number, size = old
        return BlockDevice(f"/dev/lun{lun}", f"lun{lun}", f"8:{lun}", size, number)


def _write(blob: Path, mark: bytes) -> None:
    """Write to a disk. A snapshot shares the file of its disk, which is read-only from then on: the write is lost."""
    if blob.stat().st_nlink > 1:
        return
    with blob.open("r+b") as file:
        file.write(mark)


def mark_of(build: str) -> bytes:
    """What the work of a build leaves on its disk."""
    return f"made by {build};".encode()
