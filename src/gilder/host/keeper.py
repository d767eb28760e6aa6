"""The program that holds a sandbox: process 1 of its namespaces, and the hand that touches files in the guest.

It is run by path with `python -I -S` and imports nothing but the standard library. It answers requests, one JSON object
a line on stdin, one answer a line on stdout, and ends with stdin, taking all processes of its PID namespace with it.

Every path in a guest is resolved by the kernel beneath the guest's root (openat2(2): RESOLVE_IN_ROOT, and no magic
links, so that neither `/etc -> /` nor `/proc/1/root` leads to the host). No file descriptor of a guest outlives its
request: an open one would keep the disk from being unmounted.
"""

# Every build starts one of these, and pathlib would double what its start takes.
# ruff: noqa: PTH103, PTH112, PTH115, PTH120, PTH123, PTH208

from __future__ import annotations

import base64
import ctypes
import errno
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _mount(kind: str, at: str, data: str) -> None:
    words = [kind.encode(), at.encode(), kind.encode(), _NOSUID_NODEV_NOEXEC, data.encode() or None]
    _checked(_libc.mount(*words), at)


class Root:
    """A guest's root directory, open for one request."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, _DIRECTORY)

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
            found = _libc.syscall(_OPENAT2, self._fd, name, ctypes.byref(how), ctypes.sizeof(how))
            # EAGAIN: something was renamed meanwhile, and the kernel could not prove that `..` stayed inside.
            if found >= 0 or ctypes.get_errno() != errno.EAGAIN:
                break
        fd = _checked(found, path)
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
        with self.opened(head or "/", _DIRECTORY) as directory:
            yield directory, name

    def directory(self, path: str, mode: int = 0o755) -> str:
        """Make a directory with its parents unless it exists; the real path, as this namespace sees it."""
        reached = ""
        for name in [part for part in path.split("/") if part]:
            try:
                with self.opened(f"{reached}/{name}", _DIRECTORY):
                    pass
            except FileNotFoundError:
                with self.opened(reached or "/", _DIRECTORY) as above:
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

    def create(self, path: str, data: bytes, mode: int) -> None:
        """Put a new file at `path`; what was there (a link, not what it leads to) is replaced."""
        with self.parent(path) as (directory, name):
            _unlink(directory, name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=directory)
            with open(fd, "wb") as file:
                file.write(data)
                os.fchmod(fd, mode)


def _unlink(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _lstat(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


class Loan:
    """A file lent to the guest at `path`; what was there waits beside it under another name, untouched."""

    def __init__(self, path: str, token: str) -> None:
        self.path = path
        self._token = token
        self._had_original = False
        self._times_before: tuple[int, int] | None = None
        self._times_lent: tuple[int, int] | None = None

    def _aside(self, name: str) -> str:
        return f".{name[:200]}.{self._token}"

    def lend(self, root: Root, data: bytes, mode: int) -> None:
        with root.parent(self.path) as (directory, name):
            before = _times(directory)
            found = _lstat(directory, name)
            if found is not None and stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a directory in the guest", self.path)
            if found is not None:
                os.rename(name, self._aside(name), src_dir_fd=directory, dst_dir_fd=directory)
                self._had_original = True
            self._times_before = before
            root.create(self.path, data, mode)
            self._times_lent = _times(directory)

    def give_back(self, root: Root) -> None:
        """Put back what was there. The directory's times are put back too unless somebody else changed it since."""
        if self._times_before is None:
            return
        with root.parent(self.path) as (directory, name):
            now = _times(directory)
            if self._had_original:
                os.rename(self._aside(name), name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                _unlink(directory, name)
            os.utime(f"/proc/self/fd/{directory}", ns=self._times_before if now == self._times_lent else now)
        self._times_before = None


def _times(directory: int) -> tuple[int, int]:
    found = os.fstat(directory)
    return found.st_atime_ns, found.st_mtime_ns


class Keeper:
    """Answers requests; each public method is one."""

    def __init__(self) -> None:
        self._loans: dict[str, list[Loan]] = {}

    def make_directory(self, path: str) -> None:
        """A directory of the host (a mount point), with its parents."""
        os.makedirs(path, 0o755, exist_ok=True)

    def directory(self, root: str, path: str) -> str:
        with Root(root) as inside:
            return inside.directory(path)

    def mount_target(self, root: str, path: str, like: str | None) -> str:
        """The real path to mount at: made if missing, as a file if `like` (a path of the host) is not a directory."""
        with Root(root) as inside:
            if like is None or os.path.isdir(like):
                return inside.directory(path)
            try:
                return inside.real(path)
            except FileNotFoundError:
                inside.directory(os.path.dirname(path))
                inside.create(path, b"", 0o644)
                return inside.real(path)

    def status(self, root: str, path: str) -> dict[str, int] | None:
        """Type and permissions, size and owner of what is at `path` (a link itself); None if nothing."""
        try:
            with Root(root) as inside, inside.parent(path) as (directory, name):
                found = _lstat(directory, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if found is None:
            return None
        return {"mode": found.st_mode, "size": found.st_size, "uid": found.st_uid, "gid": found.st_gid}

    def read(self, root: str, path: str) -> str:
        with Root(root) as inside, inside.regular(path, os.O_RDONLY) as fd, open(os.dup(fd), "rb") as file:
            return base64.b64encode(file.read()).decode()

    def create(self, root: str, path: str, data: str, mode: int) -> None:
        with Root(root) as inside:
            inside.create(path, base64.b64decode(data), mode)

    def remove(self, root: str, path: str) -> None:
        missing = (FileNotFoundError, NotADirectoryError)
        with suppress(*missing), Root(root) as inside, inside.parent(path) as (directory, name):
            _unlink(directory, name)

    def lend(self, root: str, path: str, token: str, data: str | None, source: str | None, mode: int | None) -> None:
        """Put `data`, or the host's file `source`, at `path` until `give_back`."""
        if source is not None:
            with open(source, "rb") as file:
                content = file.read()
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) if mode is None else mode
        else:
            content = base64.b64decode(data or "")
        loan = Loan(path, token)
        self._loans.setdefault(token, []).append(loan)
        with Root(root) as inside:
            loan.lend(inside, content, 0o644 if mode is None else mode)

    def give_back(self, root: str, token: str) -> None:
        """End the loans of a token, the last first; all are tried before the first error is told."""
        failed: OSError | None = None
        with Root(root) as inside:
            for loan in reversed(self._loans.pop(token, [])):
                try:
                    loan.give_back(inside)
                except OSError as error:
                    failed = failed or error
        if failed:
            raise failed

    def processes(self) -> list[str]:
        """The names of all processes but this one, zombies aside."""
        return sorted({name for _, name in _others()})

    def end_processes(self, grace: float) -> list[str]:
        """End all other processes: TERM, KILL after `grace` seconds; the names of those that were there."""
        names = self.processes()
        left: list[tuple[int, str]] = []
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 60.0)):
            deadline = time.monotonic() + patience
            pause = 0.001
            while left := _others():
                # From process 1, -1 is everyone else in the PID namespace and those nested in it: none is missed.
                # Again in each turn, for KILL: what forks while it dies.
                if number == signal.SIGKILL or pause == 0.001:
                    _kill_all(number)
                if time.monotonic() >= deadline:
                    break
                time.sleep(pause)
                pause = min(pause * 2, 0.05)
            else:
                return names
        raise OSError(errno.EBUSY, "cannot be ended (waiting in the kernel)", ", ".join(n for _, n in left))


