"""Trees whose links try to lead out of an image, and what is done in them as a build does it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gilder.host.beneath import Root
from gilder.host.carrying import download, upload
from gilder.host.keeping import Keeper

Entries = list[tuple[list[str], str]]
"""What to make in a root, in this order: where, by the names on the way; and what."""

NAMES = ("etc", "proc", "dev", "tmp", "usr", "run", "x")
_STEPS = st.sampled_from(("..", ".", "", "self", "root", "cwd", "1", "outside", *NAMES))
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
ENTRIES: SearchStrategy[Entries] = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        st.one_of(
            st.just("directory"), st.just("file"), st.just("fifo"), _TARGETS.map(lambda target: "link:" + target)
        ),
    ),
    max_size=12,
)
PATHS: SearchStrategy[str] = st.builds(lambda parts: "/" + "/".join(parts), st.lists(_STEPS, min_size=1, max_size=5))


class World:
    """A root for a guest, and a folder beside it that stands for the host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.outside = folder / "outside"

    def build(self, entries: Entries) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.root.mkdir(parents=True)
        for name in NAMES:
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

    def inside(self, path: str) -> bool:
        """Whether a path without links is the root or beneath it."""
        return Path(path).is_relative_to(self.root)

    def is_outside_as(self, before: dict[str, tuple[int, ...]]) -> None:
        """Raise AssertionError unless everything that is not in the root is as it was."""
        now = self.seen_outside()
        changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
        assert not changed, f"outside of the root changed: {', '.join(changed)}"

    def seen_outside(self) -> dict[str, tuple[int, ...]]:
        """Every file that is not in the root, with all that would show that it was touched."""
        found: dict[str, tuple[int, ...]] = {}
        for path in [self.folder, self.outside, *self.outside.rglob("*")]:
            status = path.lstat()
            times = (status.st_mtime_ns, status.st_ctime_ns)
            found[str(path)] = (status.st_mode, status.st_ino, status.st_size, status.st_nlink, *times)
        found["secret"] = tuple((self.outside / "secret").read_bytes())
        return found


def leads_nowhere(world: World, entries: Entries, paths: list[str]) -> None:
    """Do all that the keeper does at these paths of a tree; raises AssertionError when it reaches beyond the root."""
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
        for like in (None, "/etc/hostname"):
            with suppress(OSError):
                target = keeper.mount_target(root, path, like)
                assert world.inside(target), f"{path} would be mounted at {target}"
        with suppress(OSError):
            keeper.lend(root, path, "token", None, "/etc/hostname", None)
        with suppress(OSError):
            keeper.create(root, path + ".new", "eA==", 0o755)
        with suppress(OSError):
            keeper.give_back(root, "token")
        with suppress(OSError):
            keeper.remove(root, path)
    world.is_outside_as(before)


def carries_nowhere(world: World, entries: Entries, paths: list[str]) -> None:
    """Carry files to and from these paths of a tree; raises AssertionError when that reaches beyond the root."""
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
    world.is_outside_as(before)


def drawn(number: int, by: int) -> list[tuple[Entries, list[str]]]:
    """So many trees and paths in them, always the same for the same seed `by`."""
    found: list[tuple[Entries, list[str]]] = []

    @seed(by)
    @settings(max_examples=number, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(entries=ENTRIES, paths=st.lists(PATHS, min_size=1, max_size=4))
    def collect(entries: Entries, paths: list[str]) -> None:
        found.append((entries, paths))

    collect()
    return found
