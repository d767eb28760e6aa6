"""Carrying files and whole directories between this machine and a guest.

Runs as a program of its own inside the sandbox, so that a long copy can be cancelled. On the guest's side every path is
resolved beneath its root; on this machine's side links are never written through below the place that was named.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import BinaryIO, Protocol

from gilder.host.beneath import DIRECTORY, Root, lstat, unlink


class Side(Protocol):
    """Where files come from or go to."""

    def status(self, path: str) -> os.stat_result | None:
        """What is at a path, links not followed."""
        ...

    def is_directory(self, path: str) -> bool:
        """Whether a path leads to a directory."""
        ...

    def names(self, path: str) -> list[str]:
        """What a directory has."""
        ...

    def link(self, path: str) -> str:
        """Where a link leads."""
        ...

    def reading(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Hold a regular file open."""
        ...

    def write(self, path: str, source: BinaryIO, mode: int) -> None:
        """Fill a file, made with `mode` if it is new."""
        ...

    def make_link(self, path: str, target: str) -> None:
        """Make a link, in place of what is there."""
        ...

    def make_directory(self, path: str, mode: int) -> None:
        """Make a directory unless it is there."""
        ...


class Inside:
    """The guest."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def status(self, path: str) -> os.stat_result | None:
        with suppress(FileNotFoundError, NotADirectoryError), self._root.parent(path) as (directory, name):
            return lstat(directory, name)
        return None

    def is_directory(self, path: str) -> bool:
        with suppress(OSError), self._root.opened(path, DIRECTORY):
            return True
        return False

    def names(self, path: str) -> list[str]:
        with self._root.opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
            return sorted(os.listdir(fd))

    def link(self, path: str) -> str:
        with self._root.parent(path) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    @contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        with self._root.regular(path, os.O_RDONLY) as fd, open(os.dup(fd), "rb") as file:
            yield file

    def write(self, path: str, source: BinaryIO, mode: int) -> None:
        try:
            with self._root.regular(path, os.O_WRONLY | os.O_TRUNC) as fd, open(os.dup(fd), "wb") as file:
                shutil.copyfileobj(source, file)
        except FileNotFoundError:
            flags = os.O_WRONLY | os.O_CREAT
            with self._root.opened(path, flags, mode) as fd, open(os.dup(fd), "wb") as file:
                shutil.copyfileobj(source, file)

    def make_link(self, path: str, target: str) -> None:
        with self._root.parent(path) as (directory, name):
            unlink(directory, name)
            os.symlink(target, name, dir_fd=directory)

    def make_directory(self, path: str, mode: int) -> None:
        if not self.is_directory(path):
            with self._root.parent(path) as (directory, name):
                os.mkdir(name, mode, dir_fd=directory)


class Here:
    """This machine. `base` is the place that the user named: links in it are the user's own, those below are not."""

    def __init__(self, base: str = "") -> None:
        self._base = base

    def _checked(self, path: str) -> str:
        if path != self._base and os.path.islink(path):
            raise OSError(0, "is a link on this machine and is not written through", path)
        return path

    def status(self, path: str) -> os.stat_result | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.lstat(path)
        return None

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def names(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def link(self, path: str) -> str:
        return os.readlink(path)

    @contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        with open(path, "rb") as file:
            yield file

    def write(self, path: str, source: BinaryIO, mode: int) -> None:
        fd = os.open(self._checked(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(fd, "wb") as file:
            shutil.copyfileobj(source, file)

    def make_link(self, path: str, target: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(target, path)

    def make_directory(self, path: str, mode: int) -> None:
        if not os.path.isdir(self._checked(path)):
            os.mkdir(path, mode)


def copy_tree(source: Side, at: str, target: Side, to: str) -> None:
    """Copy a directory, as `cp -R` does: links as links, modes without set-user-id, owned by root."""
    found = source.status(at.rstrip("/") or "/")
    target.make_directory(to, 0o755 if found is None or stat.S_ISLNK(found.st_mode) else found.st_mode & 0o777)
    for name in source.names(at):
        below, there = os.path.join(at, name), os.path.join(to, name)
        found = source.status(below)
        if found is None:
            continue
        if stat.S_ISLNK(found.st_mode):
            target.make_link(there, source.link(below))
        elif stat.S_ISDIR(found.st_mode):
            copy_tree(source, below, target, there)
        elif stat.S_ISREG(found.st_mode):
            with source.reading(below) as file:
                target.write(there, file, found.st_mode & 0o777)
        else:
            raise OSError(0, "is neither file, directory nor link and cannot be copied", below)


def upload(root: Root, source: str, destination: str) -> None:
    """Copy a file or directory of this machine into the guest.

    A new file gets the mode 0600, an existing one keeps its own. A destination that ends in / or is a directory gets the
    source's name appended, except for a directory whose name ends in /: of that the content is copied.
    """
    inside = Inside(root)
    if not os.path.isdir(source):
        with Here().reading(source) as file:
            inside.write(_named(inside, destination, source), file, 0o600)
    elif source.endswith("/"):
        copy_tree(Here(), source, inside, destination)
    else:
        target = (
            os.path.join(destination, os.path.basename(source)) if inside.is_directory(destination) else destination
        )
        copy_tree(Here(), source, inside, target.rstrip("/"))


def download(root: Root, source: str, destination: str) -> None:
    """Copy a file or directory of the guest to this machine; the last part of `source` may be a pattern."""
    inside = Inside(root)
    folder, _, last = source.rpartition("/")
    if any(character in last for character in "*?["):
        matches = fnmatch.filter(inside.names(folder or "/"), last)
        if not matches:
            raise FileNotFoundError(2, "matches nothing in the image", source)
        os.makedirs(destination, exist_ok=True)
        for match in matches:
            _download_one(inside, f"{folder}/{match}", destination.rstrip("/") + "/")
    else:
        _download_one(inside, source, destination)


def _download_one(inside: Inside, source: str, destination: str) -> None:
    if not inside.is_directory(source):
        target = os.path.join(destination, os.path.basename(source)) if destination.endswith("/") else destination
        os.makedirs(os.path.dirname(target) or "/", exist_ok=True)
        with inside.reading(source) as file:
            Here(target).write(target, file, 0o644)
        return
    target = destination.rstrip("/") or "/"
    if not source.endswith("/") and (destination.endswith("/") or os.path.isdir(destination)):
        target = os.path.join(target, os.path.basename(source))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    copy_tree(inside, source, Here(target), target)


def _named(side: Side, destination: str, source: str) -> str:
    """The file to write for a destination that may be a directory."""
    if destination.endswith("/") or side.is_directory(destination):
        return os.path.join(destination, os.path.basename(source))
    return destination


def carry(work: str) -> int:
    """Do what `work` (JSON: way, root, source, destination) says; the exit status, with the reason on stderr.

    The way `content` writes stdin to the destination.
    """
    words = json.loads(work)
    try:
        with Root(words["root"]) as root:
            if words["way"] == "upload":
                upload(root, words["source"], words["destination"])
            elif words["way"] == "download":
                download(root, words["source"], words["destination"])
            else:
                Inside(root).write(words["destination"], sys.stdin.buffer, 0o600)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else str(error), file=sys.stderr)
        return 1
    return 0
