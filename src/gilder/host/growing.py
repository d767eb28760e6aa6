"""Growing the root partition and its filesystem to the size of the disk (`grow_root`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gilder.host.devices import BlockDevice, partition_numbers, reread_partitions, wait_partition
from gilder.host.filesystems import filesystem
from gilder.host.run import run
from gilder.host.sandbox import Sandbox
from gilder.model.errors import Refused

_SLACK = 2 * 2**20 // 512
"""Sectors: a partition that ends less than 2 MiB before the disk's end is as large as it can be (alignment, backup GPT)."""

_EXT = ("ext2", "ext3", "ext4")


async def grow_partition(device: BlockDevice, which: str) -> bool:
    """Let a partition reach to the end of its disk, before it is mounted; False if it does so already.

    An ext4 in it grows along: it can grow while mounted too, but then needs a capability (CAP_SYS_RESOURCE) that root in a
    container may lack. Raises Refused when another partition is behind it, CommandFailed when the table cannot be written.
    """
    extents = {number: _extent(device, number) for number in partition_numbers(device)}
    if which not in extents:
        raise Refused(f"grow_root: {device.path} has no partition {which}")
    start, size = extents[which]
    if behind := sorted(number for number, (other, _) in extents.items() if other > start):
        raise Refused(
            f"grow_root: partition {which} of {device.path} cannot grow, partition {behind[0]} is behind it",
            hint="leave grow_root out, or change the layout in pre_mount_commands",
        )
    if start + size >= device.size_bytes // 512 - _SLACK:
        return False
    # A disk that was enlarged has the second copy of its GPT where its end was before.
    await run(["sfdisk", "--relocate", "gpt-bak-std", device.path], check=False)
    await run(["sfdisk", "--quiet", "--no-reread", "--force", "-N", which, device.path], stdin=b", +\n")
    await reread_partitions(device)
    path = await wait_partition(device, which)
    if (await filesystem(path)).kind in _EXT:
        await run(["e2fsck", "-f", "-p", path], valid=(0, 1))  # 1: it has put something right; resize2fs insists on it
        await run(["resize2fs", path])
    return True


def _extent(device: BlockDevice, which: str) -> tuple[int, int]:
    """Start and size in sectors of 512 bytes."""
    for file in device.sysfs.glob(f"{device.kernel_name}*/partition"):
        if file.read_text().strip() == which:
            return int((file.parent / "start").read_text()), int((file.parent / "size").read_text())
    return 0, 0


async def grow_filesystem(box: Sandbox, device_path: str, root: Path, say: Callable[[str], None]) -> None:
    """Let a mounted root filesystem of the kind that grows only so (XFS, btrfs) fill its partition.

    Raises CommandFailed when its tool fails.
    """
    kind = (await filesystem(device_path)).kind
    if kind in _EXT:
        return
    if kind == "xfs":
        command = ["xfs_growfs", str(root)]
    elif kind == "btrfs":
        command = ["btrfs", "filesystem", "resize", "max", str(root)]
    else:
        say(f"grow_root: a filesystem of type {kind or 'unknown'} is left as it is")
        return
    await box.run(box.wrapped(command), where="grow_root")
