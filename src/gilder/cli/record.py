"""What the journal tells of one run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gilder.cli.places import Places, is_there
from gilder.model.errors import UserError
from gilder.model.events import WAITING_FOR
from gilder.runtime.journal import (
    BuildRecord,
    Journal,
    OperationRecord,
    ResidueRecord,
    RunRecord,
    TimingRecord,
    opened_to_read,
)
from gilder.runtime.living import is_alive
from gilder.template.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Record:
    """A run with its builds, the times of their stages, what it holds or left behind, and what the cloud was doing for it.

    Times are since 1970.
    """

    run: RunRecord
    lives: bool
    """Whether its process is still there."""
    builds: tuple[BuildRecord, ...]
    timings: tuple[TimingRecord, ...] = ()
    residues: tuple[ResidueRecord, ...] = ()
    operations: tuple[OperationRecord, ...] = ()

    @property
    def status(self) -> str:
        """How it stands; a run whose process is gone although it never finished was interrupted."""
        return "interrupted" if self.run.status == "running" and not self.lives else self.run.status

    def status_of(self, build: BuildRecord) -> str:
        """How a build of it stands: none runs in a run that was interrupted."""
        return "interrupted" if build.status == "running" and self.status == "interrupted" else build.status

    @property
    def end(self) -> float:
        """When it ended, as far as the journal knows; of a running one: now. Not before its start, whatever the clock did."""
        if self.run.finished is not None:
            return max(self.run.started, self.run.finished)
        if self.status == "running":
            return max(self.run.started, time.time())
        return max([self.run.started, *self.ends()])

    def begins(self) -> dict[str, float]:
        """When the first stage of each build began, of builds that are over: before that they were queued."""
        found: dict[str, float] = {}
        for timing in self.timings:
            if not timing.stage.startswith(WAITING_FOR):
                found[timing.build] = min(timing.started, found.get(timing.build, timing.started))
        return found

    def ends(self) -> list[float]:
        """When something of it ended."""
        stages = [timing.started + timing.seconds for timing in self.timings]
        return stages + [build.finished for build in self.builds if build.finished is not None]


def _lives(run: RunRecord, journal: Path) -> bool:
    """Whether the process of a run still lives, as far as whoever asks may know."""
    try:
        return is_alive(run, journal)
    except PermissionError:  # not root: its process id must do, although it may be another's by now
        return Path(f"/proc/{run.pid}").exists()


async def records(path: Path) -> list[Record]:
    """All runs with their builds, the latest first; without stages and residues."""
    if not is_there(path):
        return []
    async with opened_to_read(path) as journal:
        return [
            Record(run, _lives(run, path), tuple(await journal.builds(run.id)))
            for run in reversed(await journal.runs())
        ]


async def record(path: Path, name: str) -> Record:
    """The run that is meant by `name`: its id, a beginning of it, or `last`. Raises UserError."""
    if not is_there(path):
        raise UserError(
            f"there is no journal {path}", hint="name another with --journal; it is written by gilder build"
        )
    async with opened_to_read(path) as journal:
        run = meant(await journal.runs(), name, Places(path).command("runs"))
        return await _whole(journal, run)


async def _whole(journal: Journal, run: RunRecord) -> Record:
    return Record(
        run,
        _lives(run, journal.path),
        tuple(await journal.builds(run.id)),
        tuple(await journal.timings(run.id)),
        tuple(await journal.residues(run.id)),
        tuple(await journal.operations(run.id)),
    )


def meant(runs: Sequence[RunRecord], name: str, listing: str) -> RunRecord:
    """The run that is meant: its id, a beginning of it, or `last`. Raises UserError when there is none, or more than one.

    `listing` is the command that lists them.
    """
    if not runs:
        raise UserError("the journal knows no run yet")
    if name == "last":
        return runs[-1]
    found = [run for run in runs if run.id == name] or [run for run in runs if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(run.id for run in found[-5:])
        raise UserError(f'{len(found)} runs begin with "{name}"', hint=f"the latest are {ids}")
    otherwise = f"list them with: {listing}"
    raise UserError(f'there is no run "{name}"', hint=did_you_mean(name, [run.id for run in runs], otherwise=otherwise))
