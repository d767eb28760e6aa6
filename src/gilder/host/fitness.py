"""Whether this Linux machine can build: root, programs, what the kernel can do, disk space."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from gilder.host.run import run, tool_environment
from gilder.model.findings import Finding, bad, good

ALWAYS: Mapping[str, tuple[str, ...]] = {
    "util-linux": ("mount", "umount", "unshare", "nsenter", "setpriv", "partx", "blkid"),
    "coreutils": ("chroot", "env"),
}
"""The programs of every build, by the package that has them (names of Debian; others are alike)."""
GROWING: Mapping[str, tuple[str, ...]] = {"fdisk": ("sfdisk",), "e2fsprogs": ("e2fsck", "resize2fs")}
"""Those of `grow_root`."""
VOLUMES: Mapping[str, tuple[str, ...]] = {"lvm2": ("pvs", "lvs", "vgchange")}
"""Those of a root on LVM."""
SOMETIMES: Mapping[str, tuple[str, ...]] = {
    **GROWING,
    **VOLUMES,
    "xfsprogs": ("xfs_growfs",),
    "btrfs-progs": ("btrfs",),
}
_FILESYSTEMS = ("xfs", "btrfs", "vfat")
_DISKSEQ = (5, 15)
_GIB = 2**30


def root() -> Finding:
    """Whether gilder may mount and change roots."""
    if os.geteuid() == 0:
        return good("root", "gilder runs as root")
    return bad("root", f"gilder runs as user {os.geteuid()}, and must mount disks", "run it with sudo -E")


def programs(needed: Iterable[Mapping[str, tuple[str, ...]]] = (ALWAYS,)) -> Finding:
    """Whether the programs that builds start are here; `needed` are those that must be."""
    missing = _missing({package: names for group in needed for package, names in group.items()})
    if missing:
        return bad("programs", f"not on $PATH: {_listed(missing)}", f"install {' '.join(missing)}")
    sometimes = _missing(SOMETIMES)
    remark = f"; not here, and needed only for such disks: {_listed(sometimes)}" if sometimes else ""
    return good("programs", f"all that every build needs{remark}")


def _missing(packages: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    path = tool_environment()["PATH"]
    found = {
        package: [name for name in names if shutil.which(name, path=path) is None]
        for package, names in packages.items()
    }
    return {package: names for package, names in found.items() if names}


def _listed(missing: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{', '.join(names)} ({package})" for package, names in missing.items())


async def namespaces() -> Finding:
    """Whether a build's own mount, PID, UTS and IPC namespaces can be made, and mounted in: by doing so."""
    spaces = ["--mount", "--pid", "--uts", "--ipc", "--propagation=slave", "--fork", "--kill-child"]
    # What the keeper of a sandbox mounts; some containers allow the one and not the other.
    mounts = ["sh", "-c", "mount -t proc proc /proc && mount -t tmpfs none /tmp"]
    done = await run(["setpriv", "--pdeathsig=KILL", "unshare", *spaces, "--", *mounts], check=False, timeout=30)
    if done.status == 0:
        return good("namespaces", "mount, PID, UTS and IPC namespaces can be made, and mounted in")
    # mount(8) adds to every error where there may be more.
    told = [line.strip() for line in done.tail if line.strip() and "dmesg(1)" not in line]
    said = told[-1] if told else f"status {done.status}"
    remedy = "run as root, on a machine and not in a container without privileges; util-linux must be 2.33 or later"
    return bad("namespaces", f"none can be made and mounted in: {said}", remedy)


async def kernel() -> Finding:
    """Which kernel this is, and which filesystems of guests it can mount."""
    release = platform.release()
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines() if line.strip()}
    if "ext4" not in known and not await _loadable("ext4"):
        return bad("kernel", f"Linux {release} cannot mount ext4", "use a kernel with ext4, or load its module")
    absent = [name for name in _FILESYSTEMS if name not in known and not await _loadable(name)]
    remarks = [f"cannot mount {', '.join(absent)} (needed only where a guest has it)"] if absent else []
    if _version(release) < _DISKSEQ:
        remarks.append("numbers no disks (5.15 does), so devices are told apart by what was there before")
    return good("kernel", "; ".join([f"Linux {release}", *remarks]))


async def _loadable(module: str) -> bool:
    if shutil.which("modprobe", path=tool_environment()["PATH"]) is None:
        return False
    return (await run(["modprobe", "--dry-run", "--quiet", module], check=False, timeout=30)).status == 0


def _version(release: str) -> tuple[int, ...]:
    parts = release.split("-")[0].split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def is_there(path: Path) -> bool:
    """Whether there is such a file, as far as this user can see."""
    try:
        return path.exists()
    except OSError:
        return False


def space(what: str, folder: Path, least: int) -> Finding:
    """Whether a folder, there or still to be made, has `least` bytes free and can be written."""
    subject = f"space for {what}"
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if is_there(path))
    remedy = f"free some space in {there}, or name another place"
    if not there.is_dir():
        return bad(subject, f"{there} is no folder", "name another place")
    if not os.access(there, os.W_OK):
        return bad(subject, f"{there} cannot be written", "run as root, or name another place")
    free = shutil.disk_usage(there).free
    text = f"{free / _GIB:.1f} GiB free in {folder}"
    return good(subject, text) if free >= least else bad(subject, f"{text}, {least / _GIB:g} are needed", remedy)
