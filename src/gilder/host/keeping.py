"""What the keeper of a sandbox does: holds the namespaces, and is the hand that touches files in the guest.

It runs as process 1 of the sandbox and answers requests, one JSON object a line on stdin, one answer a line on stdout; it
ends with stdin, taking all processes of its PID namespace with it. No file descriptor of a guest outlives its request, but
for those of `watch_writes`: an open one would keep the disk from being unmounted.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gilder.host.beneath import LIBC, Root, checked, lstat, unlink

_NOSUID, _NODEV, _NOEXEC, _BIND = 0x2, 0x4, 0x8, 0x1000
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
"""Names and numbers, from the kernel's list (admin-guide/devices.txt)."""
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


def _mount(kind: str, at: str, flags: int, data: str) -> None:
    words = [kind.encode(), at.encode(), kind.encode(), flags, data.encode() or None]
    checked(LIBC.mount(*words), at)


class Loan:
    """A file lent to the guest at `path`; what was there waits beside it under another name, untouched."""

    def __init__(self, path: str, token: str) -> None:
        self.path = path
        self._token = token
        self._had_original = False
        self._lent: tuple[int, ...] | None = None
        self._times_before: tuple[int, int] | None = None
        self._times_lent: tuple[int, int] | None = None

    def _aside(self, name: str) -> str:
        return f".{name[:200]}.{self._token}"

    def lend(self, root: Root, data: bytes, mode: int) -> None:
        with root.parent(self.path) as (directory, name):
            before = _times(directory)
            found = lstat(directory, name)
            if found is not None and stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a directory in the guest", self.path)
            if found is not None:
                os.rename(name, self._aside(name), src_dir_fd=directory, dst_dir_fd=directory)
                self._had_original = True
            self._times_before = before
            # Of a second ago: the clock of filesystems is coarse, and a write that follows at once has to show.
            self._lent = _mark(root.create(self.path, data, mode, time.time_ns() - 10**9))
            self._times_lent = _times(directory)

    def give_back(self, root: Root) -> str | None:
        """Put back what was there, unless the guest has replaced, rewritten or removed the lent file: then that stays.

        Such a deed is returned: "changed" or "removed". The directory's times are put back too unless somebody else
        changed it since.
        """
        if self._times_before is None:
            return None
        with root.parent(self.path) as (directory, name):
            now = _times(directory)
            found = lstat(directory, name)
            untouched = self._lent is None or (found is not None and _mark(found) == self._lent)
            if not untouched:
                unlink(directory, self._aside(name))
            elif self._had_original:
                os.rename(self._aside(name), name, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                unlink(directory, name)
            os.utime(f"/proc/self/fd/{directory}", ns=self._times_before if now == self._times_lent else now)
        self._times_before = None
        if untouched or (found is None and not self._had_original):
            return None
        return "removed" if found is None else "changed"


def _mark(found: os.stat_result) -> tuple[int, ...]:
    """By what a file is known again that nobody has written to; who only changes its mode or owner does not write."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _times(directory: int) -> tuple[int, int]:
    found = os.fstat(directory)
    return found.st_atime_ns, found.st_mtime_ns


class Keeper:
    """Answers requests; each public method is one."""

    def __init__(self) -> None:
        self._loans: dict[str, list[Loan]] = {}
        self._watched: dict[str, int] = {}

    def watch_writes(self, path: str) -> None:
        """Hear of every write to the filesystem at `path` that fails from now on.

        By keeping it open: syncfs(2) tells of errors since the open, however often others have asked meanwhile.
        """
        self._watched[path] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write_all(self, path: str) -> None:
        """Have everything written; raises OSError (EIO, ENOSPC) if something was not since `watch_writes`."""
        checked(LIBC.syncfs(self._watched[path]), path)

    def end_watch(self, path: str) -> None:
        """Let go of the filesystem, so that it can be unmounted; nothing if it is not watched."""
        if (fd := self._watched.pop(path, None)) is not None:
            os.close(fd)

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

    def mount(self, kind: str, source: str, at: str) -> None:
        """Mount at the real path `at`, as mount(8) does without options; `kind` may be `bind`. Raises OSError."""
        words = [source.encode(), at.encode(), None, _BIND, None]
        if kind != "bind":
            words = [source.encode(), at.encode(), kind.encode(), 0, None]
        checked(LIBC.mount(*words), at)

    def make_devices(self, at: str) -> None:
        """Fill a fresh tmpfs, seen from this namespace, with the devices that every program expects."""
        for name, major, minor in _DEVICES:
            os.mknod(f"{at}/{name}", stat.S_IFCHR, os.makedev(major, minor))
            os.chmod(f"{at}/{name}", 0o666)  # noqa: S103 — as everywhere; mknod heeds the umask
        for name, target in _DEVICE_LINKS:
            os.symlink(target, f"{at}/{name}")
        os.mkdir(f"{at}/pts", 0o755)
        os.mkdir(f"{at}/shm")
        os.chmod(f"{at}/shm", 0o1777)  # noqa: S103 — as everywhere

    def status(self, root: str, path: str) -> dict[str, int] | None:
        """Type and permissions, size and owner of what is at `path` (a link itself); None if nothing."""
        try:
            with Root(root) as inside, inside.parent(path) as (directory, name):
                found = lstat(directory, name)
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
            unlink(directory, name)

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

    def give_back(self, root: str, token: str) -> dict[str, str]:
        """End the loans of a token, the last first; all are tried before the first error is told.

        What the guest did at their paths, where that stays: "changed" or "removed".
        """
        failed: OSError | None = None
        stays: dict[str, str] = {}
        with Root(root) as inside:
            for loan in reversed(self._loans.pop(token, [])):
                try:
                    if deed := loan.give_back(inside):
                        stays[loan.path] = deed
                except OSError as error:
                    failed = failed or error
        if failed:
            raise failed
        return stays

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


def keep(volumes: str) -> None:
    """Prepare the namespaces, then answer until stdin ends. `volumes` becomes a tmpfs that only this namespace has."""
    # This process's number as the host sees it, read before the sandbox gets a /proc of its own.
    pid = int(os.readlink("/proc/self"))
    os.chdir("/")
    os.makedirs(volumes, 0o755, exist_ok=True)
    _mount("proc", "/proc", _NOSUID | _NODEV | _NOEXEC, "")
    # Not NOEXEC: the scripts that run on this machine are here too, so that they go with the namespace.
    _mount("tmpfs", volumes, _NOSUID | _NODEV, "size=16m,mode=755")
    # Ignored, so that the kernel reaps orphans; as process 1 this one is immune to signals without a handler.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper = Keeper()
    print(json.dumps({"id": 0, "value": pid}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(keeper, line)), flush=True)
