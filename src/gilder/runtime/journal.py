"""The journal: one SQLite file with runs, builds, what they hold, operations under way, and timings.

It is the record for recovery (intent is written before the act), the history for scheduling, and what `gilder runs`
shows. Written in WAL mode with full sync by one thread; several gilder processes share it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from gilder.model.errors import HostError, JournalDamaged
from gilder.runtime.journal_file import is_damage, prepared, to_read, to_write
from gilder.runtime.release import closing

T = TypeVar("T")

DEFAULT_PATH = Path("/var/lib/gilder/journal.sqlite")

_RESIDUE = "id, run, build, kind, name, handle, remedy, data, state, why, at"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. Times are seconds since 1970; `status` is running, done, failed or recovered."""

    id: str
    vm: str
    template: str
    pid: int
    boot: str
    started: float
    finished: float | None
    status: str

    def was_on(self, vm: object) -> bool:
        """Whether it ran on the VM of this id: a journal travels with a copied disk."""
        return self.vm.lower() == str(vm).lower()


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One build of a run; `status` is running, built, failed or cancelled."""

    run: str
    name: str
    status: str
    stage: str
    error: str
    artifacts: tuple[str, ...]
    started: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class ResidueRecord:
    """A thing that a build holds (`held`), could not give back (`left`), has given back (`released`) or made to stay
    (`kept`); `handle` is its resource id."""

    id: int
    run: str
    build: str
    kind: str
    name: str
    handle: str
    remedy: str
    data: str
    state: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """A long-running operation that was started and not seen to end: on which resource (its id, as the residue's
    handle), and `token`, which is what is needed to follow it."""

    id: int
    run: str
    build: str
    resource: str
    doing: str
    token: str
    started: float


@dataclass(frozen=True, slots=True)
class TimingRecord:
    """How long a stage of a build took: `started` since 1970, `seconds`."""

    run: str
    build: str
    stage: str
    detail: str
    started: float
    seconds: float
    ok: bool


def _timing(row: tuple[str, str, str, str, float, float, int]) -> TimingRecord:
    run, build, stage, detail, started, seconds, ok = row
    return TimingRecord(run, build, stage, detail, started, seconds, bool(ok))


def boot_id() -> str:
    """The id of this boot of the machine: after a restart no process of an earlier run can live."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Journal:
    """An open journal; comes only out of `opened`, `opened_to_read` and `in_loop`.

    `hide` takes secrets out of what people read in it; resource ids and names must stay as they are.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        thread: anyio.CapacityLimiter | None,
        hide: Callable[[str], str] = str,
        path: Path = Path(":memory:"),
        doing: str = "written",
    ) -> None:
        self.path = path
        self._database = database
        self._doing = doing
        self._thread = thread
        self._hide = hide

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            try:
                with self._database:
                    return work(self._database)
            except json.JSONDecodeError as error:
                raise JournalDamaged(self.path, error) from error
            except sqlite3.Error as error:
                if is_damage(error):
                    raise JournalDamaged(self.path, error) from error
                hint = "free some space on its disk" if self._doing == "written" else None
                raise HostError(f"the journal cannot be {self._doing}: {error}", hint=hint) from error

        if self._thread is None:
            return transaction()
        # Not abandoned when cancelled: half a second later the record would appear after all.
        with anyio.CancelScope(shield=True):
            return await anyio.to_thread.run_sync(transaction, limiter=self._thread)
        raise AssertionError("nobody cancels this scope")

    async def _write(self, statement: str, *values: object) -> int:
        return await self._do(lambda db: db.execute(statement, values).lastrowid or 0)

    # Runs and builds

    async def run_started(self, run: str, vm: str, template: str) -> None:
        """Note that a run begins."""
        values = (run, vm, template, os.getpid(), boot_id(), time.time(), None, "running")
        await self._write("INSERT INTO run VALUES (?,?,?,?,?,?,?,?)", *values)

    async def run_finished(self, run: str, status: str) -> None:
        """Note how a run ended."""
        await self._write("UPDATE run SET finished = ?, status = ? WHERE id = ?", time.time(), status, run)

    async def build_started(self, run: str, build: str) -> None:
        """Note that a build begins."""
        values = (run, build, "running", "", "", "[]", time.time(), None)
        await self._write("INSERT OR REPLACE INTO build VALUES (?,?,?,?,?,?,?,?)", *values)

    async def build_finished(
        self, run: str, build: str, status: str, stage: str, error: str, artifacts: Sequence[str]
    ) -> None:
        """Note how a build ended."""
        statement = (
            "UPDATE build SET status = ?, stage = ?, error = ?, artifacts = ?, finished = ? WHERE run = ? AND name = ?"
        )
        await self._write(
            statement, status, stage, self._hide(error), json.dumps(list(artifacts)), time.time(), run, build
        )

    async def runs(self) -> list[RunRecord]:
        """All runs, oldest first: as they were written, for a clock that is corrected would mix them up."""
        return await self._do(lambda db: [RunRecord(*row) for row in db.execute("SELECT * FROM run ORDER BY rowid")])

    async def builds(self, run: str) -> list[BuildRecord]:
        """The builds of a run, in the order they started."""
        query = "SELECT * FROM build WHERE run = ? ORDER BY started, rowid"

        def read(db: sqlite3.Connection) -> list[BuildRecord]:
            return [
                BuildRecord(run, name, status, stage, error, tuple(json.loads(artifacts)), started, finished)
                for run, name, status, stage, error, artifacts, started, finished in db.execute(query, (run,))
            ]

        return await self._do(read)

    # What builds hold

    async def intend(self, run: str, build: str, kind: str, name: str, handle: str, remedy: str, data: str = "") -> int:
        """Note that a thing is about to come into being; durable when this returns. Returns its number.

        `data` is what recovery needs to finish it.
        """
        columns = "run, build, kind, name, handle, remedy, data, state, why, at"
        statement = f"INSERT INTO residue ({columns}) VALUES (?,?,?,?,?,?,?,'held','',?)"  # noqa: S608 — constants
        # Made of the id, which must stay as it is anyway: with a part of it hidden, nobody could use it.
        shown = remedy if handle and handle in remedy else self._hide(remedy)
        return await self._write(statement, run, build, kind, name, handle, shown, data, time.time())

    async def released(self, number: int) -> None:
        """Note that a thing is gone."""
        await self._settled(number, "released")

    async def kept(self, number: int) -> None:
        """Note that a thing is finished and stays: not a residue, but what the build was for."""
        await self._settled(number, "kept")

    async def _settled(self, number: int, state: str) -> None:
        """Note that a thing is gone or finished, and with it every operation that worked on it."""
        now = time.time()

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE residue SET state = ?, at = ? WHERE id = ?", (state, now, number))
            db.execute(
                "UPDATE operation SET finished = ? WHERE finished IS NULL AND EXISTS (SELECT * FROM residue "
                "WHERE residue.id = ? AND residue.run = operation.run AND residue.handle = operation.resource)",
                (now, number),
            )

        await self._do(write)

    async def products(self, run: str) -> dict[str, list[ResidueRecord]]:
        """What the builds of a run were to make (images and image versions), by build: kept, held, left and released."""
        query = f"SELECT {_RESIDUE} FROM residue WHERE kind IN ('image', 'image version') AND run = ? ORDER BY id"  # noqa: S608 — constants
        found: dict[str, list[ResidueRecord]] = {}
        for record in await self._do(lambda db: [ResidueRecord(*row) for row in db.execute(query, (run,))]):
            found.setdefault(record.build, []).append(record)
        return found

    async def left(self, number: int, why: str) -> None:
        """Note that a thing could not be removed."""
        await self._write(
            "UPDATE residue SET state = 'left', why = ?, at = ? WHERE id = ?", self._hide(why), time.time(), number
        )

    async def residues(self, run: str | None = None) -> list[ResidueRecord]:
        """What is held or left, oldest first; of one run or of all."""
        there = "state <> 'released' AND state <> 'kept'"
        query = f"SELECT {_RESIDUE} FROM residue WHERE {there} AND (? IS NULL OR run = ?) ORDER BY id"  # noqa: S608 — constants
        return await self._do(lambda db: [ResidueRecord(*row) for row in db.execute(query, (run, run))])

    # Operations

    async def operation_started(self, run: str, build: str, resource: str, doing: str, token: str) -> int:
        """Note an operation that outlives this process, until its resource is released or kept. Returns its number."""
        statement = "INSERT INTO operation (run, build, resource, doing, token, started) VALUES (?,?,?,?,?,?)"
        return await self._write(statement, run, build, resource, self._hide(doing), token, time.time())

    async def operation_finished(self, number: int) -> None:
        """Note that an operation was seen to end."""
        await self._write("UPDATE operation SET finished = ? WHERE id = ?", time.time(), number)

    async def operations(self, run: str | None = None) -> list[OperationRecord]:
        """The operations not seen to end, oldest first; of one run or of all."""
        query = (
            "SELECT id, run, build, resource, doing, token, started FROM operation "
            "WHERE finished IS NULL AND (? IS NULL OR run = ?) ORDER BY id"
        )
        return await self._do(lambda db: [OperationRecord(*row) for row in db.execute(query, (run, run))])

    # Timings

    async def timed(self, records: Sequence[TimingRecord]) -> None:
        """Keep the timings of a build."""
        rows = [(r.run, r.build, r.stage, self._hide(r.detail), r.started, r.seconds, int(r.ok)) for r in records]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT INTO timing VALUES (?,?,?,?,?,?,?)", rows)

        await self._do(write)

    async def timings(self, run: str) -> list[TimingRecord]:
        """The timings of a run, in the order they began."""
        query = "SELECT * FROM timing WHERE run = ? ORDER BY started, rowid"
        return await self._do(lambda db: [_timing(row) for row in db.execute(query, (run,))])

    async def run_of(self, run: str) -> RunRecord | None:
        """One run, None if there is none of that id."""
        rows = await self._do(lambda db: db.execute("SELECT * FROM run WHERE id = ?", (run,)).fetchall())
        return RunRecord(*rows[0]) if rows else None

    async def last_timings(self) -> list[TimingRecord]:
        """The timings of each build from the run that built it last."""
        query = (
            "SELECT timing.* FROM timing "
            "JOIN (SELECT name, run, MAX(finished) FROM build WHERE status = 'built' GROUP BY name) AS last "
            "ON timing.run = last.run AND timing.build = last.name"
        )
        return await self._do(lambda db: [_timing(row) for row in db.execute(query)])

    async def close(self) -> None:
        """Close the file."""
        if self._thread is None:
            self._database.close()
            return
        await anyio.to_thread.run_sync(self._database.close, limiter=self._thread)


@asynccontextmanager
async def opened(path: Path = DEFAULT_PATH, hide: Callable[[str], str] = str) -> AsyncIterator[Journal]:
    """The journal at `path`, made if missing; what people read in it passes through `hide`.

    Raises Refused when it cannot be written or is of a later version, JournalDamaged when it is none."""
    database = await anyio.to_thread.run_sync(to_write, path)
    journal = Journal(database, anyio.CapacityLimiter(1), hide, path)
    async with closing(journal.close, within=10):
        yield journal


@asynccontextmanager
async def opened_to_read(path: Path) -> AsyncIterator[Journal]:
    """The journal at `path`, not to be written, so that whoever may read the file can look.

    Raises Refused when it cannot be read or is of a later version, JournalDamaged when it is none, and HostError when it
    changed just when it was read."""
    file = await anyio.to_thread.run_sync(to_read, path)
    journal = Journal(file.database, anyio.CapacityLimiter(1), path=path, doing="read")
    async with closing(journal.close, within=10):
        yield journal
    file.must_be_unchanged()


@asynccontextmanager
async def in_loop() -> AsyncIterator[Journal]:
    """A journal in memory that works without a thread: for tests in virtual time, which must not jump while one runs."""
    journal = Journal(prepared(sqlite3.connect(":memory:"), Path(":memory:")), None)
    async with closing(journal.close, within=10):
        yield journal
