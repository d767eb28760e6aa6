"""What is on a block device, and what a filesystem needs to be mounted beside its clones.

Builds from one image put the same filesystem, with the same id, on one kernel many times over.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gilder.host.run import run
from gilder.model.errors import CommandFailed
from gilder.runtime.locks import Turns
from gilder.runtime.release import closing


@dataclass(frozen=True, slots=True)
class Filesystem:
    """What blkid(8) recognises: its type ("ext4", "xfs", "LVM2_member"; "" for nothing) and its id."""

    kind: str
    uuid: str


async def filesystem(path: str) -> Filesystem:
    """What is on a block device; reads the device and no cache."""
    return (await filesystems([path]))[path]


async def filesystems(paths: Sequence[str]) -> dict[str, Filesystem]:
    """What is on each of some block devices; what cannot be told of one hides nothing of the others."""
    told = dict.fromkeys(paths, Filesystem("", ""))
    words: dict[str, str] = {}

    def hear(line: str, _stream: str) -> None:
        name, _, value = line.partition("=")
        if name == "DEVNAME":  # a device begins
            words.clear()
        words[name] = value
        if words.get("DEVNAME") in told:
            told[words["DEVNAME"]] = Filesystem(words.get("TYPE", ""), words.get("UUID", ""))

    await run(["blkid", "-p", "-s", "TYPE", "-s", "UUID", "-o", "export", *paths], check=False, on_line=hear)
    return told


def options_for(found: Filesystem, given: Sequence[str]) -> list[str]:
    """The mount options to use: those given, and `nouuid` for XFS, which refuses a clone otherwise (xfs(5))."""
    words = {word for option in given for word in option.split(",")}
    return [*given, "nouuid"] if found.kind == "xfs" and "nouuid" not in words else list(given)


def btrfs_refuses_clones(release: str) -> bool:
    """Whether a kernel mounts no second btrfs of an id that is mounted already: before 6.7 (its temp_fsid)."""
    version = re.match(r"(\d+)\.(\d+)", release)
    return version is None or (int(version[1]), int(version[2])) < (6, 7)


@asynccontextmanager
async def own_turn(found: Filesystem, device_path: str, turns: Turns) -> AsyncIterator[None]:
    """Hold the right to mount a filesystem, where its clones must wait; returns at once for all others.

    A btrfs device is forgotten by the kernel at the end, for else it takes it for a second device of the next clone.
    """
    if found.kind != "btrfs":
        yield
        return

    async def forget() -> None:
        try:
            await run(["btrfs", "device", "scan", "--forget", device_path], check=False)
        except CommandFailed:  # no btrfs-progs here; it goes with the device
            return

    keys = [f"btrfs {found.uuid}"] if btrfs_refuses_clones(os.uname().release) else []
    async with turns.held(*keys), closing(forget, within=10):
        yield
