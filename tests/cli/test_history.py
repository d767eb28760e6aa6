"""What the journal tells afterwards."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gilder.cli.history import run_lines, run_table, runs, show, timeline
from gilder.cli.places import Places
from gilder.cli.record import meant, record, records
from gilder.model.errors import UserError
from gilder.model.events import WAITING_FOR, Stage
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import TimingRecord, opened
from gilder.runtime.living import ALIVE


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Path]:
    """A finished run, one that is under way, and one whose process is gone."""
    path = tmp_path / "journal.sqlite"
    async with opened(path) as journal:
        for run in ("20260101-aa", "20260102-bb", "20260102-cc"):
            await journal.run_started(run, "/vm", "t.json")
            await journal.build_started(run, "web")
        await journal.build_started("20260101-aa", "db")
        await journal.build_finished("20260101-aa", "web", "built", "", "", ["/images/web"])
        await journal.build_finished("20260101-aa", "db", "failed", Stage.MOUNT, "no\nfilesystem", [])
        first = (await journal.runs())[0]
        await journal.timed([TimingRecord(first.id, "web", Stage.MOUNT, "", first.started, 0.5, True)])
        left = await journal.intend("20260101-aa", "db", "disk", "d1", "/disks/d1", "az disk delete --ids /disks/d1")
        await journal.left(left, "it is attached")
        await journal.run_finished("20260101-aa", "failed")
    async with file_locked(ALIVE / "20260102-bb", ephemeral=True):
        yield path


def ran(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)  # type: ignore[arg-type]  # any click command


def test_runs_are_listed_latest_first(journal: Path) -> None:
    head, *rows = ran(runs, "-journal", str(journal)).stdout.splitlines()
    assert head.split() == ["RUN", "STARTED", "TOOK", "STATUS", "BUILDS"]
    assert [(row.split()[0], row.split()[4]) for row in rows] == [
        ("20260102-cc", "interrupted"),
        ("20260102-bb", "running"),
        ("20260101-aa", "failed"),
    ]
    assert rows[-1].endswith("1 built, 1 failed")
    assert len(ran(runs, "-journal", str(journal), "-number=2").stdout.splitlines()) == 3


async def test_a_clock_that_is_set_back_mixes_up_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, ahead = tmp_path / "journal.sqlite", time.time() + 86400
    async with opened(path) as journal:
        monkeypatch.setattr(time, "time", lambda: ahead)
        await journal.run_started("first", "/vm", "t.json")
        monkeypatch.undo()
        await journal.run_finished("first", "done")
        await journal.run_started("second", "/vm", "t.json")
    found = await records(path)
    assert [one.run.id for one in found] == ["second", "first"]
    assert (await record(path, "last")).run.id == "second"
    assert "-" not in list(run_table(found))[-1].split()[3], "it took no negative time"


def test_how_long_a_killed_run_took_is_not_made_up(journal: Path) -> None:
    """It was said to have taken 0.0s: nobody notes when a process is killed."""
    assert ran(runs, "--journal", str(journal)).stdout.splitlines()[1].split()[3:5] == ["?", "interrupted"]
    text = ran(show, "20260102-cc", "--journal", str(journal)).stdout
    assert "when it was killed is not known" in text
    assert "\ninterrupted web\n" in text
    assert ran(timeline, "20260102-cc", "--journal", str(journal)).stdout.startswith("run 20260102-cc, interrupted\n")


def test_a_run_is_shown_with_errors_images_and_what_it_left(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "20260101-aa").mkdir()
    (tmp_path / "20260101-aa" / "db.log").touch()
    text = ran(show, "20260101", "--journal", str(journal), "--log-dir", str(tmp_path)).stdout
    assert "failed    db after" in text
    assert ", while mounting\n          no\n          filesystem\n" in text
    assert f"          log: {tmp_path}/20260101-aa/db.log\n" in text
    assert "built     web after" in text
    assert "          /images/web\n" in text
    assert "Left behind:\n  disk d1, of db (it is attached)\n    remove it with: az disk delete --ids /disks/d1" in text


async def test_the_queue_before_its_first_stage_is_no_part_of_a_builds_time(journal: Path) -> None:
    async with opened(journal) as book:
        (build, *_) = await book.builds("20260102-bb")
        queued = TimingRecord("20260102-bb", "web", f"{WAITING_FOR}a slot on the VM", "", build.started - 90, 80, True)
        mounted = TimingRecord("20260102-bb", "web", Stage.MOUNT, "", build.started - 10, 10, True)
        await book.timed([queued, mounted])
        await book.build_finished("20260102-bb", "web", "built", "", "", [])
    (line,) = [
        one
        for one in run_lines(await record(journal, "20260102-bb"), journal.parent, Places(journal))
        if " web " in one
    ]
    assert line == "built     web after 10s"


@pytest.mark.parametrize("finished", [True, False])
async def test_no_run_takes_less_than_nothing(journal: Path, monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    """The clock was set back by an hour meanwhile, and `gilder runs` said that a run took -3600.0s."""
    async with opened(journal) as book:
        then = time.time() - 3600
        monkeypatch.setattr(time, "time", lambda: then)
        if finished:
            await book.run_finished("20260102-bb", "done")
    found = await record(journal, "20260102-bb")
    (row,) = list(run_table([found]))[1:]
    assert " 0.0s " in row


async def test_what_the_cloud_may_still_do_for_a_dead_run_is_told(journal: Path) -> None:
    async with opened(journal) as book:
        run = (await book.runs())[-1]
        await book.operation_started(run.id, "web", "/versions/v", "publishing the image version g/i/1.0.0", "token")
    lines = list(run_lines(await record(journal, "last"), journal.parent, Places(journal)))
    assert "  publishing the image version g/i/1.0.0, for web" in lines
    assert f"    follow it with: gilder recover --journal {journal} {run.id}" in lines


async def test_what_a_living_run_holds_is_named_without_what_would_take_it_away(journal: Path) -> None:
    """The commands were refused, for it still lives; or, of Azure's own, would have taken a disk from under it."""
    async with opened(journal) as book:
        for run in ("20260102-bb", "20260102-cc"):
            await book.intend(run, "web", "disk", "d", "/disks/d", f"gilder recover --cloud local {run}")
            await book.operation_started(run, "web", "/versions/v", "publishing v", "token")
    alive = list(run_lines(await record(journal, "20260102-bb"), journal.parent, Places(journal)))
    dead = list(run_lines(await record(journal, "20260102-cc"), journal.parent, Places(journal)))
    assert alive[-2:] == ["Held now:", "  disk d, of web"]
    assert dead[-2:] == ["  disk d, of web", "    remove it with: gilder recover --cloud local 20260102-cc"]
    assert "    follow it with: gilder recover --cloud local 20260102-cc" in dead, "the cloud is known by that"


