"""Trees that lead out of an image, by their links or because they change meanwhile: cells of real files, behind glass."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.host.changing import DEEDS, changes_nowhere
from tests.host.glass import behind_glass
from tests.host.hostile import Entries, World, drawn, leads_nowhere

from gilder.host.beneath import DIRECTORY, Root

SEED = 7
TREES = 60
STRIDE = 2
"""Every so many steps of a deed the tree changes, in a cell of its own."""
STEPS = 100
"""No deed makes more calls."""


@dataclass(frozen=True)
class Tree:
    """Links that lie in an image from the beginning, and paths at which files are handled there."""

    number: int
    entries: Entries
    paths: list[str]

    def __str__(self) -> str:
        return f"tree {self.number} of seed {SEED}"

    def violations(self) -> tuple[str, ...]:
        """What reached beyond the root; raises PermissionError unless called by root."""
        # Nothing is carried: without its pins a download of `/` would be one of this whole machine.
        return _seen(lambda world: leads_nowhere(world, self.entries, self.paths))


@dataclass(frozen=True)
class Changing:
    """A tree that changes before a given step of a deed."""

    deed: str
    change: str
    moment: int

    def __str__(self) -> str:
        return f"{self.change} appears at step {self.moment} of “{self.deed}”"

    def violations(self) -> tuple[str, ...]:
        """What reached beyond the root; raises PermissionError unless called by root."""
        return _seen(lambda world: changes_nowhere(world, self.deed, self.change, self.moment))


def hostile() -> list[Tree]:
    """Trees drawn by the seed, always the same."""
    return [Tree(number, *each) for number, each in enumerate(drawn(TREES, SEED))]


def changing(change: str) -> list[Changing]:
    """Every deed × moments all along."""
    return [Changing(deed, change, moment) for moment in range(1, STEPS, STRIDE) for deed in DEEDS]


def _seen(claim: Callable[[World], object]) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="gilder-tree-") as name:
        world = World(Path(name) / "world")

        def work() -> None:
            claim(world)

        try:
            behind_glass(Path(name), work)
        except AssertionError as error:
            return (str(error),)
    return ()


# How the pins are taken away


def _without(method: str, stand_in: Callable[..., Iterator[object]]) -> AbstractContextManager[object]:
    return patch.object(Root, method, contextmanager(stand_in))


def links_followed() -> AbstractContextManager[object]:
    """Paths are resolved without openat2: links lead where they lead on this machine."""

    def opened(self: Root, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        fd = os.open(f"{Path(f'/proc/self/fd/{self._fd}').readlink()}/{path}", flags | os.O_CLOEXEC, mode)
        try:
            yield fd
        finally:
            os.close(fd)

    return _without("opened", opened)


def directories_by_name() -> AbstractContextManager[object]:
    """The real path of a directory is found, beneath the root; then what is at that path is opened."""

    def parent(self: Root, path: str) -> Iterator[tuple[int, str]]:
        head, _, name = path.rstrip("/").rpartition("/")
        directory = os.open(self.real(head or "/"), DIRECTORY)
        try:
            yield directory, name
        finally:
            os.close(directory)

    return _without("parent", parent)


def files_by_name() -> AbstractContextManager[object]:
    """What is at a path is found to be a regular file; then what is at that path is opened."""

    def regular(self: Root, path: str, flags: int) -> Iterator[int]:
        with self.opened(path, os.O_PATH) as found:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", path)
        with self.opened(path, flags) as fd:
            yield fd

    return _without("regular", regular)
