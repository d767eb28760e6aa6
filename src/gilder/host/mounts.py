"""Mounting a disk's root filesystem and what belongs into it; strictly unmounted when the block ends.

Strictly: what is still in use is reported and never detached lazily. A snapshot of a disk that is still mounted
somewhere is a broken image that looks well.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from gilder.host.devices import unwritten
from gilder.host.filesystems import Filesystem, filesystem, options_for, own_turn
from gilder.host.holders import file_holders, found_in_time
from gilder.host.sandbox import VOLUMES, FileRefused, Sandbox
from gilder.model.errors import Busy, CommandFailed, HostError, Refused
from gilder.model.spec import ChrootMount
from gilder.runtime.locks import KeyedLocks, Turns
from gilder.runtime.release import Ledger, Release, releasing

__all__ = ["VOLUMES", "extra_mounted", "mounted"]

Say = Callable[[str], None]


_TURNS = Turns(KeyedLocks())
"""Those of this process."""


def _unheard(text: str) -> None:
    """Where nobody listens."""


@asynccontextmanager
async def mounted(
    box: Sandbox,
    device_path: str,
    at: Path,
    options: Sequence[str] = (),
    *,
    ledger: Ledger,
    manual: str | None = None,
    on_line: Callable[[str, str], None] | None = None,
    within: float = 600.0,
    turns: Turns = _TURNS,
) -> AsyncIterator[Path]:
    """Hold `device_path` (a partition or logical volume) mounted at `at` inside the sandbox; yields `at`.

    `manual` is the rendered `manual_mount_command`: a shell runs it, with the mount path appended, and it makes its mount
    point itself; `on_line` hears what it prints. `within` is how many seconds the unmount may take; it writes everything
    that was not yet written. `turns` are for filesystems whose clones cannot be mounted at once.

    When the block ends the sandbox's processes are ended, then everything at and beneath `at` is unmounted. Raises
    CommandFailed when it cannot be mounted, Refused when something is mounted there already, ReleaseFailed (caused by
    Busy) when it is held by something foreign.
    """
    if taken := box.mount_points(at):
        raise Refused(f"{taken[0]} is mounted already", hint="choose another mount_path")

    async def undo() -> None:
        await box.ask("end_watch", path=str(at))
        await _unmount(box, [at])

    found = await filesystem(device_path) if manual is None else Filesystem("", "")
    remedy = f"{box.enter_hint} -c 'umount -R {at}'"
    async with (
        own_turn(found, device_path, turns),
        releasing(
            ledger, Release("mount", f"{device_path} at {at}", remedy, undo, within, goes_with=str(box), must=True)
        ),
    ):
        # Also for a manual command: nobody but this build sees where its mount point has to be.
        await box.ask("make_directory", path=str(at))
        if manual is not None:
            # As all commands of the template on this machine: with the user's environment, and what it starts goes on.
            line, env = ["/bin/sh", "-c", f"{manual} {at}"], dict(os.environ)
            await box.run(line, env=env, on_line=on_line, where="manual_mount_command", linger=True)
        else:
            words = [word for option in options_for(found, options) for word in ("-o", option)]
            await box.run(box.wrapped(["mount", *words, device_path, str(at)]))
        await box.ask("watch_writes", path=str(at))
        yield at
        await _all_written(box, device_path, at)


async def _all_written(box: Sandbox, device_path: str, at: Path) -> None:
    """Raise HostError if not all that the block wrote is on the disk: umount(8) succeeds even when writes have failed."""
    if at not in box.mount_points(at):
        raise HostError(
            f"{device_path} is not mounted at {at} any more",
            hint="somebody unmounted it or removed its mount point; what was done since then is not on the disk",
        )
    try:
        await box.ask("write_all", path=str(at))
    except FileRefused as error:
        raise unwritten(device_path, os.strerror(error.number)) from error


@asynccontextmanager
async def extra_mounted(
    box: Sandbox,
    root: Path,
    mounts: Sequence[ChrootMount],
    ledger: Ledger,
    *,
    minimal_dev: bool = False,
    say: Say = _unheard,
) -> AsyncIterator[None]:
    """Hold the extra mounts (`/proc`, `/sys`, `/dev` …) inside `root`, in the order given.

    Their targets are resolved beneath the root and made if missing. The mount of `/proc` shows the sandbox's own
    processes. With `minimal_dev` the guest gets, in place of this machine's /dev, one with nothing but null, zero, full,
    random, urandom, tty, pseudo-terminals and shm. When the block ends they are unmounted with everything beneath them.
    """
    targets: list[Path] = []

    async def undo() -> None:
        await _unmount(box, targets)

    remedy = f"{box.enter_hint} -c 'umount -R {root}'"
    mounts_of_it = Release("mounts", f"inside {root}", remedy, undo, within=60, goes_with=str(box), must=True)
    async with releasing(ledger, mounts_of_it):
        for mount in mounts:
            target = await _target(box, root, mount)
            if target is None:
                say(f"Not mounting {mount.target}: this machine's kernel has no {mount.type}")
                continue
            say(f"Mounting: {mount.target}")
            targets.append(target)
            await _mount(box, mount, target, minimal_dev)
            if minimal_dev and mount == _HOST_DEV:
                await box.ask("make_devices", at=str(target))
        yield


_HOST_DEV = ChrootMount(type="bind", source="/dev", target="/dev")

_SIMPLE = {"bind", "proc", "sysfs", "devpts", "tmpfs", "binfmt_misc"}
"""Types that the kernel mounts at once and without options or helpers."""


async def _mount(box: Sandbox, mount: ChrootMount, target: Path, minimal_dev: bool) -> None:
    """One extra mount: by the keeper where that is simple, for each program that is started costs milliseconds."""
    if mount.type in _SIMPLE and not minimal_dev and box.wrapper is None:
        with suppress(FileRefused):  # mount(8) knows more ways, and words for why there is none
            await box.ask("mount", kind=mount.type, source=mount.source, at=str(target))
            return
    await box.run(box.wrapped(["mount", *_words(mount, minimal_dev), str(target)]), where="chroot_mounts")


def _words(mount: ChrootMount, minimal_dev: bool) -> list[str]:
    """What to mount, in mount(8)'s words, without the target."""
    if minimal_dev and mount == _HOST_DEV:
        return ["-t", "tmpfs", "-o", "mode=755,nosuid,noexec,size=64m", "minimal-dev"]
    if minimal_dev and mount.type == "devpts":
        return ["-t", "devpts", "-o", "newinstance,mode=620,gid=5,ptmxmode=666", mount.source]
    return ["--bind", mount.source] if mount.type == "bind" else ["-t", mount.type, mount.source]


