"""Which runs live: each holds locks while it does, which the kernel drops when its process dies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gilder.model.errors import Refused
from gilder.runtime.filelock import file_locked, is_unlocked, nobody
from gilder.runtime.journal import Journal, RunRecord, boot_id

RUN_ID = re.compile(r"[0-9A-Za-z_-]{1,255}")
"""What may be a run's id, and so the name of its lock. A tag may be longer than a file's name."""

ALIVE = Path("/run/gilder/runs")
"""The locks of all runs of this machine, for who has a run's id and no journal."""


def beside(journal: Path) -> Path:
    """The locks of the runs of one journal. Who sees the journal sees these: containers may share it and not `/run`."""
    return journal.with_name(f"{journal.name}.alive")


@asynccontextmanager
async def living(run: str, journal: Path, busy: Callable[[], None] = nobody) -> AsyncIterator[None]:
    """Count as living while inside; waits while somebody else is this run, or recovers it, which `busy` is told.

    Raises HostError.
    """
    async with (
        file_locked(ALIVE / run, ephemeral=True, busy=busy),
        file_locked(beside(journal) / run, ephemeral=True, busy=busy),
    ):
        yield


def is_alive(run: RunRecord, journal: Path, alive: Path = ALIVE) -> bool:
    """Whether the process of a run still lives; raises PermissionError for who may not look at locks."""
    if run.boot != boot_id():
        return False
    return not (is_unlocked(beside(journal) / run.id) and is_unlocked(alive / run.id))


def works(run: str, alive: Path = ALIVE) -> bool:
    """Whether a run, by its id out of a tag, lives on this machine; also where that cannot be seen."""
    if not RUN_ID.fullmatch(run):
        return False
    try:
        return not is_unlocked(alive / run)
    except OSError:
        return True


async def crashed_runs(journal: Journal, alive: Path = ALIVE) -> list[RunRecord]:
    """The runs that ended without giving everything back, oldest first; runs that still live are not among them.

    Raises Refused for who may not look at locks.
    """
    try:
        dead = {run.id for run in await _unfinished(journal) if not is_alive(run, journal.path, alive)}
    except PermissionError as error:
        raise Refused("whether earlier runs still live only root can see", hint="be root: sudo -E gilder …") from error
    # Read again: a run that ended well between the reading and the look at its locks has not crashed.
    return [run for run in await _unfinished(journal) if run.id in dead]


async def _unfinished(journal: Journal) -> list[RunRecord]:
    """The runs that have not given everything back, or not noted their end; oldest first."""
    holding = {residue.run for residue in await journal.residues()}
    return [run for run in await journal.runs() if run.id in holding or run.status == "running"]
