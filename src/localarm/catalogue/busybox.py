"""A tiny Linux from one static busybox: for tests and for trying things, made in a fraction of a second."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from localarm.catalogue.making import Making
from localarm.catalogue.partitions import LINUX, MIB, Partition, fill_ext4, write_table

SIZE_GB: Final = 1
VERSION: Final = "1.0.0"
"""To be raised when this file makes something else than before."""

_FOLDERS: Final = ("dev", "proc", "sys", "run", "tmp", "root", "home", "mnt", "var/log", "var/tmp", "etc")
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "localhost\n",
    "etc/fstab": "",
    "etc/os-release": 'ID=busybox\nNAME="busybox"\nPRETTY_NAME="localarm busybox"\nVERSION_ID="1"\n',
}


def make(making: Making, disk: Path, size_bytes: int) -> None:
    """Write the disk: a GPT with one ext4. Needs no root; then its files belong to who made it."""
    tree = making.folder / "root"
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True)
    for name, text in _FILES.items():
        (tree / name).write_text(text)
    # A dangling link, as images with systemd-resolved have it: copying a file there must not follow it.
    (tree / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    _install(making, tree)
    _set_modes(tree)
    root = Partition(1, LINUX, MIB)
    write_table(making, disk, size_bytes, [root])
    fill_ext4(making, disk, root, tree)


def _install(making: Making, tree: Path) -> None:
    binary = tree / "bin/busybox"
    binary.parent.mkdir()
    shutil.copyfile(making.program("busybox"), binary)
    for applet in making.run("busybox", "--list-full").split():
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() and not link.exists():
            link.symlink_to("/bin/busybox")


def _set_modes(tree: Path) -> None:
    """Those of every system, whatever umask they were made under."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path == tree / "bin/busybox" else 0o644)
    for sticky in ("tmp", "var/tmp"):
        (tree / sticky).chmod(0o1777)
