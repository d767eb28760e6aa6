"""Which programs this machine can run."""

from __future__ import annotations

import platform
from pathlib import Path

_AZURE_NAMES = {"x86_64": "x64", "aarch64": "Arm64"}
_HANDLERS = {"x64": "qemu-x86_64", "arm64": "qemu-aarch64"}
"""The names under which Debian's qemu-user-static registers emulators with the kernel."""

_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def architecture() -> str:
    """The CPU architecture of this machine in Azure's words: `x64` or `Arm64`."""
    return _AZURE_NAMES.get(platform.machine(), platform.machine())


def emulates(wanted: str, binfmt: Path = _BINFMT) -> bool:
    """Whether programs for another architecture (Azure's word) run here by an emulator that the kernel knows."""
    try:
        return (binfmt / _HANDLERS.get(wanted.lower(), "none")).read_text().startswith("enabled")
    except OSError:
        return False
