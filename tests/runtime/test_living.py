"""Who lives, and who is dead: by locks, seen by whoever sees the journal."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing as closed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from gilder.cli.earlier import crash_line, lives_here
from gilder.cli.gc import known_here
from gilder.cli.places import Places, is_there
from gilder.cli.recover import last_word
from gilder.engine.checkup import journal_checked
from gilder.model.errors import HostError, Refused
from gilder.model.findings import Verdict
from gilder.model.ids import ArmId
from gilder.runtime.filelock import file_locked, in_line
from gilder.runtime.journal import RunRecord, opened
from gilder.runtime.living import beside, crashed_runs, is_alive, living, works

COMPUTE = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/group/providers/Microsoft.Compute"
HERE = ArmId.parse(f"{COMPUTE}/virtualMachines/here")
ELSEWHERE = ArmId.parse(f"{COMPUTE}/virtualMachines/elsewhere")


async def noted(journal: Path, run: str, vm: ArmId = HERE) -> None:
    """Have a run in a journal that began and never ended."""
    async with opened(journal) as book:
        await book.run_started(run, str(vm), "")


async def crashed(journal: Path, alive: Path) -> list[str]:
    async with opened(journal) as book:
        return [run.id for run in await crashed_runs(book, alive)]


async def test_a_run_lives_while_it_holds_its_locks(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    await noted(journal, "run")
    async with living("run", journal):
        assert await crashed(journal, tmp_path / "alive") == []
    assert await crashed(journal, tmp_path / "alive") == ["run"]
    assert list(beside(journal).iterdir()) == []


async def test_a_run_is_known_to_work_by_the_name_in_a_tag(tmp_path: Path) -> None:
    async with file_locked(tmp_path / "alive"):
        assert works("alive", tmp_path)
    assert not works("alive", tmp_path)
    assert not works("x" * 256, tmp_path)
    assert not works("../alive", tmp_path)


async def test_who_shares_the_journal_and_not_run_sees_that_it_lives(tmp_path: Path) -> None:
    """A container with its own /run, which may hold locks of other runs, called a live run dead."""
    journal, own_run = tmp_path / "journal.sqlite", tmp_path / "run of the container"
    await noted(journal, "run")
    async with living("run", journal), file_locked(own_run / "another"):
        assert await crashed(journal, own_run) == []


async def test_one_lock_of_the_two_is_enough(tmp_path: Path) -> None:
    journal, alive = tmp_path / "journal.sqlite", tmp_path / "alive"
    await noted(journal, "run")
    async with opened(journal) as book:
        (run,) = await book.runs()
    async with file_locked(alive / "run"):
        assert is_alive(run, journal, alive)
        assert not is_alive(replace(run, boot="another"), journal, alive)  # the machine was restarted since
    assert not is_alive(run, journal, alive)


async def test_the_doctor_names_what_crashed_and_the_whole_command(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    await noted(journal, "run")
    async with opened(journal) as book:
        found = await journal_checked(book, Places(journal).command("recover"))
    assert (found.verdict, found.text) == (Verdict.BAD, "ended without giving everything back: run")
    assert found.remedy == f"finish or remove it with: gilder recover --journal {journal}"


async def test_garbage_collection_leaves_to_recovery_only_what_that_can_recover(tmp_path: Path) -> None:
    """With the journal of another VM, on a copied disk, neither would ever have removed what a dead run of it left."""
    journal, alive = tmp_path / "journal.sqlite", tmp_path / "alive"
    await noted(journal, "mine")
    await noted(journal, "theirs", ELSEWHERE)
    why = await lives_here(Places(journal), HERE, alive)
    assert why("mine").startswith("run mine is dead")
    assert f"gilder recover --journal {journal} mine" in why("mine")
    assert why("theirs") == ""
    async with file_locked(alive / "another"):
        assert why("another") == "run another lives on this machine"


async def test_garbage_collection_goes_on_without_a_journal_that_is_damaged(tmp_path: Path) -> None:
    """It is for lost journals, and refused to work with a damaged one. What lives is left alone all the same."""
    journal = tmp_path / "journal.sqlite"
    journal.write_bytes(b"not a database, but somebody's thesis" * 100)
    told: list[str] = []
    why = await known_here(Places(journal), HERE, told.append)
    assert len(told) == 1
    assert f"the journal {journal} is damaged" in told[0]
    assert why("dead") == ""
    async with file_locked(beside(journal) / "alive"):
        assert why("alive") == "run alive lives on this machine"


READ_ONLY = """
import os, subprocess, sys
from pathlib import Path
import anyio
from gilder.cli.gc import known_here
from gilder.cli.places import Places
from gilder.model.ids import ArmId

