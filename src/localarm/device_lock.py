"""Who owns the names of data disks on this machine: one world at a time for each directory of links."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ATTEMPTS: Final = 10


class DeviceError(Exception):
    """A device cannot be made or removed; the message says why."""


class DevicesOwned(DeviceError):
    """Another world, alive, owns the device names."""


@dataclass(frozen=True)
class DeviceLock:
    """The right to the names below one directory of links, until it is given up or the process ends."""

    file: Path
    fd: int

    @classmethod
    def taken(cls, links: Path, state: Path) -> DeviceLock:
        """Take it, naming this process and its world to others.

        Raises:
            DevicesOwned: another world, alive, has it.
            DeviceError: no right to.
        """
        name = "devices" if links == Path("/dev/disk/azure") else "devices" + str(links.resolve()).replace("/", "-")
        file = Path(f"/run/localarm/{name[-240:]}.lock")
        cls._clear_dead(file.parent)
        attempts = 0
        while True:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                lock = cls(file, os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
            except PermissionError:
                raise DeviceError("making devices needs root (or run without any: --devices none)") from None
            try:
                fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                attempts += 1
                if attempts < _ATTEMPTS:  # it may be held for a moment by someone who clears dead locks
                    os.close(lock.fd)
                    time.sleep(0.01)
                    continue
                owner = os.pread(lock.fd, 4096, 0).decode().strip()
                os.close(lock.fd)
                raise DevicesOwned(f"another localarm owns {links} on this machine: {owner or file}") from None
            if lock._is_the_file():
                os.ftruncate(lock.fd, 0)
                os.pwrite(lock.fd, f"pid {os.getpid()}, state {state}\n".encode(), 0)
                return lock
            os.close(lock.fd)  # the former owner has just removed it: look again

    def give_up(self) -> None:
        """Let others have it."""
        if self._is_the_file():
            self.file.unlink()
        os.close(self.fd)

    @classmethod
    def _clear_dead(cls, folder: Path) -> None:
        """Remove the lock files of processes that were killed: nobody holds their locks."""
        for file in folder.glob("*.lock"):
            with contextlib.suppress(OSError):  # held, gone meanwhile, or not ours to remove
                lock = cls(file, os.open(file, os.O_RDWR | os.O_CLOEXEC))
                try:
                    fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock.fd)
                else:
                    lock.give_up()

    def _is_the_file(self) -> bool:
        try:
            return os.path.samestat(self.file.stat(), os.fstat(self.fd))
        except FileNotFoundError:
            return False
