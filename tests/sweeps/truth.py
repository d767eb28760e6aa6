"""Whether what gilder's journal tells is what the cloud has, and whether the images are whole."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.sweeps.ground import Ground

from localarm.resources import Resource

MARK = "made by $PACKER_BUILD_NAME"
"""What the builds of a sweep write into /etc/mark."""

NONE: Mapping[str, str] = MappingProxyType({})


@contextmanager
def _journal(place: Ground) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{place.journal}?mode=ro", uri=True)) as journal:
        yield journal


def unreadable(place: Ground) -> list[str]:
    """Whether the journal is whole."""
    try:
        with _journal(place) as journal:
            (found,) = journal.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    return [] if found == "ok" else [f"the journal is damaged: {found}"]


def untrue(place: Ground, names: Sequence[str], versions: Mapping[str, str] = NONE) -> list[str]:
    """Where images are not whole, or the journal tells otherwise of them than the cloud, or that something is held.

    `versions` has the gallery image version that is made beside the image, by the name of its build.
    """
    with _journal(place) as journal:
        told = dict(journal.execute("SELECT name, status || ' ' || artifacts FROM build"))
        (running,) = journal.execute("SELECT count(*) FROM run WHERE status = 'running'").fetchone()
        held = journal.execute("SELECT kind, name, state FROM residue WHERE state IN ('held', 'left')").fetchall()
    wrong = [f"the journal still has {running} running"] if running else []
    wrong += [f"the journal has the {kind} {name} as {state}" for kind, name, state in held]
    made = place.products()
    for name in names:
        wanted = [f"{name}-image", *([versions[name]] if name in versions else [])]
        there = [made[product] for product in wanted if product in made]
        whole = len(there) == len(wanted)
        wrong += [
            f"{name}: {what}" for what in _untrue(place, there, name, told.get(name, "not begun []"), whole=whole)
        ]
    return wrong


def _untrue(place: Ground, there: Sequence[Resource], name: str, status: str, *, whole: bool) -> Iterator[str]:
    """What is wrong with what a build has made, or with what the journal says of it.

    Of an image and a version one may be there alone, when the build was killed before it had noted the other: it is named,
    and the build is not called built.
    """
    if whole != status.startswith("built"):
        yield f"{len(there)} of what it was to make is there, the journal says {status}"
    for made in there:
        if made.id.lower() not in status.lower():
            yield f"the journal does not name {made.id}: {status}"
        yield from broken(place.disk_file(made), name)


def broken(disk: Path, name: str) -> list[str]:
    """What is wrong with the disk of a published image."""
    at = f"{disk}?offset={2048 * 512}"
    mark = subprocess.run(["debugfs", "-R", "cat /etc/mark", at], capture_output=True, text=True, check=False).stdout
    wrong = [] if mark.strip() == f"made by {name}" else [f"its image has the mark {mark.strip()!r}"]
    check = subprocess.run(["e2fsck", "-f", "-n", at], capture_output=True, text=True, check=False)
    return wrong if check.returncode == 0 else [*wrong, f"its filesystem is damaged: {check.stdout}"]
