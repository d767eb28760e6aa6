"""Whatever links an image has: nothing outside of its root is read, written, removed or mounted upon."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.host.glass import behind_glass

from gilder.host.beneath import Root
from gilder.host.carrying import download, upload
from gilder.host.keeping import Keeper

pytestmark = pytest.mark.root

_NAMES = ("etc", "proc", "dev", "tmp", "usr", "run", "x")
_STEPS = st.sampled_from(("..", ".", "", "self", "root", "cwd", "1", "outside", *_NAMES))
_TARGETS = st.one_of(
    st.sampled_from(
        (
            "/",
            "..",
            "../../../../../../..",
            "/proc/self/root",
            "/proc/1/root",
            "/proc/self/cwd",
            "/proc/self/fd/0",
            "/etc",
            "../outside",
            "{outside}",
            "{outside}/secret",
            "//{outside}",
            "/proc/self/root{outside}",
        )
    ),
    st.builds(lambda up, parts: up + "/".join(parts), st.sampled_from(("", "/", "../")), st.lists(_STEPS, max_size=5)),
)
_ENTRIES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3),
        st.one_of(
            st.just("directory"), st.just("file"), st.just("fifo"), _TARGETS.map(lambda target: "link:" + target)
        ),
    ),
    max_size=12,
)
_PATHS = st.builds(lambda parts: "/" + "/".join(parts), st.lists(_STEPS, min_size=1, max_size=5))


class World:
    """A root for a guest, and a folder beside it that stands for the host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.outside = folder / "outside"

    def build(self, entries: list[tuple[list[str], str]]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.root.mkdir(parents=True)
        for name in _NAMES:
            (self.outside / name).mkdir(parents=True)
        (self.outside / "secret").write_text("secret")
        for parts, kind in entries:
            # One step at a time: a path through a link that was made before would leave the root here.
            at = self.root
            for part in parts[:-1]:
                at = at / part
                with suppress(FileExistsError):
                    at.mkdir()
                if at.is_symlink() or not at.is_dir():
                    break
            else:
                self._put(at / parts[-1], kind)

    def _put(self, at: Path, kind: str) -> None:
        with suppress(FileExistsError):
            if kind == "directory":
                at.mkdir()
            elif kind == "fifo":
                os.mkfifo(at)
            elif kind == "file":
                with at.open("x") as file:
                    file.write("own")
            else:
                at.symlink_to(kind.removeprefix("link:").replace("{outside}", str(self.outside)) or ".")

    def seen_outside(self) -> dict[str, tuple[int, ...]]:
        """Every file that is not in the root, with all that would show that it was touched."""
        found: dict[str, tuple[int, ...]] = {}
        for path in [self.folder, self.outside, *self.outside.rglob("*")]:
            status = path.lstat()
            times = (status.st_mtime_ns, status.st_ctime_ns)
            found[str(path)] = (status.st_mode, status.st_ino, status.st_size, status.st_nlink, *times)
        found["secret"] = tuple((self.outside / "secret").read_bytes())
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("hostile") / "world")


@settings(max_examples=600, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=_ENTRIES, paths=st.lists(_PATHS, min_size=1, max_size=4))
def no_tree_leads_outside(world: World, entries: list[tuple[list[str], str]], paths: list[str]) -> None:
    world.build(entries)
    before = world.seen_outside()
    keeper = Keeper()
    root = str(world.root)
    for path in [*paths, "/etc/resolv.conf", "/tmp/script_1.sh"]:
        with suppress(OSError):
            found = keeper.read(root, path)
            assert found != "c2VjcmV0", f"{path} read the host's secret"
        with suppress(OSError):
            keeper.status(root, path)
        with suppress(OSError):
            target = keeper.mount_target(root, path, None)
            assert Path(target) == world.root or world.root in Path(target).parents
        with suppress(OSError):
            target = keeper.mount_target(root, path, "/etc/hostname")
            assert Path(target) == world.root or world.root in Path(target).parents
        with suppress(OSError):
            keeper.lend(root, path, "token", None, "/etc/hostname", None)
        with suppress(OSError):
            keeper.create(root, path + ".new", "eA==", 0o755)
        with suppress(OSError):
            keeper.give_back(root, "token")
        with suppress(OSError):
            keeper.remove(root, path)
    assert world.seen_outside() == before


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=_ENTRIES, paths=st.lists(_PATHS, min_size=1, max_size=3))
def nothing_is_carried_outside_or_fetched_from_there(
    world: World, entries: list[tuple[list[str], str]], paths: list[str]
) -> None:
    world.build(entries)
    load = world.folder.parent / "load"
    (load / "etc/x").mkdir(parents=True, exist_ok=True)
    (load / "etc/x/file").write_text("load")
    before = world.seen_outside()
    with Root(str(world.root)) as root, tempfile.TemporaryDirectory(dir=world.folder.parent) as fetched:
        for number, path in enumerate(paths):
            with suppress(OSError):
                upload(root, f"{load}/", path)
            with suppress(OSError):
                upload(root, f"{load}/etc/x/file", path)
            with suppress(OSError):
                download(root, path, f"{fetched}/{number}/")
        for file in Path(fetched).rglob("*"):
            if not file.is_symlink() and file.is_file():
                assert file.read_text() != "secret", f"{file} is the host's"
    assert world.seen_outside() == before


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=_ENTRIES, paths=st.lists(_PATHS, min_size=1, max_size=4, unique=True))
def what_was_lent_and_given_back_left_no_trace(
    world: World, entries: list[tuple[list[str], str]], paths: list[str]
) -> None:
    world.build(entries)
    before = _tree(world.root)
    keeper = Keeper()
    for path in [*paths, "/etc/resolv.conf"]:
        with suppress(OSError):
            keeper.lend(str(world.root), path, "token", "bmV3", None, 0o755)
    keeper.give_back(str(world.root), "token")
    assert _tree(world.root) == before


def _tree(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        link = str(path.readlink()) if path.is_symlink() else None
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, content, link)
    return found


@pytest.mark.parametrize(
    "claim",
    [
        no_tree_leads_outside,
        nothing_is_carried_outside_or_fetched_from_there,
        what_was_lent_and_given_back_left_no_trace,
    ],
)
def test_whatever_links_an_image_has(world: World, claim: Callable[[World], None]) -> None:
    """Behind glass: with a safeguard taken away, these trees do reach this machine's /etc and /usr."""
    behind_glass(world.folder.parent, lambda: claim(world))


def test_nothing_can_be_changed_from_behind_glass(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "here").write_text("")
        for place in ("/etc", "/usr", "/run", "/dev/shm"):
            with pytest.raises(OSError, match="Read-only"):
                (Path(place) / "behind-glass").touch()

    behind_glass(tmp_path, work)
    assert (tmp_path / "here").exists()
