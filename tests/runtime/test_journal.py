"""The journal: the same contract on disk and in memory, several processes, bad disks, kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextlib import closing as closed
from pathlib import Path

import anyio
import pytest

from gilder.model.effort import Effort
from gilder.model.errors import HostError, JournalDamaged, Refused, ReleaseFailed
from gilder.model.events import Stage
from gilder.runtime.history import efforts
from gilder.runtime.journal import Journal, TimingRecord, in_loop, opened, opened_to_read
from gilder.runtime.ledger import JournalLedger
from gilder.runtime.release import Patience, Release, releasing, undone_on_failure


@pytest.fixture(params=["sqlite", "in_loop"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    async with opened(tmp_path / "deep/journal.sqlite") if request.param == "sqlite" else in_loop() as journal:
        await journal.run_started("r1", "/subscriptions/s/vm", "t.json")
        yield journal


async def test_runs_and_builds_are_told_back(journal: Journal) -> None:
    await journal.build_started("r1", "tiny")
    await journal.build_finished("r1", "tiny", "built", "", "", ["/images/a", "/images/b"])
    await journal.run_finished("r1", "done")
    (run,) = await journal.runs()
    assert (run.id, run.status, run.template, run.pid) == ("r1", "done", "t.json", os.getpid())
    assert run.finished is not None
    (build,) = await journal.builds("r1")
    assert (build.status, build.artifacts) == ("built", ("/images/a", "/images/b"))


async def test_the_timings_of_the_last_time_that_an_image_was_built(journal: Journal) -> None:
    for run, status in (("r2", "built"), ("r3", "built"), ("r4", "failed")):
        await journal.run_started(run, "/vm", "t.json")
        await journal.build_started(run, "tiny")
        await journal.timed([TimingRecord(run, "tiny", Stage.MOUNT, "", 5.0, 2.0, True)])
        await journal.build_finished(run, "tiny", status, "", "", [])
    assert [timing.run for timing in await journal.last_timings()] == ["r3"]


@pytest.mark.parametrize(
    ("timings", "effort"),
    [
        ([("mounting", 0, 2), ("provisioning", 2, 30), ("unmounting", 32, 1)], Effort(working=33)),
        (
            [("waiting for a slot", 0, 90), ("attaching the disk", 90, 60), ("waiting for a LUN", 91, 50)],
            Effort(attaching=10),
        ),
        ([("provisioning", 0, 60), ("waiting for the person at the terminal", 10, 45)], Effort(working=15)),
        (
            [("attaching the disk", 0, 9), ("waiting for this machine's CPUs", 9, 20), ("mounting", 29, 1)],
            Effort(0, 9, 1),
        ),
        ([("publishing the image", 0, 300), ("detaching the disk", 0, 60), ("cleaning up", 300, 1)], Effort(after=301)),
        (
            [("looking up the source", 0, 1), ("creating the disk", 1, 2), ("taking the snapshot", 9, 3)],
            Effort(3, after=3),
        ),
        ([("a stage of a later version", 0, 9)], Effort()),
    ],
)
def test_what_a_build_takes_is_told_without_its_waits(timings: list[tuple[str, float, float]], effort: Effort) -> None:
    records = [TimingRecord("r", "tiny", stage, "", start, seconds, True) for stage, start, seconds in timings]
    assert efforts(records) == {"tiny": effort}


def test_a_step_that_was_tried_again_counts_once() -> None:
    failed = TimingRecord("r", "tiny", Stage.PROVISION, "", 0, 100, False)
    assert efforts([failed, TimingRecord("r", "tiny", Stage.PROVISION, "", 200, 20, True)]) == {
        "tiny": Effort(working=20)
    }


async def test_what_is_held_is_there_until_it_is_released(journal: Journal) -> None:
    disk = await journal.intend("r1", "tiny", "disk", "d", "/disks/d", "az disk delete")
    snapshot = await journal.intend("r1", "tiny", "snapshot", "s", "/snapshots/s", "az snapshot delete")
    await journal.released(disk)
    await journal.left(snapshot, "it hangs")
    (left,) = await journal.residues()
    assert (left.kind, left.handle, left.state, left.why) == ("snapshot", "/snapshots/s", "left", "it hangs")
    assert await journal.residues("another run") == []


async def test_what_is_kept_is_no_residue_but_a_product(journal: Journal) -> None:
    ledger = JournalLedger(journal, "r1", "tiny", lambda residue: None, Patience())
    image = Release("image", "i", "rm", anyio.lowlevel.checkpoint, 1, "/images/i")
    undone = Release("image version", "v", "rm", anyio.lowlevel.checkpoint, 1, "/versions/v")
    async with undone_on_failure(ledger, image):
        (held,) = await journal.residues()
    with pytest.raises(ZeroDivisionError):
        async with undone_on_failure(ledger, undone):
            raise ZeroDivisionError
    assert await journal.residues() == []
    products = (await journal.products("r1"))["tiny"]
    assert [(held.state, *(p.state for p in products))] == [("held", "kept", "released")]


async def test_operations_are_followed_until_they_end(journal: Journal) -> None:
    number = await journal.operation_started("r1", "tiny", "/versions/v", "publishing", "token")
    assert [(one.resource, one.token) for one in await journal.operations("r1")] == [("/versions/v", "token")]
    await journal.operation_finished(number)
    assert await journal.operations() == []


async def test_what_is_gone_or_finished_is_not_worked_on(journal: Journal) -> None:
    async with anyio.create_task_group() as group:
        for resource in ("/images/i", "/images/j", "/images/of another run"):
            group.start_soon(journal.operation_started, "r1", "tiny", resource, "publishing", "token")
    ledger = JournalLedger(journal, "r1", "tiny", lambda residue: None, Patience())
    async with undone_on_failure(ledger, Release("image", "i", "rm", anyio.lowlevel.checkpoint, 1, "/images/i")):
        await ledger.operation_begun("/images/i", "publishing", "again")
    async with releasing(ledger, Release("image", "j", "rm", anyio.lowlevel.checkpoint, 1, "/images/j")):
        assert len(await journal.operations("r1")) == 2
    assert [one.resource for one in await journal.operations("r1")] == ["/images/of another run"]


async def test_timings_come_back_in_order(journal: Journal) -> None:
    later = TimingRecord("r1", "tiny", "mounting", "", 20.0, 1.5, True)
    earlier = TimingRecord("r1", "tiny", "attaching", "LUN 0", 10.0, 8.0, False)
    await journal.timed([later, earlier])
    assert await journal.timings("r1") == [earlier, later]


async def test_a_ledger_writes_before_the_act_and_after_the_release(journal: Journal) -> None:
    ledger = JournalLedger(journal, "r1", "tiny", lambda residue: None, Patience())

    async def undo() -> None:
        assert [r.handle for r in await journal.residues()] == ["/disks/d"], "released only when it is gone"

    async with releasing(ledger, Release("disk", "d", "az disk delete", undo, 5.0, "/disks/d")):
        assert [r.handle for r in await journal.residues()] == ["/disks/d"]
    assert await journal.residues() == []


async def test_things_of_this_process_are_not_written(journal: Journal) -> None:
    ledger = JournalLedger(journal, "r1", "tiny", lambda residue: None, Patience())
    await ledger.intend("mount", "/mnt", "umount /mnt")
    assert await journal.residues() == []
    assert len(ledger.held) == 1


async def test_two_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    script = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from gilder.runtime.journal import opened\n"
        "async def main():\n"
        "    async with opened(Path(sys.argv[1])) as journal:\n"
        "        await journal.run_started(sys.argv[2], 'vm', 't')\n"
        "        for n in range(40):\n"
        "            await journal.released(await journal.intend(sys.argv[2], 'b', 'disk', str(n), str(n), 'rm'))\n"
        "anyio.run(main)\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("a", "b", "c")]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    async with opened(path) as journal:
        assert {run.id for run in await journal.runs()} == {"a", "b", "c"}
        assert await journal.residues() == []


async def test_a_kill_in_mid_write_leaves_it_readable_and_true(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    script = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from gilder.runtime.journal import opened\n"
        "async def main():\n"
        "    async with opened(Path(sys.argv[1])) as journal:\n"
        "        await journal.run_started('r', 'vm', 't')\n"
        "        for n in range(100000):\n"
        "            await journal.intend('r', 'b', 'disk', str(n), str(n), 'rm')\n"
        "            print(n, flush=True)\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        told = [next(other.stdout) for _ in range(50)]
        other.send_signal(signal.SIGKILL)
        told.extend(other.stdout.read().splitlines())
    async with opened(path) as journal:
        written = [record.name for record in await journal.residues()]
    assert written[: len(told)] == [line.strip() for line in told], "what was told to be written is there"
    assert len(written) <= len(told) + 1


async def test_a_command_made_of_the_resources_id_stays_whole(tmp_path: Path) -> None:
    """A secret such as `prod` was hidden in it, and then nobody could use it; the id stands beside it as it is."""
    async with opened(tmp_path / "journal.sqlite", lambda text: text.replace("prod", "***")) as journal:
        await journal.intend("r", "b", "disk", "d", "/groups/prod/d", "az disk delete --ids /groups/prod/d")
        await journal.intend("r", "b", "disk", "d", "/groups/prod/d", "something else with prod")
        assert [record.remedy for record in await journal.residues()] == [
            "az disk delete --ids /groups/prod/d",
            "something else with ***",
        ]


def modes(path: Path) -> set[str]:
    """What others may do with the files of a journal."""
    return {f"{file.stat().st_mode & 0o777:o}" for file in path.parent.glob(f"{path.name}*")}


async def test_nobody_else_reads_what_recovery_needs(tmp_path: Path) -> None:
    """Secrets in the tags of an image stood in a file that everybody could read."""
    path = tmp_path / "journal.sqlite"
    before = os.umask(0)
    try:
        async with opened(path, lambda text: text.replace("s3cr3t", "***")) as journal:
            await journal.intend("r", "b", "image", "i", "/images/i", "az …", '{"tags":{"key":"s3cr3t"}}')
            assert len(list(tmp_path.iterdir())) == 3, "with -wal and -shm"
            assert modes(path) == {"600"}
    finally:
        os.umask(before)
    assert modes(path) == {"600"}


async def test_others_are_shut_out_of_a_journal_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with opened(path):
        pass
    for mode, then in ((0o644, "640"), (0o640, "640"), (0o600, "600")):
        path.chmod(mode)
        async with opened(path) as journal, opened(path) as again:
            await journal.run_started(f"r{mode}", "vm", "t")
            assert modes(path) == {then}
            assert len(await again.runs()) == len(await journal.runs())


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be opened") as caught:
        async with opened(tmp_path / "file/journal.sqlite"):
            pass
    assert "--journal" in str(caught.value.hint)
    assert "writable" in str(caught.value.hint)


async def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database, but somebody's thesis" * 100)
    with pytest.raises(JournalDamaged, match="is damaged: file is not a database"):
        async with opened(path):
            pass
    assert path.read_bytes().startswith(b"not a database")


async def _damage(path: Path, how: str) -> None:
    async with opened(path) as journal:
        for number in range(200):
            await journal.intend("r", "tiny", "disk", f"d{number}", "/disks/d", "az disk delete " * 9)
        await journal.build_started("r", "tiny")
        await journal.build_finished("r", "tiny", "built", "", "", ["/images/a"])
    whole = path.read_bytes()
    match how:
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "flipped":
            path.write_bytes(whole.replace(b"az disk", b"\xff\xfe disk"))
        case "flipped in a list":
            path.write_bytes(whole.replace(b'["/images/a"]', b'{"/images/a"]'))


@pytest.mark.parametrize("how", ["truncated", "flipped", "flipped in a list"])
@pytest.mark.parametrize("opening", [opened, opened_to_read])
async def test_damage_is_not_taken_for_a_lack_of_rights_or_space(
    tmp_path: Path, how: str, opening: Callable[[Path], AbstractAsyncContextManager[Journal]]
) -> None:
    """People were told to free space, or to be root."""
    path = tmp_path / "journal.sqlite"
    await _damage(path, how)

    async def read() -> None:
        async with opening(path) as journal:
            await journal.residues()
            await journal.builds("r")

    with pytest.raises(JournalDamaged, match=f"the journal {path} is damaged: ") as caught:
        await read()
    hint = caught.value.hint or ""
    assert "move it away" in hint
    assert "gilder gc" in hint
    assert "space" not in hint


async def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with opened(path):
        pass
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Refused, match="later version"):
        async with opened(path):
            pass


async def test_a_new_journal_is_waited_for_while_another_process_makes_it(tmp_path: Path) -> None:
    """SQLite itself does not wait where it changes to WAL: whoever came second was refused."""
    path = tmp_path / "journal.sqlite"
    with closed(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:

            async def let_go() -> None:
                await anyio.sleep(0.3)
                other.execute("COMMIT")

            group.start_soon(let_go)
            async with opened(path) as journal:
                assert await journal.runs() == []


@pytest.mark.root
async def test_a_full_disk_is_a_clear_error_and_what_was_written_stays(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    try:
        async with opened(tmp_path / "journal.sqlite") as journal:
            await journal.run_started("r", "vm", "t")

            async def fill() -> None:
                for n in range(10_000):
                    await journal.intend("r", "b", "disk", str(n), "x" * 2000, "rm")

            with pytest.raises(HostError, match="cannot be written"):
                await fill()
            assert len(await journal.runs()) == 1
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_journal_of_an_earlier_version_is_carried_on(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    async with opened(path) as journal:
        await journal.run_started("r1", "vm", "t.json")
    with closed(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE operation DROP COLUMN resource")
        if version == 1:
            database.execute("ALTER TABLE residue DROP COLUMN data")
        database.execute(f"PRAGMA user_version = {version}")
    async with opened(path) as journal:
        number = await journal.intend("r1", "tiny", "disk", "d", "/disks/d", "rm", "data")
        await journal.operation_started("r1", "tiny", "/disks/d", "creating", "token")
        await journal.released(number)
        assert await journal.operations() == []
        assert [run.id for run in await journal.runs()] == ["r1"]


async def test_what_the_journal_refuses_is_not_held(tmp_path: Path) -> None:
    """It was never made; a third Ctrl-C named it all the same."""

    async def never() -> None:
        raise AssertionError("it was never made")

    async with opened(tmp_path / "journal.sqlite") as journal:
        ledger = JournalLedger(journal, "no such run", "tiny", lambda residue: None, Patience())
        with closed(sqlite3.connect(tmp_path / "journal.sqlite")) as database:
            database.execute("DROP TABLE residue")
        with pytest.raises(HostError, match="the journal cannot be written"):
            async with releasing(ledger, Release("disk", "d", "az disk delete", never, 5.0, "/disks/d")):
                await never()
        assert (ledger.held, ledger.residues) == ((), ())


async def test_a_run_may_have_one_remedy_for_all_that_is_in_the_cloud(journal: Journal) -> None:
    """On the embedded cloud, which Azure's own commands do not reach."""
    ledger = JournalLedger(journal, "r1", "tiny", lambda residue: None, Patience(), remedy="gilder recover r1")

    async def stuck() -> None:
        raise HostError("it is stuck")

    with pytest.raises(ReleaseFailed) as failed:
        async with (
            releasing(ledger, Release("disk", "d", "az disk delete", stuck, 5.0, "/disks/d", must=True)),
            releasing(ledger, Release("mount", "m", "umount m", stuck, 5.0)),
        ):
            pass
    assert [residue.remedy for residue in ledger.residues] == ["umount m", "gilder recover r1"]
    assert failed.value.hint == "remove it with: gilder recover r1"
    assert [residue.remedy for residue in await journal.residues()] == ["gilder recover r1"]
