"""Runs a command that may make namespaces and cannot mount in them, as in some containers: `mountless.py COMMAND…`.

By a seccomp filter (seccomp(2)): mount(2) is allowed only to change how mounts are passed on, which unshare(1) does.
"""

import ctypes
import os
import platform
import struct
import sys

_MOUNT = {"x86_64": 165, "aarch64": 40}[platform.machine()]
_OPEN_TREE, _FSPICK = 428, 433
"""The newer system calls for mounting have the numbers between, everywhere."""
_PASSING_ON = 0x1E0000
"""MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED."""
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _ANY, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM

FILTER = (
    (_LOAD, 0, 0, 0),  # the number of the call
    (_EQUAL, 2, 0, _MOUNT),
    (_AT_LEAST, 0, 4, _OPEN_TREE),
    (_GREATER, 3, 2, _FSPICK),
    (_LOAD, 0, 0, 40),  # the flags of mount(2)
    (_ANY, 1, 0, _PASSING_ON),
    (_RETURN, 0, 0, _REFUSE),
    (_RETURN, 0, 0, _ALLOW),
)
"""Each: code, how many to skip if true, if false, and a number."""

if __name__ == "__main__":
    program = b"".join(struct.pack("HBBI", *line) for line in FILTER)
    held = ctypes.create_string_buffer(program)
    described = struct.pack("HP", len(FILTER), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, described, 0, 0):  # no new privileges; the filter
        sys.exit(os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])
