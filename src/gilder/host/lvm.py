"""A root filesystem on a logical volume: found by device, activated, and given back.

Every command names the disk's own devices (`--devices`, lvm2 2.03.12 and later): builds from one image carry the same
volume group, and without it LVM sees duplicates and takes either. The names in /dev/mapper are one for the whole machine, so
builds with the same volume group take turns, and one that this machine uses itself is refused.

The programs run outside of the build's sandbox: LVM and udev meet at System V semaphores, and the sandbox has its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from gilder.host.devices import BlockDevice, holders_of, is_free, partition, partition_numbers, settle
from gilder.host.filesystems import filesystem, filesystems
from gilder.host.run import output, run
from gilder.model.errors import Busy, CommandFailed, DeviceMissing, Refused
from gilder.runtime.locks import Turns
from gilder.runtime.release import Ledger, Release, releasing

_NO_ROOT = frozenset("sSvVtTeEiIlLdDpP")
"""First letters of lv_attr (lvs(8)) for what is no volume of its own: snapshots, pool parts, mirror logs and the like."""

_USUAL_NAMES = ("root", "lv_root", "rootlv", "lvroot")


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """One line of lvs(8)."""

    name: str
    group: str
    path: str
    attributes: str


async def volume_paths(device: BlockDevice) -> list[str]:
    """The disk or those of its partitions that are LVM physical volumes."""
    candidates = [device.path, *(partition(device, number) for number in sorted(partition_numbers(device), key=int))]
    return [path for path, found in (await filesystems(candidates)).items() if found.kind == "LVM2_member"]


@asynccontextmanager
async def activated(
    device: BlockDevice,
    ledger: Ledger,
    turns: Turns,
    *,
    root_device: str | None = None,
    mapper: Path = Path("/sys/class/block"),
) -> AsyncIterator[str | None]:
    """Hold a disk's volume groups active; yields the path of the root volume, None for a disk without LVM.

    `root_device` is the template's `lvm_root_device` (`rootlv`, `rootvg/rootlv` or `/dev/rootvg/rootlv`). Raises Refused when
    this machine has an active volume group of that name itself, or there is no such volume; CommandFailed when LVM fails.
    """
    paths = await volume_paths(device)
    if not paths:
        if root_device is not None:
            raise Refused(f"lvm_root_device is {root_device}, but {device.path} has no LVM physical volume")
        yield None
        return
    own = ["--devices", ",".join(paths)]
    listed = await output(["pvs", *own, "--noheadings", "--separator", ",", "-o", "pv_name,vg_name"])
    groups = sorted({group for line in listed.splitlines() if (group := line.strip().rpartition(",")[2])})
    async with turns.held(*(f"volume group {group}" for group in groups)):
        if taken := sorted(set(groups) & _active_groups(mapper)):
            raise Refused(
                f"the volume group {taken[0]} of {device.path} has the name of one that is active on this machine",
                hint="gilder recover, if a killed build left it; else rename one of them (vgrename)",
            )
        undo_command = ["vgchange", *own, "-an", *groups]

        async def undo() -> None:
            await settle()
            await run(undo_command)
            if holders := [holder for holder in holders_of(device) if holder.startswith("device ")]:
                raise Busy(device.path, holders)

        name = f"{', '.join(groups)} on {device.path}"
        async with releasing(ledger, Release("volume group", name, " ".join(undo_command), undo, within=60, must=True)):
            await run(["vgchange", *own, "-ay", *groups])
            await settle()
            volumes = _volumes(
                await output(["lvs", *own, "--noheadings", "--separator", ",", "-o", "lv_name,vg_name,lv_path,lv_attr"])
            )
            yield await _existing(await _root_of(volumes, root_device))


async def deactivated(device: BlockDevice) -> None:
    """Deactivate the volume groups of a disk that a killed build has left active: they belong to the machine, not to the
    build's sandbox, and outlive it. A disk that nothing holds, or without LVM, is not touched; a volume that is mounted
    stays. Raises DeviceMissing."""
    if is_free(device):
        return
    with suppress(CommandFailed):  # whoever holds it then is told by the next look
        if paths := await volume_paths(device):
            await run(["vgchange", "--devices", ",".join(paths), "-an"])
            await settle()


def _volumes(listed: str) -> list[LogicalVolume]:
    rows = (line.strip().split(",") for line in listed.splitlines())
    return [LogicalVolume(*row) for row in rows if len(row) == 4 and row[2] and row[3][:1] not in _NO_ROOT]


async def _root_of(volumes: Sequence[LogicalVolume], wanted: str | None) -> str:
    """The volume that has the root filesystem: the one asked for, else by its usual names, else the first."""
    names = ", ".join(volume.path for volume in volumes) or "none"
    if wanted is not None:
        for volume in volumes:
            if wanted in (volume.path, volume.name, f"{volume.group}/{volume.name}"):
                return volume.path
        raise Refused(f"there is no logical volume {wanted}", hint=f"the disk has: {names}")
    for volume in sorted(volumes, key=_likelihood):
        if (await filesystem(volume.path)).kind != "swap":
            return volume.path
    raise Refused("no logical volume of the disk can be the root", hint=f"name it in lvm_root_device; it has: {names}")


def _likelihood(volume: LogicalVolume) -> int:
    if volume.name in _USUAL_NAMES:
        return _USUAL_NAMES.index(volume.name)
    return len(_USUAL_NAMES) + ("root" not in volume.name)


async def _existing(path: str, within: float = 10.0) -> str:
    deadline = anyio.current_time() + within
    while not Path(path).exists():
        if anyio.current_time() >= deadline:
            raise DeviceMissing(f"the logical volume {path} was activated, but has no device file")
        await anyio.sleep(0.05)
    return path


def _active_groups(blocks: Path) -> set[str]:
    """The volume groups that are active on this machine, by the names of device mapper (`vg-lv`, a dash in a name is
    doubled)."""
    return {_group_of(name) for name in _mapped(blocks)}


def _mapped(blocks: Path) -> Iterable[str]:
    for file in blocks.glob("dm-*/dm/name"):
        try:
            if (file.parent / "uuid").read_text().startswith("LVM-"):
                yield file.read_text().strip()
        except OSError:
            continue


def _group_of(name: str) -> str:
    return name.replace("--", "\0").partition("-")[0].replace("\0", "-")
