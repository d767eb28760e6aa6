"""A place from which nothing of this machine can be changed: for tests that try to break out."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS = 0x20000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_MOUNT_SETATTR = 442
"""Its number on every architecture (Linux 5.12)."""
_HERE, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace"))


def behind_glass(folder: Path, work: Callable[[], None]) -> None:
    """Run `work` in a thread that sees this machine read-only, but for `folder`; raises what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            _withdraw(folder)
            work()
        except BaseException as error:  # noqa: BLE001 — it is raised again in the thread that waits
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _withdraw(folder: Path) -> None:
    """Give this thread mounts of its own (the last thing that holds them is its end), all read-only but one."""
    at = os.fsencode(folder)
    _checked(_LIBC.unshare(_NEW_MOUNTS))
    _checked(_LIBC.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None))
    _checked(_LIBC.mount(at, at, None, _BIND, None))
    _change(b"/", _AT_RECURSIVE, _Attributes(set=_READ_ONLY))
    _change(at, 0, _Attributes(clear=_READ_ONLY))


def _change(at: bytes, flags: int, attributes: _Attributes) -> None:
    size = ctypes.sizeof(attributes)
    _checked(_LIBC.syscall(_MOUNT_SETATTR, _HERE, at, flags, ctypes.byref(attributes), size))


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
