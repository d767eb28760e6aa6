"""How busy this machine's CPUs are."""

from __future__ import annotations

from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")

_CROWDED = 50.0
"""Percent of the last ten seconds in which some task had to wait for a CPU."""


def crowded(file: Path = _PRESSURE) -> bool:
    """Whether tasks often wait for a CPU; False where the kernel does not say (Documentation/accounting/psi.rst)."""
    try:
        first = file.read_text().splitlines()[0]
        told = dict(part.split("=") for part in first.split()[1:])
        return float(told["avg10"]) > _CROWDED
    except (OSError, ValueError, KeyError, IndexError):
        return False
