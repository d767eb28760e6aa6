"""The file of the journal: opened to write, made or brought up to date where needed, or only to read."""

from __future__ import annotations

import sqlite3
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gilder.model.errors import HostError, JournalDamaged, Refused

VERSION = 3

_SCHEMA = """
CREATE TABLE run (
    id TEXT PRIMARY KEY, vm TEXT NOT NULL, template TEXT NOT NULL, pid INTEGER NOT NULL, boot TEXT NOT NULL,
    started REAL NOT NULL, finished REAL, status TEXT NOT NULL);
CREATE TABLE build (
    run TEXT NOT NULL REFERENCES run(id), name TEXT NOT NULL, status TEXT NOT NULL, stage TEXT NOT NULL,
    error TEXT NOT NULL, artifacts TEXT NOT NULL, started REAL NOT NULL, finished REAL, PRIMARY KEY (run, name));
CREATE TABLE residue (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run(id), build TEXT NOT NULL, kind TEXT NOT NULL,
    name TEXT NOT NULL, handle TEXT NOT NULL, remedy TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL,
    at REAL NOT NULL);
CREATE INDEX residue_open ON residue(run) WHERE state <> 'released';
CREATE TABLE operation (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run(id), build TEXT NOT NULL, doing TEXT NOT NULL,
    token TEXT NOT NULL, started REAL NOT NULL, finished REAL);
CREATE TABLE timing (
    run TEXT NOT NULL REFERENCES run(id), build TEXT NOT NULL, stage TEXT NOT NULL, detail TEXT NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL, ok INTEGER NOT NULL);
CREATE INDEX timing_of ON timing(build, stage);
"""

_FROM_1 = "ALTER TABLE residue ADD COLUMN data TEXT NOT NULL DEFAULT ''"
"""What version 2 added."""
_FROM_2 = "ALTER TABLE operation ADD COLUMN resource TEXT NOT NULL DEFAULT ''"
"""What version 3 added."""

_PATIENCE = 30.0
"""Seconds to wait for another process that has the file locked."""


_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_damage(error: Exception) -> bool:
    """Whether an error tells of the contents of the file: told as one of rights or space, it sends people the wrong way.

    Of text that is none, Python's module tells without a code.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return (code is not None and code & 0xFF in _DAMAGE) or "Could not decode to UTF-8" in str(error)


def to_write(path: Path) -> sqlite3.Connection:
    """A connection to the file, made or brought up to date where needed; raises Refused and JournalDamaged."""
    hint = "be root, make its folder writable, free some space, or name another file with --journal"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _closed_to_others(path)
        database = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise Refused(f"the journal {path} cannot be opened: {error}", hint=hint) from error
    try:
        return prepared(database, path)
    except (OSError, sqlite3.Error) as error:
        database.close()
        if is_damage(error):
            raise JournalDamaged(path, error) from error
        raise Refused(f"the journal {path} cannot be written: {error}", hint=hint) from error
    except Refused:
        database.close()
        raise


def _closed_to_others(path: Path) -> None:
    """Make the file if it is missing, for its owner alone, and shut others out of one that is there.

    What recovery needs to publish an image is in it as it is, secrets in tags included. Whom the owner let in by the group
    stays in. SQLite gives what it puts beside the file the file's own mode. A file that is there is not opened here: closing
    it again would end the locks that SQLite may have on it in this process (POSIX).
    """
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(OSError):  # not there, or not ours
            file = path.with_name(name)
            if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o007:
                file.chmod(mode & ~0o007)


def to_read(path: Path) -> Reading:
    """A connection to the file that does not write; raises Refused and JournalDamaged.

    Not to write is more than good manners: it may belong to root. SQLite then needs the files beside it to be there (-wal and
    -shm, as long as somebody has it open, and after a crash) or a folder in which it may make them. Where nobody has it open
    and the folder is not ours, the file alone is all of the journal, and is read as one that does not change.
    """
    hint = "only root and its group may read it (sudo gilder …); or name another file with --journal"
    try:
        database, still = _readable(path)
    except (OSError, sqlite3.Error) as error:
        if is_damage(error):
            raise JournalDamaged(path, error) from error
        raise Refused(f"the journal {path} cannot be read: {error}", hint=hint) from error
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return Reading(database, path, still)
    empty = not _has_tables(database)
    database.close()
    if empty:
        return Reading(prepared(sqlite3.connect(":memory:", check_same_thread=False), path), path, None)
    # One of an earlier version is brought up to date first, one of a later one refused.
    return Reading(to_write(path), path, None)


def _readable(path: Path) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    try:
        return _looked_at(path, "mode=ro"), None
    except sqlite3.OperationalError:
        if not path.exists() or path.with_name(f"{path.name}-wal").exists():
            raise
    still = _state(path)
    return _looked_at(path, "mode=ro&immutable=1"), still


def _looked_at(path: Path, how: str) -> sqlite3.Connection:
    """A connection with which the file could be read once."""
    database = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{how}", uri=True, timeout=_PATIENCE, check_same_thread=False
    )
    try:
        if _has_tables(database):
            database.execute("SELECT id FROM run LIMIT 1").fetchall()
    except BaseException:
        database.close()
        raise
    return database


def _has_tables(database: sqlite3.Connection) -> bool:
    """Whether anything was ever written to it: whoever made it may have been killed before that, or be about to do it."""
    return database.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone() is not None


def _state(path: Path) -> tuple[int, int]:
    """By what one sees that a file was changed."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@dataclass(frozen=True, slots=True)
class Reading:
    """A connection that only reads; `still` is the state of a file that must not change meanwhile."""

    database: sqlite3.Connection
    path: Path
    still: tuple[int, int] | None

    def must_be_unchanged(self) -> None:
        """Raise HostError when what was read may be half of one state and half of another."""
        if self.still is not None and self.still != _state(self.path):
            raise HostError(f"the journal {self.path} was written while it was read", hint="try again")


def prepared(database: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Make the database a journal that can be written; raises OSError, sqlite3.Error and Refused."""
    _written_ahead(database)
    database.execute("PRAGMA synchronous = FULL")
    _migrate(database, path)
    # A write now, so that a full or read-only disk is known before anything is created in the cloud.
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS probe (at REAL)")
        database.execute("DELETE FROM probe")
        database.execute("INSERT INTO probe VALUES (?)", (time.time(),))
    return database


def _written_ahead(database: sqlite3.Connection) -> None:
    """Have SQLite write ahead (WAL). Blocks while somebody else has the file locked; raises sqlite3.Error after a while.

    SQLite does not wait by itself here: of several processes that were the first to use a journal, some were refused.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    database.execute("BEGIN IMMEDIATE")  # two processes may both find a new file
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Refused(
                f"the journal {path} was written by a later version of gilder",
                hint="use that version, or name another file with --journal",
            )
        if version == 0:
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    database.execute(statement)
        if version < 2:
            database.execute(_FROM_1)
        if version < VERSION:
            database.execute(_FROM_2)
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.commit()
    except BaseException:
        database.rollback()
        raise
