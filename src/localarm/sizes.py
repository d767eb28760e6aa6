"""Sizes of virtual machines: how many data disks each takes."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """One size: virtual CPUs, memory in GiB, data disks."""

    name: str
    family: str
    cpus: int
    memory_gb: int
    data_disks: int


def _series(family: str, pattern: str, rows: tuple[tuple[int, int, int], ...]) -> list[Size]:
    return [Size(pattern.format(cpus), family, cpus, memory, disks) for cpus, memory, disks in rows]


_V5_ROWS = (
    (2, 8, 4),
    (4, 16, 8),
    (8, 32, 16),
    (16, 64, 32),
    (32, 128, 32),
    (48, 192, 32),
    (64, 256, 32),
    (96, 384, 32),
)
_V6_ROWS = (
    (2, 8, 8),
    (4, 16, 12),
    (8, 32, 24),
    (16, 64, 48),
    (32, 128, 64),
    (48, 192, 64),
    (64, 256, 64),
    (96, 384, 64),
)

SIZES = {
    size.name.lower(): size
    for size in (
        Size("Standard_DS1_v2", "standardDSv2Family", 1, 3, 4),
        Size("Standard_B2ms", "standardBSFamily", 2, 8, 4),
        Size("Standard_D2_v2", "standardDv2Family", 2, 7, 8),
        *_series("standardDSv5Family", "Standard_D{}s_v5", _V5_ROWS),
        *_series("standardDDSv5Family", "Standard_D{}ds_v5", _V5_ROWS),
        *_series("standardDSv4Family", "Standard_D{}s_v4", _V5_ROWS[:7]),
        *_series("standardDSv3Family", "Standard_D{}s_v3", _V5_ROWS[:7]),
        *_series("standardESv5Family", "Standard_E{}s_v5", tuple((c, m * 2, d) for c, m, d in _V5_ROWS)),
        *_series("standardDSv6Family", "Standard_D{}s_v6", _V6_ROWS),
        *_series("standardESv6Family", "Standard_E{}s_v6", tuple((c, m * 2, d) for c, m, d in _V6_ROWS)),
    )
}
"""By lower-case name. Data disks: Azure's size pages for the v3 to v6 series."""


NAME = re.compile(r"(standard|basic)_[a-z]+(\d+)(-\d+)?[a-z0-9_]*", re.IGNORECASE)


def size_of(name: str) -> Size | None:
    """A size by name; one that looks like a size but is not in the table gets figures made up from its number of CPUs."""
    found = SIZES.get(name.lower())
    match = NAME.fullmatch(name)
    if found is None and match is not None:
        cpus = max(int(match[2]), 1)
        return Size(name, "unknown", cpus, cpus * 4, min(max(cpus * 2, 2), 32))
    return found
