"""Disk images as sparse files: created, copied, shared by hard link, thawed.

Who may share. A snapshot, an image and an image version never change, so all of them may be hard links of one file
(:meth:`BlobStore.share`). A disk changes, so a disk is always made by :meth:`BlobStore.copy`. The one exception is the
moment of capture: a snapshot *links* the file of its disk, so that a snapshot costs nothing, and two rules keep the
snapshot from changing afterwards:

* A disk that is attached and not in use: the world links, then calls ``Devices.make_read_only(lun)``. The loop device
  still refers to the shared file, but writes through it are refused by the kernel from then on. (Azure would allow
  them; a client that writes to a disk after capturing it sees an error here instead of a changed snapshot.)
* A disk that is attached and in use (mounted): its snapshot is a real copy, as the file is about to be written again.
* A disk that is not attached: the world links. Before it attaches any disk it calls :meth:`BlobStore.thaw`, which gives
  the disk a private copy when its file has other names.

Every change appears under its name at once or not at all: data goes to a temporary file first, which is then renamed.
This holds across ``kill -9``; nothing is fsynced, so a power failure may take the newest blobs with it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_TEMPORARY: Final = ".part-"
_FICLONE: Final = 0x40049409  # linux/fs.h: share all extents with another file (btrfs, xfs)
_CHUNK: Final = 1 << 30  # most bytes for one copy_file_range


class BlobError(Exception):
    """A blob is missing, exists already, or cannot have the size asked for."""


class BlobStore:
    """Raw disk images of one world, each a sparse file with a name, in one directory.

    ``root`` is made if need be. Files which an interrupted operation left are removed (those of a running one are
    locked, so any number of processes may look into one store). Names are made of letters,
    digits, ``.``, ``_`` and ``-``. All methods raise :class:`BlobError` for what the caller got wrong and ``OSError``
    for what the machine refuses (no space). Different names may be worked on in different threads at once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._thawing: dict[str, threading.Lock] = {}
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(f"{_TEMPORARY}*"):
            _remove_unless_locked(leftover)

    def path(self, name: str) -> Path:
        """Where the blob called ``name`` is or would be."""
        if not _NAME.fullmatch(name):
            raise BlobError(f"not a name for a blob: {name!r}")
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether there is a blob of this name."""
        return self.path(name).is_file()

    def names(self) -> tuple[str, ...]:
        """All blobs, sorted."""
        return tuple(sorted(entry.name for entry in os.scandir(self.root) if not entry.name.startswith(".")))

    def size_bytes(self, name: str) -> int:
        """The length of the disk."""
        return self._stat(name).st_size

    def allocated_bytes(self, name: str) -> int:
        """What the blob takes on the file system; shared blobs report it under each of their names."""
        return self._stat(name).st_blocks * 512

    def create(self, name: str, size_bytes: int) -> None:
        """An empty disk: all holes."""
        with self._appearing(name) as fd:
            os.ftruncate(fd, size_bytes)

    def copy(self, source: Path | str, name: str, size_bytes: int | None = None) -> None:
        """A private copy of a blob (by name) or of any file (by ``Path``), grown to ``size_bytes`` if given.

        Holes stay holes; where the file system can share extents, no data moves at all.
        """
        origin = self.path(source) if isinstance(source, str) else source
        with self._opened(origin) as read_fd:
            length = os.fstat(read_fd).st_size
            if size_bytes is not None and size_bytes < length:
                raise BlobError(f"{origin.name} has {length} bytes; its copy cannot have {size_bytes}")
            with self._appearing(name) as fd:
                _copy_data(read_fd, fd, length)
                os.ftruncate(fd, length if size_bytes is None else size_bytes)

    def share(self, name: str, as_name: str) -> None:
        """Another name for the same file. See the rules at the top of this module."""
        target = self.path(as_name)
        try:
            os.link(self.path(name), target)
        except FileNotFoundError:
            raise BlobError(f"no blob {name}") from None
        except FileExistsError:
            raise BlobError(f"blob {as_name} exists") from None

    def thaw(self, name: str) -> None:
        """Make ``name`` safe to write: if its file has other names too, replace it by a private copy.

        To be called before a disk is attached. The other names keep the old file. A second thaw of the same disk waits
        for the first, whose copy it must not replace.
        """
        if self._stat(name).st_nlink == 1:
            return
        with self._thawing.setdefault(name, threading.Lock()):
            if self._stat(name).st_nlink == 1:
                return
            with self._opened(self.path(name)) as read_fd, self._appearing(name, replace=True) as fd:
                length = os.fstat(read_fd).st_size
                _copy_data(read_fd, fd, length)
                os.ftruncate(fd, length)

    def resize(self, name: str, size_bytes: int) -> None:
        """Grow a disk. Its file must have no other name (:meth:`thaw` it first)."""
        stat = self._stat(name)
        if size_bytes < stat.st_size:
            raise BlobError(f"{name} has {stat.st_size} bytes; it cannot shrink to {size_bytes}")
        if stat.st_nlink > 1:
            raise BlobError(f"{name} is shared with a snapshot; thaw it before it is resized")
        os.truncate(self.path(name), size_bytes)

    def delete(self, name: str) -> None:
        """Remove the name; the data goes with the last name, or when the last loop device lets go of it."""
        try:
            self.path(name).unlink()
            self._thawing.pop(name, None)
        except FileNotFoundError:
            raise BlobError(f"no blob {name}") from None

    def export(self, name: str, file: Path) -> None:
        """Write the raw disk to ``file`` (sparse), which appears when it is complete and replaces what was there."""
        temporary = file.with_name(f"{_TEMPORARY}{file.name}-{secrets.token_hex(4)}")
        try:
            copy_sparse(self.path(name), temporary)
            temporary.replace(file)
        except FileNotFoundError as error:
            raise BlobError(f"no file {error.filename}") from None
        finally:
            temporary.unlink(missing_ok=True)

    def _stat(self, name: str) -> os.stat_result:
        try:
            return self.path(name).stat()
        except FileNotFoundError:
            raise BlobError(f"no blob {name}") from None

    @contextlib.contextmanager
    def _opened(self, file: Path) -> Iterator[int]:
        try:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobError(f"no file {file}") from None
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _appearing(self, name: str, *, replace: bool = False) -> Iterator[int]:
        """A temporary file to fill, which has its name when the block ends, and is gone when the block fails."""
        final = self.path(name)
        if not replace and final.exists():
            raise BlobError(f"blob {name} exists")
        temporary, fd = self._temporary(name)
        try:
            yield fd
            if replace:
                temporary.replace(final)
            else:
                os.link(temporary, final)  # unlike a rename, refuses to replace what another thread made meanwhile
        except FileExistsError:
            raise BlobError(f"blob {name} exists") from None
        finally:
            temporary.unlink(missing_ok=True)
            os.close(fd)

    def _temporary(self, name: str) -> tuple[Path, int]:
        """A new, locked file; made again if another process swept it away before it was locked."""
        while True:
            temporary = self.root / f"{_TEMPORARY}{name}-{secrets.token_hex(4)}"
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink == 1:
                    return temporary, fd
            os.close(fd)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file to a new one with holes wherever the source has no data, allocated or not."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        length = os.fstat(reader.fileno()).st_size
        _copy_data(reader.fileno(), writer.fileno(), length)
        writer.truncate(length)


def _remove_unless_locked(leftover: Path) -> None:
    try:
        fd = os.open(leftover, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leftover.unlink(missing_ok=True)
    except BlockingIOError:  # in the hands of a running operation
        return
    finally:
        os.close(fd)


def _copy_data(source: int, target: int, length: int) -> None:
    """Copy the data of an open file to the same offsets of an empty one, skipping holes."""
    with contextlib.suppress(OSError):  # not this file system, or not across two of them: copy the bytes
        fcntl.ioctl(target, _FICLONE, source)
        return
    offset = 0
    while offset < length:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = min(os.lseek(source, start, os.SEEK_HOLE), length)
        _copy_range(source, target, start, end)
        offset = end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = min(end - start, _CHUNK)
        try:
            copied = os.copy_file_range(source, target, count, start, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            os.lseek(target, start, os.SEEK_SET)  # two different file systems
            copied = os.sendfile(target, source, start, count)
        if copied == 0:  # the source became shorter
            return
        start += copied
