"""Whatever links an image has: nothing outside of its root is read, written, removed or mounted upon."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.host.changing import CHANGES, DEEDS, changes_nowhere
from tests.host.glass import behind_glass
from tests.host.hostile import ENTRIES, PATHS, Entries, World, carries_nowhere, leads_nowhere

from gilder.host.keeping import Keeper

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("hostile") / "world")


@settings(max_examples=600, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=ENTRIES, paths=st.lists(PATHS, min_size=1, max_size=4))
def no_tree_leads_outside(world: World, entries: Entries, paths: list[str]) -> None:
    leads_nowhere(world, entries, paths)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=ENTRIES, paths=st.lists(PATHS, min_size=1, max_size=3))
def nothing_is_carried_outside_or_fetched_from_there(world: World, entries: Entries, paths: list[str]) -> None:
    carries_nowhere(world, entries, paths)


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=ENTRIES, paths=st.lists(PATHS, min_size=1, max_size=4, unique=True))
def what_was_lent_and_given_back_left_no_trace(world: World, entries: Entries, paths: list[str]) -> None:
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


@pytest.mark.parametrize("change", CHANGES)
def test_whenever_a_tree_changes_nothing_outside_is_touched(world: World, change: str) -> None:
    """A path is opened once; what it led to then is used by its descriptor, whatever is at the path by now."""

    def claim() -> None:
        for deed in DEEDS:
            moments = itertools.takewhile(partial(changes_nowhere, world, deed, change), itertools.count(1))
            assert len(list(moments)) > 10, f"{deed} was not watched"

    behind_glass(world.folder.parent, claim)
