"""Whether what gilder's journal tells is what the cloud has, and whether the images are whole."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.sweeps.ground import Ground

MARK = "made by $PACKER_BUILD_NAME"
"""What the builds of a sweep write into /etc/mark."""


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


def untrue(place: Ground, names: Sequence[str]) -> list[str]:
    """Where images are not whole, or the journal tells otherwise of them than the cloud, or that something is held."""
    with _journal(place) as journal:
        told = dict(journal.execute("SELECT name, status || ' ' || artifacts FROM build"))
        (running,) = journal.execute("SELECT count(*) FROM run WHERE status = 'running'").fetchone()
        held = journal.execute("SELECT kind, name, state FROM residue WHERE state IN ('held', 'left')").fetchall()
    wrong = [f"the journal still has {running} running"] if running else []
    wrong += [f"the journal has the {kind} {name} as {state}" for kind, name, state in held]
    images = place.images()
    for name in names:
        image = images.get(f"{name}-image")
        status = told.get(name, "not begun []")
        if (image is not None) != status.startswith("built"):
            wrong.append(f"{name}: the image is {'there' if image else 'not there'}, the journal says {status}")
        elif image is not None and image.id.lower() not in status.lower():
            wrong.append(f"{name}: the journal does not name the image: {status}")
        if image is not None:
            wrong += [f"{name}: {what}" for what in broken(place.disk_file(image), name)]
    return wrong


def broken(disk: Path, name: str) -> list[str]:
    """What is wrong with the disk of a published image."""
    at = f"{disk}?offset={2048 * 512}"
    mark = subprocess.run(["debugfs", "-R", "cat /etc/mark", at], capture_output=True, text=True, check=False).stdout
    wrong = [] if mark.strip() == f"made by {name}" else [f"its image has the mark {mark.strip()!r}"]
    check = subprocess.run(["e2fsck", "-f", "-n", at], capture_output=True, text=True, check=False)
    return wrong if check.returncode == 0 else [*wrong, f"its filesystem is damaged: {check.stdout}"]
