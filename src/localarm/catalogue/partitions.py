"""Partition tables and file systems inside a raw disk image, made without mounting anything."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localarm.catalogue.making import Making

SECTOR: Final = 512
MIB: Final = 1 << 20
LINUX: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
BIOS_BOOT: Final = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_X64: Final = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
ROOT_ARM64: Final = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"

_TAIL: Final = MIB  # the second copy of the table is at the end of the disk


@dataclass(frozen=True)
class Partition:
    """A partition: its number, type and place in bytes; ``size`` None takes what is left."""

    number: int
    type_guid: str
    start: int
    size: int | None = None

    def size_on(self, disk_bytes: int) -> int:
        """Its size on a disk of this length."""
        return disk_bytes - _TAIL - self.start if self.size is None else self.size


def write_table(making: Making, disk: Path, size_bytes: int, partitions: Iterable[Partition]) -> None:
    """Make the file ``disk``, sparse, with a GPT."""
    with disk.open("wb") as file:
        os.truncate(file.fileno(), size_bytes)
    lines = ["label: gpt", "unit: sectors"]
    for part in partitions:
        start, size = part.start // SECTOR, part.size_on(size_bytes) // SECTOR
        lines.append(f"{disk}{part.number} : start={start}, size={size}, type={part.type_guid}")
    making.run("sfdisk", "--quiet", disk, text="\n".join(lines) + "\n")


def fill_ext4(making: Making, disk: Path, part: Partition, tree: Path) -> None:
    """Make an ext4 in a partition with the files of ``tree``.

    The inode tables are marked as zeroed, which on a sparse file takes no space: else the kernel would start to zero
    them behind the back of whoever mounts the disk first.
    """
    size = part.size_on(disk.stat().st_size)
    options = f"offset={part.start},lazy_itable_init=0,lazy_journal_init=1,nodiscard"
    blocks = str(size // 4096)
    making.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", options, "-d", tree, disk, blocks)


def format_vfat(making: Making, disk: Path, part: Partition) -> None:
    """Make an empty FAT file system in a partition."""
    size = part.size_on(disk.stat().st_size)
    offset = str(part.start // SECTOR)
    making.run("mkfs.vfat", "-n", "EFI", "-F", "32", "--offset", offset, "-h", offset, disk, str(size // 1024))