async def test_an_interrupted_run_is_called_so(journal: Path) -> None:
    """Its builds were counted as running, and of an image that was under way it was only told how to delete it."""
    async with opened(journal) as book:
        await book.intend("20260102-cc", "web", "image", "web", "/images/web", "az image delete --ids /images/web")
    lines = list(run_lines(await record(journal, "last"), journal.parent, Places(journal)))
    assert "builds    1 interrupted" in lines
    assert any(line == "interrupted web" for line in lines)
    assert lines[-1] == f"  finish or remove all of it with: gilder recover --journal {journal} 20260102-cc"
    (row,) = list(run_table([await record(journal, "20260102-cc")]))[1:]
    assert row.endswith("interrupted  1 interrupted")


@pytest.mark.parametrize(("run", "told"), [("20260102-bb", "recorded yet: "), ("20260102-cc", "recorded: ")])
def test_a_run_without_stages_has_no_figures(journal: Path, run: str, told: str) -> None:
    """It had "0.0s of stages in 12s, 0 at most"."""
    head, _, *rest = ran(timeline, run, "--journal", str(journal)).stdout.splitlines()
    assert head.startswith(f"run {run}, ")
    assert rest == [f"no stage of it has been {told}that is done when a build ends"]


def test_the_timeline_of_a_run(journal: Path) -> None:
    text = ran(timeline, "20260101-aa", "--journal", str(journal), "--width", "80").stdout
    assert text.startswith("run 20260101-aa, failed, ")
    assert "critical path" in text
    assert "mounting" in text


def test_without_a_journal_there_are_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    assert ran(runs, "--journal", str(path)).stdout == "no runs yet\n"
    with pytest.raises(UserError, match="no journal"):
        ran(show, "--journal", str(path))
    assert not path.exists()


async def test_a_run_is_meant_by_its_beginning_if_that_is_clear(journal: Path) -> None:
    assert (await record(journal, "20260101")).run.id == "20260101-aa"
    assert (await record(journal, "last")).run.id == "20260102-cc"
    with pytest.raises(UserError, match="2 runs begin"):
        await record(journal, "20260102")
    with pytest.raises(UserError) as caught:
        await record(journal, "20260101-ab")
    assert caught.value.hint == 'did you mean "20260101-aa"?'
    with pytest.raises(UserError, match="no run yet"):
        meant([], "last", "gilder runs")
