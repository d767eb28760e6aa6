"""Data disks of the virtual machine as devices of this machine: a loop device for each, under the names Azure shows.

One world at a time owns the names below ``/dev/disk/azure``; a lock says which. Device names (``sdc`` and up) may be
shared by worlds with different link directories; a name in use is never taken.

After a disk was captured while attached, its file is shared with the snapshot (see :mod:`localarm.blobs`); then
:meth:`Devices.make_read_only` keeps the snapshot from changing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import string
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from localarm.device_lock import DeviceError, DeviceLock, DevicesOwned
from localarm.loop import LoopDevice, NoLoopDevice, all_bound, bound

__all__ = ["DeviceBusy", "DeviceError", "Devices", "DevicesOwned", "LoopDevices", "NoDevices"]

_LOOP_NODE: Final = re.compile(r"/dev/loop([0-9]+)(?:p[0-9]+)?")
_PARTITIONS: Final = 15  # Azure's own images number theirs up to 15


class DeviceBusy(DeviceError):
    """A disk was detached while it was mounted or otherwise held.

    As on Azure the detach went ahead: the names are gone; the loop device goes when its last user does.
    """


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


@dataclass(frozen=True)
class _Shown:
    """An attached disk: its file, its loop device, and the name it has, such as ``sdc``."""

    blob: Path
    loop: LoopDevice
    name: str


class LoopDevices:
    """Loop devices; needs root.

    A disk at LUN 5 gets ``/dev/disk/azure/scsi1/lun5`` -> ``/dev/sdX`` -> ``/dev/loopK``, and ``/dev/sdX1`` to
    ``/dev/sdX15`` -> ``/dev/loopKp1`` and so on, which dangle until there are such partitions. They are links since a
    copy of a device node would miss partitions made later.

    Args:
        state: the directory of the world, with its blobs somewhere below. What is attached is noted there before it
            is shown, so that a later process finds what a killed one left.
        links: where the names by LUN go.
        dev: where the ``sdX`` names go.

    Raises:
        DevicesOwned: another world, alive, holds ``links``.
        DeviceError: no right to make devices here.
    """

    def __init__(self, state: Path, links: Path = Path("/dev/disk/azure"), dev: Path = Path("/dev")) -> None:
        self._state = state.resolve()
        self._state.mkdir(parents=True, exist_ok=True)
        self._note = self._state / "devices.json"
        self._by_lun = links / "scsi1"
        self._dev = dev
        self._mutex = threading.Lock()
        self._shown: dict[int, _Shown] = {}
        self._made: set[Path] = set()
        self._lock = DeviceLock.taken(links, self._state)
        self._left = self._leftovers()
        self._drop_dead_links()

    def attach(self, lun: int, blob: Path) -> None:
        with self._mutex:
            if lun in self._shown:
                raise DeviceError(f"LUN {lun} has a disk")
            left = self._left.pop(lun, None)
            if left is not None and left.loop.is_bound_to(blob):
                self._show(lun, _Shown(blob, left.loop, left.name))
                return
            if left is not None:
                self._remove(lun, left)
            link = self._by_lun / f"lun{lun}"
            if os.path.lexists(link):
                raise DeviceError(f"{link} exists and is not ours")
            try:
                loop = bound(blob)
            except (NoLoopDevice, OSError) as error:
                raise DeviceError(f"cannot attach {blob.name} at LUN {lun}: {error}") from error
            try:
                self._show(lun, _Shown(blob, loop, ""))
            except BaseException:
                loop.release()
                raise

    def detach(self, lun: int) -> int:
        with self._mutex:
            shown = self._at(lun)
            before = shown.loop.sectors_written()
            shown.loop.flush()
            unflushed = shown.loop.sectors_written() - before
            del self._shown[lun]
            busy = self._remove(lun, shown)
            self._write_note()
        if busy:
            raise DeviceBusy(f"the disk at LUN {lun} was detached while in use as {shown.name} ({shown.loop.node})")
        return unflushed

    def in_use(self, lun: int) -> bool:
        return self._at(lun).loop.in_use()

    def attached(self) -> dict[int, Path]:
        return {lun: shown.blob for lun, shown in sorted(self._shown.items())}

    def sectors_written(self, lun: int) -> int:
        return self._at(lun).loop.sectors_written()

    def make_read_only(self, lun: int) -> int:
        loop = self._at(lun).loop
        before = loop.sectors_written()
        loop.set_read_only(True)
        loop.flush()  # what was accepted before is still written, as the block layer stops only new writes
        return loop.sectors_written() - before

    def sweep(self) -> None:
        with self._mutex:
            for lun, left in self._left.items():
                self._remove(lun, left)
            self._left.clear()
            self._write_note()

    def close(self) -> None:
        for lun in list(self._shown):
            with contextlib.suppress(DeviceBusy):
                self.detach(lun)
        self.sweep()
        self._lock.give_up()

    def _at(self, lun: int) -> _Shown:
        try:
            return self._shown[lun]
        except KeyError:
            raise DeviceError(f"LUN {lun} has no disk") from None

    def _show(self, lun: int, disk: _Shown) -> None:
        """Note the disk under a free name, then make its links; the one by LUN is last, as it announces the disk."""
        for name in itertools.chain([disk.name] if disk.name else [], _disk_names()):
            if name != disk.name and not self._is_free(name):
                continue
            self._shown[lun] = shown = _Shown(disk.blob, disk.loop, name)
            try:
                self._write_note()
                if self._link_names(shown):
                    self._link(self._by_lun / f"lun{lun}", os.path.relpath(self._dev / name, self._by_lun))
                    return
            except BaseException:
                del self._shown[lun]
                self._unlink(lun, shown)
                raise

    def _is_free(self, name: str) -> bool:
        """Neither a disk of this machine nor of any world, attached or being attached here, has the name."""
        taken = {shown.name for shown in (*self._shown.values(), *self._left.values())}
        real = Path("/sys/block") / name
        return name not in taken and not real.exists() and not os.path.lexists(self._dev / name)

    def _link_names(self, shown: _Shown) -> bool:
        """Make the name of the disk and of its partitions; False if another world took one of them meanwhile."""
        made: list[Path] = []
        for path, target in self._names(shown):
            if os.path.lexists(path) and _points_to(path, target):
                continue
            try:
                path.symlink_to(target)
            except FileExistsError:
                for link in made:
                    link.unlink(missing_ok=True)
                return False
            made.append(path)
        return True

    def _names(self, shown: _Shown) -> Iterator[tuple[Path, str]]:
        yield self._dev / shown.name, str(shown.loop.node)
        for number in range(1, _PARTITIONS + 1):
            yield self._dev / f"{shown.name}{number}", f"{shown.loop.node}p{number}"

    def _link(self, link: Path, target: str) -> None:
        missing = [folder for folder in (link.parent, *link.parent.parents) if not folder.exists()]
        if missing:
            self._made.update(missing)
            self._write_note()
            link.parent.mkdir(parents=True)
        if not _points_to(link, target):
            link.symlink_to(target)

    def _unlink(self, lun: int, shown: _Shown) -> None:
        """Remove the links that lead to this disk, and folders that were made for them and are empty."""
        link = self._by_lun / f"lun{lun}"
        if _points_to(link, os.path.relpath(self._dev / shown.name, self._by_lun)):
            link.unlink(missing_ok=True)
        for path, target in self._names(shown):
            if _points_to(path, target):
                path.unlink(missing_ok=True)
        for folder in sorted(self._made, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # not empty, or gone
                folder.rmdir()

    def _remove(self, lun: int, shown: _Shown) -> bool:
        """Take the names away, then the device. True if it was in use, so that it goes later, by itself."""
        self._unlink(lun, shown)
        if shown.loop.backing_path() is None:
            return False
        busy = shown.loop.in_use()
        shown.loop.drop_partitions()
        if not busy:
            shown.loop.set_read_only(False)
        shown.loop.release()
        return busy

    def _write_note(self) -> None:
        disks = {
            str(lun): {"blob": str(shown.blob), "loop": shown.loop.number, "name": shown.name}
            for lun, shown in (self._left | self._shown).items()
        }
        temporary = self._note.with_suffix(".new")
        temporary.write_text(json.dumps({"disks": disks, "folders": sorted(map(str, self._made))}))
        temporary.replace(self._note)

    def _leftovers(self) -> dict[int, _Shown]:
        """What a killed process of this world left; devices that it had not noted yet are released at once."""
        try:
            note = json.loads(self._note.read_text())
        except FileNotFoundError:
            note = {"disks": {}, "folders": []}
        self._made = {Path(folder) for folder in note["folders"]}
        noted = {
            int(lun): _Shown(Path(disk["blob"]), LoopDevice(disk["loop"]), disk["name"])
            for lun, disk in note["disks"].items()
        }
        ours = {device.number for device in all_bound() if self._is_ours(device)}
        for lun, shown in list(noted.items()):
            if shown.loop.number in ours:
                ours.discard(shown.loop.number)
            else:
                del noted[lun]
                if (
                    shown.loop.backing_path() is None
                ):  # else the number belongs to someone else now, and so do its links
                    self._unlink(lun, shown)
        for number in ours:
            LoopDevice(number).drop_partitions()
            LoopDevice(number).release()
        return noted

    def _is_ours(self, device: LoopDevice) -> bool:
        path = device.backing_path()
        return path is not None and path.is_relative_to(self._state)

    def _drop_dead_links(self) -> None:
        """Remove what other worlds left when they were killed, as far as it is certainly dead.

        Nobody alive owns names by LUN here, as we hold the lock. A name like ``sdc`` is dead when its loop device has
        no file: a world binds the file before it makes the name, and removes the name first. Loop devices of others
        are not ours to touch; their world removes them when it is started again.
        """
        for path in self._dev.glob("sd*"):
            target = _LOOP_NODE.fullmatch(str(path.readlink())) if path.is_symlink() else None
            if target is not None and LoopDevice(int(target[1])).backing_path() is None:
                path.unlink(missing_ok=True)
        ours = {self._by_lun / f"lun{lun}" for lun in self._left}
        for link in set(self._by_lun.glob("lun*")) - ours:
            if link.is_symlink() and (not link.exists() or (link.parent / link.readlink()).is_symlink()):
                link.unlink()


def _disk_names() -> Iterator[str]:
    """``sdc`` to ``sdz``, ``sdaa`` to ``sdzz``, ``sdaaa`` …; sda and sdb are the OS and the temporary disk on Azure."""
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            if letters not in (("a",), ("b",)):
                yield "sd" + "".join(letters)


def _points_to(link: Path, target: str) -> bool:
    try:
        return str(link.readlink()) == target
    except OSError:
        return False


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
