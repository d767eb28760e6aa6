"""Paths beneath a guest's root: every link in them is resolved by the kernel inside of it.

With openat2(2): RESOLVE_IN_ROOT, and no magic links, so that neither `/etc -> /` nor `/proc/1/root` leads to the host.
Imported by the programs that run in a sandbox, so nothing but the standard library is imported, and little of that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

LIBC = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def checked(result: int, path: str) -> int:
    """The result of a call of the C library; raises OSError where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


class Root:
    """A guest's root directory, open for one request."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    @contextmanager
    def opened(self, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        """Hold `path` open; links are followed, beneath the root."""
        how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        name = path.encode(errors="surrogateescape")
        found = -1
        for _ in range(100):
            found = LIBC.syscall(_OPENAT2, self._fd, name, ctypes.byref(how), ctypes.sizeof(how))
            # EAGAIN: something was renamed meanwhile, and the kernel could not prove that `..` stayed inside.
            if found >= 0 or ctypes.get_errno() != errno.EAGAIN:
                break
        fd = checked(found, path)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Hold the directory of `path` open, beside the last name."""
        head, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EINVAL, "does not name a file", path)
        with self.opened(head or "/", DIRECTORY) as directory:
            yield directory, name

    def directory(self, path: str, mode: int = 0o755) -> str:
        """Make a directory with its parents unless it exists; the real path, as this namespace sees it."""
        reached = ""
        for name in [part for part in path.split("/") if part]:
            try:
                with self.opened(f"{reached}/{name}", DIRECTORY):
                    pass
            except FileNotFoundError:
                with self.opened(reached or "/", DIRECTORY) as above:
                    try:
                        os.mkdir(name, mode, dir_fd=above)
                    except FileExistsError as error:
                        raise OSError(error.errno, "is a link that leads nowhere", f"{reached}/{name}") from None
            reached += f"/{name}"
        return self.real(path)

    def real(self, path: str) -> str:
        """Where a path leads, without links."""
        with self.opened(path, os.O_PATH) as fd:
            return os.readlink(f"/proc/self/fd/{fd}")

    @contextmanager
    def regular(self, path: str, flags: int) -> Iterator[int]:
        """Hold a regular file open; anything else is refused *before* it is opened, for opening a FIFO may block and
        opening a device may do anything."""
        with self.opened(path, os.O_PATH) as found:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", path)
            fd = os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)

    def create(self, path: str, data: bytes, mode: int, mtime_ns: int | None = None) -> os.stat_result:
        """Put a new file at `path`; what was there (a link, not what it leads to) is replaced."""
        with self.parent(path) as (directory, name):
            unlink(directory, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=directory)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()  # a later write would change the time again
                os.fchmod(fd, mode)
                if mtime_ns is not None:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                return os.fstat(fd)


def unlink(directory: int, name: str) -> None:
    """Remove a file or link of an open directory, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def lstat(directory: int, name: str) -> os.stat_result | None:
    """What is at a name in an open directory; None if nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