async def _target(box: Sandbox, root: Path, mount: ChrootMount) -> Path | None:
    """Where to mount; None for binfmt_misc on a machine that cannot have it (its directory is made by the kernel)."""
    if mount.type == "binfmt_misc" and not await _has_binfmt_misc(box):
        return None
    like = mount.source if mount.type == "bind" else None
    target = Path(await box.ask("mount_target", root=str(root), path=mount.target, like=like))
    if target == root or root not in target.parents:
        raise Refused(f"chroot_mounts: {mount.target} of the image leads to its root directory itself")
    return target


async def _has_binfmt_misc(box: Sandbox) -> bool:
    if "binfmt_misc" in Path("/proc/filesystems").read_text().split():
        return True
    try:
        return (await box.run(["modprobe", "binfmt_misc"], check=False)).status == 0
    except CommandFailed:  # no modprobe here
        return False


async def _unmount(box: Sandbox, places: Sequence[Path]) -> None:
    """Unmount what is at and beneath the places, the last mounted first. Raises Busy with the holders' names."""
    if not box.mount_points(*places):
        return
    # What a guest's scripts left running would hold the mounts; nothing of it belongs into the image.
    await box.end_processes()
    while points := box.mount_points(*places):
        try:
            await box.run(box.wrapped(["umount", *(str(point) for point in reversed(points))]))
        except CommandFailed as failed:
            if len(box.mount_points(*places)) < len(points):
                continue
            if not any("busy" in line.lower() for line in failed.tail):
                raise  # it failed for another reason, which it has told
            # What this machine has mounted too (its /dev, say) has users who hold nothing of the build.
            systems = {box.seen_from_here(point).stat().st_dev for point in points} - _systems_of_this_machine()
            holders = await found_in_time(partial(file_holders, systems))
            raise Busy(str(points[0]), holders) from failed


def _systems_of_this_machine() -> set[int]:
    """The device numbers (`st_dev`) of what is mounted outside of the sandbox."""
    numbers = (line.split(" ")[2].split(":") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return {os.makedev(int(major), int(minor)) for major, minor in numbers}