folder, vm = sys.argv[1:]
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
why = anyio.run(known_here, Places(Path(folder) / "journal.sqlite"), ArmId.parse(vm), print)
print(why("dead"))
"""


@pytest.mark.root
@pytest.mark.parametrize("killed", [False, True])
async def test_garbage_collection_reads_a_journal_that_cannot_be_written(tmp_path: Path, killed: bool) -> None:
    """A run that was killed has left the files of its locks."""
    journal = tmp_path / "journal.sqlite"
    await noted(journal, "dead")
    beside(journal).mkdir(exist_ok=True)
    if killed:
        (beside(journal) / "dead").touch()
    command = ["unshare", "-m", sys.executable, "-c", READ_ONLY, str(tmp_path), str(HERE)]
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert f"gilder recover --journal {journal} dead" in done.stdout.decode()
    assert "damaged" not in done.stdout.decode()


async def test_a_run_that_ends_while_one_looks_has_not_crashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was recovered, which made "recovered" of how it had ended."""
    journal = tmp_path / "journal.sqlite"
    await noted(journal, "run")

    def ends(run: RunRecord, path: Path, alive: Path) -> bool:
        with closed(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE run SET status = 'done'")
        return False

    monkeypatch.setattr("gilder.runtime.living.is_alive", ends)
    assert await crashed(journal, tmp_path / "alive") == []


async def test_who_waits_for_another_recovery_says_so(tmp_path: Path) -> None:
    """After a restart of the machine a run does not count as living while it is recovered: a second recovery was silent."""
    told: list[str] = []
    async with living("run", tmp_path / "journal.sqlite"):
        with anyio.move_on_after(0.1):
            async with living("run", tmp_path / "journal.sqlite", lambda: told.append("busy")):
                pytest.fail("two recover one run")
    assert told == ["busy"]


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Be nobody while inside, if one is root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_what_only_root_can_see_may_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").touch(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the folders above are root's alone
    why = await lives_here(Places(tmp_path / "none.sqlite"), HERE, Path())
    with an_ordinary_user():
        assert why("run") == "whether run run lives on this machine only root can see"
        assert why("gone") == ""


async def test_who_may_not_look_whether_runs_live_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that may write the journal met a traceback in `gilder recover`, for the locks are root's alone."""
    journal = tmp_path / "journal.sqlite"
    await noted(journal, "run")
    (tmp_path / "run").touch(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    async with opened(journal) as book:
        with an_ordinary_user(), pytest.raises(Refused, match="only root can see") as caught:
            await crashed_runs(book, Path())
    assert "sudo" in (caught.value.hint or "")


async def test_a_tag_that_is_no_run_is_none_that_lives(tmp_path: Path) -> None:
    """One with the 256 characters that Azure allows ended every collection with a traceback."""
    why = await lives_here(Places(tmp_path / "none.sqlite"), HERE, tmp_path)
    assert [why(run) for run in ("x" * 255, "x" * 256, "../run", "")] == [""] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_an_ordinary_user_is_told_what_only_root_may_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting garbage and recovering without being root ended with tracebacks."""
    (tmp_path / "roots").mkdir(mode=0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with an_ordinary_user():
        with pytest.raises(HostError, match=r"the lock roots/vm.next cannot be taken: Permission denied"):
            await in_line(Path("roots/vm.lock")).__aenter__()
        with pytest.raises(Refused, match="cannot be"):
            await lives_here(Places(Path("closed/journal.sqlite")), HERE)
        assert is_there(Path("closed/journal.sqlite"))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (0, "run r was killed, and left nothing; close its record with: gilder recover r"),
        (1, "run r ended without giving back 1 thing; recover it with: gilder recover r"),
        (2, "run r ended without giving back 2 things; recover it with: gilder recover r"),
    ],
)
def test_what_a_killed_run_holds_is_told(held: int, told: str) -> None:
    assert crash_line("r", held, "gilder recover r") == told


@pytest.mark.parametrize(
    ("recovered", "clean", "told"),
    [
        (1, True, "nothing is left"),
        (0, True, "nothing to recover on this VM"),  # all of them were on another one, whose disk was copied
        (1, False, "something is left: see above"),
    ],
)
def test_the_last_word_of_a_recovery_is_true(recovered: int, clean: bool, told: str) -> None:
    assert last_word(recovered, clean=clean) == told
