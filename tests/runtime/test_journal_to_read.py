"""Root's journal as a user in its group sees it: read, not written, and a clear error where it cannot be read."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing as closed
from pathlib import Path

import anyio
import pytest

from gilder.cli.record import record, records
from gilder.model.errors import JournalDamaged, Refused
from gilder.runtime.journal import opened

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")

GROUP = 65534
"""The group of the ordinary user."""

NOBODY = """
import os, sys
from pathlib import Path
import anyio
from gilder.cli.history import run_lines
from gilder.cli.places import Places
from gilder.cli.record import record, records
from gilder.model.errors import GilderError

async def main():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    path = Path(sys.argv[1])
    try:
        found = [one.run.id for one in reversed(await records(path))]
        list(run_lines(await record(path, "last"), path.parent / "logs", Places(path)))
        print(*found)
    except GilderError as error:
        print("error:", error.message)
        print("hint:", error.hint)

anyio.run(main)
"""
SLOWLY = """
import os, sys
from pathlib import Path
import anyio
from gilder.model.errors import HostError
from gilder.runtime.journal import opened_to_read

async def main():
    os.setgid(65534)
    os.setuid(65534)
    try:
        async with opened_to_read(Path(sys.argv[1])) as journal:
            await journal.runs()
            print("reading", flush=True)
            input()
    except HostError as error:
        print(error.message)

anyio.run(main)
"""
WRITER = """
import sys
from pathlib import Path
import anyio
from gilder.runtime.journal import opened

async def main():
    async with opened(Path(sys.argv[1])) as journal:
        await journal.run_started("killed", "vm", "t")
        print("written", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """One that a group may read and only root may write, where everybody may look, as in /var/lib/gilder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "journal.sqlite"
        path.touch()
        os.chown(path, 0, GROUP)
        path.chmod(0o640)
        yield path


async def seen_by_nobody(path: Path) -> str:
    """What an ordinary user is told of the runs, who leaves nothing in the folder."""
    before = sorted(path.parent.iterdir())
    done = await anyio.run_process([sys.executable, "-c", NOBODY, str(path)], check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert sorted(path.parent.iterdir()) == before
    return done.stdout.decode().strip()


async def test_one_that_nobody_has_open(path: Path) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
        await journal.build_started("first", "web")
    (path.parent / "logs" / "first").mkdir(0o700, parents=True)
    assert await seen_by_nobody(path) == "first"


async def test_one_that_is_being_written(path: Path) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
        assert await seen_by_nobody(path) == "first"
        await journal.run_started("second", "vm", "t")
        assert await seen_by_nobody(path) == "first second"


async def test_one_whose_writer_was_killed(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    assert await seen_by_nobody(path) == "killed"


@pytest.mark.parametrize("begun", [False, True])
async def test_one_whose_maker_was_killed_has_no_runs(path: Path, begun: bool) -> None:
    """It was called unreadable, and whoever looked was told to be root."""
    if begun:
        with closed(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
    assert await records(path) == []
    assert await seen_by_nobody(path) == "error: the journal knows no run yet\nhint: None"


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_one_that_may_not_be_read(path: Path, what: str) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
    (path if what == "file" else path.parent).chmod(0o600 if what == "file" else 0o700)  # as gilder makes the file
    error, hint = (await seen_by_nobody(path)).splitlines()
    assert error.startswith(f"error: the journal {path} cannot be read: ")
    assert "sudo" in hint
    assert "--journal" in hint


async def test_what_was_written_just_then_is_not_taken_for_true(path: Path) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
    with subprocess.Popen([sys.executable, "-c", SLOWLY, str(path)], stdin=-1, stdout=-1, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        async with opened(path) as journal:
            await journal.run_started("second", "vm", "t")
        assert reader.communicate("\n")[0] == f"the journal {path} was written while it was read\n"


async def test_looking_writes_nothing(path: Path) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
    before = path.read_bytes()
    assert (await record(path, "first")).run.id == "first"
    assert path.read_bytes() == before
    assert await seen_by_nobody(path) == "first"


@pytest.mark.parametrize(("version", "readable"), [(1, True), (2, True), (99, False)])
async def test_one_of_another_version(path: Path, version: int, readable: bool) -> None:
    async with opened(path) as journal:
        await journal.run_started("first", "vm", "t")
    with closed(sqlite3.connect(path)) as database:
        if version < 99:
            database.execute("ALTER TABLE operation DROP COLUMN resource")
        if version == 1:
            database.execute("ALTER TABLE residue DROP COLUMN data")
        database.execute(f"PRAGMA user_version = {version}")
    if readable:
        assert [found.run.id for found in await records(path)] == ["first"]
    else:
        with pytest.raises(Refused, match="later version"):
            await records(path)


async def test_what_is_no_journal_is_not_read(path: Path) -> None:
    path.write_bytes(b"not a database, but somebody's thesis" * 100)
    with pytest.raises(JournalDamaged, match="is damaged: file is not a database"):
        await records(path)