def _kill_all(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(-1, number)


def _others() -> list[tuple[int, str]]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and entry != "1":
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    head, _, rest = file.read().rpartition(")")
            except OSError:
                continue
            if rest.split()[0] not in "ZX":
                found.append((int(entry), head.partition("(")[2]))
    return found


def _answer(keeper: Keeper, line: str) -> dict[str, Any]:
    request = json.loads(line)
    call: Callable[..., Any] = getattr(keeper, request["op"])
    try:
        return {"id": request["id"], "value": call(**request["args"])}
    except OSError as error:
        return {"id": request["id"], "errno": error.errno, "error": str(error)}
    except Exception as error:  # noqa: BLE001 — a mistake in here must not take the build's namespaces down
        return {"id": request["id"], "errno": 0, "error": f"{type(error).__name__}: {error}"}


def main(volumes: str) -> None:
    """Prepare the namespaces, then answer until stdin ends. `volumes` becomes a tmpfs that only this namespace has."""
    # This process's number as the host sees it, read before the sandbox gets a /proc of its own.
    pid = int(os.readlink("/proc/self"))
    os.chdir("/")
    os.makedirs(volumes, 0o755, exist_ok=True)
    _mount("proc", "/proc", "")
    _mount("tmpfs", volumes, "size=16m,mode=755")
    # Ignored, so that the kernel reaps orphans; as process 1 this one is immune to signals without a handler.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper = Keeper()
    print(json.dumps({"id": 0, "value": pid}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(keeper, line)), flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1])
