"""Debian by mmdebstrap, partitioned as Debian's images on Azure are."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localarm.catalogue.making import CatalogueError, Making
from localarm.catalogue.partitions import (
    BIOS_BOOT,
    EFI_SYSTEM,
    MIB,
    ROOT_ARM64,
    ROOT_X64,
    Partition,
    fill_ext4,
    format_vfat,
    write_table,
)

SIZE_GB: Final = 30
"""As on Azure; as a sparse file it takes no more space than a smaller one."""

_PACKAGES: Final = ("ca-certificates", "dbus", "iproute2", "netbase", "systemd-sysv", "udev")
_MIRROR: Final = "http://deb.debian.org"
_KEYRINGS: Final = tuple(Path(f"/usr/share/keyrings/debian-archive-keyring.{end}") for end in ("gpg", "pgp"))
"""Where Debian's keys are; of the newer name, Debian 13 has both."""
_AZURE_DNS: Final = "168.63.129.16"


@dataclass(frozen=True)
class Release:
    """A Debian release: its number and its code name."""

    number: int
    name: str

    def make(self, making: Making, disk: Path, size_bytes: int) -> None:
        """Write the disk: 1 root ext4, 14 BIOS boot, 15 EFI system partition.

        There is no kernel and no boot loader on it: gilder changes it in a chroot, where none is used.
        """
        if os.geteuid() != 0:
            raise CatalogueError(f"making Debian {self.number} needs root")
        making.tell(f"making Debian {self.number} with mmdebstrap: about a minute, once")
        tree = making.folder / "root"
        include = ",".join(_PACKAGES)
        making.run(
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={include}", f"--keyring={_keyring()}",
            self.name, tree, *self.sources, apart=True,
        )  # fmt: skip
        root, bios, esp = layout()
        _finish(tree)
        making.tell(f"writing the disk of Debian {self.number}")
        write_table(making, disk, size_bytes, [root, bios, esp])
        fill_ext4(making, disk, root, tree)
        format_vfat(making, disk, esp)

    @property
    def sources(self) -> tuple[str, ...]:
        """Lines for apt."""
        archive, security = f"{_MIRROR}/debian", f"{_MIRROR}/debian-security"
        return (
            f"deb {archive} {self.name} main",
            f"deb {archive} {self.name}-updates main",
            f"deb {security} {self.name}-security main",
        )


RELEASES: Final = (Release(13, "trixie"), Release(12, "bookworm"))


def layout() -> tuple[Partition, Partition, Partition]:
    """Root, BIOS boot and EFI partition, at the places they have in Debian's cloud images."""
    root_type = ROOT_ARM64 if platform.machine() == "aarch64" else ROOT_X64
    return (
        Partition(1, root_type, 128 * MIB),
        Partition(14, BIOS_BOOT, 1 * MIB, 3 * MIB),
        Partition(15, EFI_SYSTEM, 4 * MIB, 124 * MIB),
    )


def _keyring() -> Path:
    """Debian's keys, by their path: apt trusts them by itself only on a Debian; Ubuntu's package just puts them there.

    Raises:
        CatalogueError: they are not here.
    """
    for keyring in _KEYRINGS:
        if keyring.exists():
            return keyring
    raise CatalogueError(f"{_KEYRINGS[0]} is missing; it comes with the Debian package debian-archive-keyring")


def next_version(made: tuple[str, ...]) -> str:
    """``0.YYYYMMDD.N``, like the versions of Debian's images on Azure: today's date (UTC), and the next number."""
    today = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
    numbers = [int(version.rsplit(".", 1)[1]) for version in made if version.startswith(f"0.{today}.")]
    return f"0.{today}.{max(numbers, default=-1) + 1}"


def _finish(tree: Path) -> None:
    """What makes one machine differ from the next is left out, as in any image."""
    files = {
        "machine-id": "",
        "hostname": "localhost\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        "resolv.conf": f"nameserver {_AZURE_DNS}\n",
        "fstab": "# <device> <mount point> <type> <options> <dump> <pass>\n",
    }
    for name, text in files.items():
        file = tree / "etc" / name
        file.unlink(missing_ok=True)  # it may be a link, or have the mode that it has on this machine
        file.write_text(text)
        file.chmod(0o644)
