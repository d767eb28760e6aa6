"""Who keeps a filesystem or a disk from being let go: names for a person to act upon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import anyio

from gilder.runtime.threads import abandonable

_LONGEST_LOOK = 10.0
"""Seconds. A file of a network filesystem whose server is dead lets nobody look at it, and any process may have one."""


async def found_in_time(look: Callable[[], list[str]]) -> list[str]:
    """The holders that a look finds in a thread; none when the kernel does not let it end."""
    with anyio.move_on_after(_LONGEST_LOOK):
        return await abandonable(look)
    return []


def file_holders(systems: Iterable[int]) -> list[str]:
    """The processes that have a file, a directory, a program or a root in one of the filesystems, given by device number
    (`st_dev`). By number and not by path: paths differ between mount namespaces. Blocks; run it in a thread."""
    wanted = set(systems)
    return [
        f"{_name(process)} (process {process.name})"
        for process in _processes()
        if any(_system(link) in wanted for link in _links(process))
    ]


def mount_holders(numbers: Iterable[str]) -> list[str]:
    """The mounts of block devices (MAJOR:MINOR), in every mount namespace: this machine's, or with a process that sees it.

    A thread of the kernel is named only where there is nobody else: people looked for what kthreadd had mounted.
    """
    wanted = set(numbers)
    found = []
    here = {_namespace(Path("/proc") / process) for process in ("self", "1")}
    seen: set[str] = set()
    for process in sorted(_processes(), key=_is_of_the_kernel):
        namespace = _namespace(process)
        if not namespace or namespace in seen:
            continue
        seen.add(namespace)
        try:
            seer = "of this machine" if namespace in here else f"(as seen by {_name(process)}, process {process.name})"
            lines = (process / "mountinfo").read_text(errors="replace").splitlines()
        except OSError:
            continue
        at = [fields[4] for fields in (line.split(" ") for line in lines) if fields[2] in wanted]
        found += [f"the mount {path} {seer}" for path in at]
    return found


def device_holders(numbers: Iterable[str]) -> list[str]:
    """The devices stacked upon block devices: LVM, RAID, multipath, encryption."""
    return [f"device {h.name}" for n in sorted(numbers) for h in Path(f"/sys/dev/block/{n}/holders").glob("*")]


def _processes() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def _namespace(process: Path) -> str:
    """Its mount namespace; "" where that cannot be seen."""
    try:
        return str((process / "ns/mnt").readlink())
    except OSError:
        return ""


def _is_of_the_kernel(process: Path) -> bool:
    """Whether it has no command line, as threads of the kernel."""
    try:
        return not (process / "cmdline").read_bytes()
    except OSError:
        return True


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"


def _links(process: Path) -> Iterator[Path]:
    yield from (process / name for name in ("root", "cwd", "exe"))
    for folder in ("fd", "map_files"):
        try:
            yield from (process / folder).iterdir()
        except OSError:
            continue


def _system(link: Path) -> int | None:
    try:
        return link.stat().st_dev
    except OSError:
        return None
