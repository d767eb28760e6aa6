"""A tree that changes while the keeper works in it, as a process of the guest may change it: between any two of its steps."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from tests.host.hostile import World

from gilder.host import beneath, carrying, keeping
from gilder.host.beneath import Root
from gilder.host.carrying import download, upload
from gilder.host.keeping import Keeper

_CODE = frozenset(module.__file__ for module in (beneath, carrying, keeping))


class Steps:
    """Counts the calls that the code which handles paths makes, and does `change` before one of them."""

    def __init__(self, moment: int, change: Callable[[], None]) -> None:
        self._moment = moment
        self._change = change
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call") and frame.f_code.co_filename in _CODE:
            self.count += 1
            if self.count == self._moment:
                self._change()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while inside, in this thread."""
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(before)


def _to_a_link(world: World) -> None:
    """`/etc` becomes a link that leads outside."""
    (world.root / "etc").rename(world.root / "was-etc")
    (world.root / "etc").symlink_to(world.outside / "etc")


def _to_a_device(world: World) -> None:
    """`/etc/secret` becomes a device."""
    (world.root / "etc/secret").unlink()
    os.mknod(world.root / "etc/secret", stat.S_IFCHR | 0o666, os.makedev(1, 3))


CHANGES: dict[str, Callable[[World], None]] = {"a link": _to_a_link, "a device": _to_a_device}


def _read(world: World) -> None:
    assert Keeper().read(str(world.root), "/etc/secret") == "b3du", "what was read is not the image's file"


def _lend(world: World) -> None:
    keeper = Keeper()
    try:
        keeper.lend(str(world.root), "/etc/secret", "token", "bmV3", None, 0o644)
    finally:
        keeper.give_back(str(world.root), "token")


def _mount(world: World) -> None:
    target = Keeper().mount_target(str(world.root), "/etc/below", None)
    assert world.inside(target), f"it would be mounted at {target}"


def _upload(world: World) -> None:
    with Root(str(world.root)) as root, tempfile.NamedTemporaryFile(dir=world.folder.parent) as load:
        upload(root, load.name, "/etc/uploaded")
        upload(root, load.name, "/etc/secret")


def _download(world: World) -> None:
    with Root(str(world.root)) as root, tempfile.TemporaryDirectory(dir=world.folder.parent) as folder:
        download(root, "/etc", f"{folder}/all/")
        for file in Path(folder).rglob("*"):
            assert not file.is_file() or file.read_text() == "own", f"{file} is not the image's"


DEEDS: dict[str, Callable[[World], None]] = {
    "read": _read,
    "create": lambda world: Keeper().create(str(world.root), "/etc/secret", "eA==", 0o755),
    "remove": lambda world: Keeper().remove(str(world.root), "/etc/secret"),
    "lend": _lend,
    "mount": _mount,
    "upload": _upload,
    "download": _download,
}


def changes_nowhere(world: World, deed: str, change: str, moment: int) -> bool:
    """Do a deed at paths of a tree that changes before the given step of it; whether that moment came.

    Raises AssertionError when the deed reached beyond the root, or took another thing for the file.
    """
    shutil.rmtree(world.folder, ignore_errors=True)
    world.build([(["etc", "secret"], "file")])
    (world.outside / "etc/secret").write_text("secret")
    before = world.seen_outside()
    steps = Steps(moment, lambda: CHANGES[change](world))
    with suppress(OSError), steps.counted():
        DEEDS[deed](world)
    world.is_outside_as(before)
    return steps.count >= moment
