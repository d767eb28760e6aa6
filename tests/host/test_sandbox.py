"""A build's namespaces: what is inside stays inside, and goes when they go."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

import anyio
import pytest
from tests.host.disks import do, eventually, running

from gilder.host.devices import BlockDevice, is_free
from gilder.host.run import output
from gilder.host.sandbox import VOLUMES, FileRefused, Sandbox, sandbox
from gilder.model.errors import CommandFailed, HostError
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


class Wrapper:
    """A command_wrapper."""

    text = "WRAPPED=yes {{.Command}}"

    def render(self, data: Mapping[str, str]) -> str:
        return f"WRAPPED=yes {data['Command']}"


async def test_programs_inside_have_their_own_processes_and_mounts(box: Sandbox) -> None:
    assert int(await box.output(["sh", "-c", "echo $$"])) < 100
    assert "keeper.py" in await box.output(["cat", "/proc/1/cmdline"])
    await box.run(["mount", "-t", "tmpfs", "inside", "/mnt"])
    assert "inside" in await box.output(["cat", "/proc/self/mountinfo"])
    assert "inside /mnt" not in Path("/proc/mounts").read_text()
    assert await box.output(["hostname"]) == await output(["hostname"])


async def test_statuses_signals_output_and_environment_pass_through(box: Sandbox) -> None:
    assert (await box.run(["sh", "-c", "exit 9"], check=False)).status == 9
    assert (await box.run(["sh", "-c", "kill -SEGV $$"], check=False)).status == -signal.SIGSEGV
    assert await box.output(["cat"]) == ""
    with pytest.raises(CommandFailed, match=r"^sh -c 'exit 3' \(pre_mount_commands\) ended with status 3"):
        await box.run(["sh", "-c", "exit 3"], where="pre_mount_commands")


async def test_entering_is_quick(box: Sandbox) -> None:
    began = time.perf_counter()
    for _ in range(10):
        await box.ask("processes")
    assert time.perf_counter() - began < 0.5


async def test_daemons_are_ended_however_they_hide(box: Sandbox) -> None:
    stubborn = "setsid sh -c 'trap \"\" TERM; sleep 86002; sleep 86003' &"
    hidden = f"setsid sleep 86001 & {stubborn} unshare --fork --pid sleep 86004 & sleep 0.2"
    await box.run(["sh", "-c", hidden], linger=True)
    assert "sleep" in await box.processes()
    ended = await box.end_processes(grace=0.2)
    assert {"sh", "sleep", "unshare"} <= set(ended)
    assert await box.processes() == []
    assert [pid for n in range(86001, 86005) for pid in running(f"sleep {n}")] == []


async def test_what_daemons_say_is_heard_until_they_have_ended(box: Sandbox) -> None:
    heard: list[str] = []
    daemon = "trap 'echo last words; exit' TERM; sleep 0.5; echo ready; while :; do sleep 0.01; done"
    await box.run(
        ["sh", "-c", f"setsid sh -c {shlex.quote(daemon)} &"], linger=True, on_line=lambda line, _: heard.append(line)
    )
    assert heard == []
    await anyio.sleep(0.6)
    assert heard == ["ready"]
    await box.end_processes()
    assert "last words" in heard


async def test_a_cancelled_program_inside_is_gone(box: Sandbox) -> None:
    with anyio.move_on_after(0.3):
        await box.run(["sh", "-c", "sleep 86005 & sleep 86005"])
    assert running("sleep 86005") == []


async def test_no_program_is_orphaned_however_early_it_is_cancelled(box: Sandbox) -> None:
    """An orphan goes to the init of the machine, which may take half a minute to fetch it: so long the sandbox cannot end."""
    random = Random(1)
    space = Path(f"/proc/{box.pid}/ns/pid").readlink()
    for _ in range(120):
        with anyio.move_on_after(random.uniform(0.001, 0.012)):
            await box.run(["mount", "-t", "tmpfs", "none", "/mnt"], check=False)
        assert [name for name, parent in _inside(space) if parent == 1] == []


def _inside(space: Path) -> Iterator[tuple[str, int]]:
    """The processes of a PID namespace, zombies too: their names, and their parents as this machine numbers them."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "ns/pid").readlink() == space:
                name, _, rest = (process / "stat").read_text().rpartition(")")
                yield name, int(rest.split()[1])


async def test_closing_takes_processes_and_mounts_along(ledger: MemoryLedger) -> None:
    async with sandbox("closing", ledger) as box:
        await box.run(["sh", "-c", "setsid sleep 86006 & sleep 0.1"], linger=True)
        assert len(running("sleep 86006")) == 1
    assert running("sleep 86006") == []
    assert running("keeper.py") == [] or not Path(f"/proc/{box.pid}").exists()
    with pytest.raises(HostError, match="the sandbox of closing is gone"):
        await box.run(["true"])


async def test_a_cancelled_question_does_not_confuse_the_next(box: Sandbox) -> None:
    await box.run(
        ["sh", "-c", "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 86007; sleep 86007' & sleep 0.1"], linger=True
    )
    with anyio.move_on_after(0.05) as scope:
        await box.end_processes(grace=0.3)
    assert scope.cancelled_caught
    assert await box.ask("processes") == []


async def test_mistakes_in_questions_are_told_and_survived(box: Sandbox) -> None:
    with pytest.raises(FileRefused, match="No such file"):
        await box.ask("read", root="/no/such/root", path="/etc/passwd")
    with pytest.raises(FileRefused, match="TypeError"):
        await box.ask("read", wrong="word")
    assert await box.ask("processes") == []


async def test_a_killed_keeper_is_reported(ledger: MemoryLedger) -> None:
    async with sandbox("killed", ledger) as box:
        os.kill(box.pid, signal.SIGKILL)
        with pytest.raises(HostError, match="the sandbox of killed is gone"):
            await box.ask("processes")


async def test_the_remedy_ends_this_sandbox_and_no_other(ledger: MemoryLedger) -> None:
    async with (
        sandbox("debian-12", ledger) as other,
        sandbox("debian-1", ledger) as twin,
        sandbox("debian-1", ledger) as box,
    ):
        (remedy,) = [entry.remedy for entry in ledger.held[-1:]]
        do("sh", "-c", remedy)
        assert eventually(lambda: not Path(f"/proc/{box.pid}").exists())
        assert await other.processes() == await twin.processes() == []


async def test_a_command_wrapper_wraps_commands_and_shell_texts(ledger: MemoryLedger) -> None:
    async with sandbox("wrapped", ledger, wrapper=Wrapper()) as box:
        assert (
            await box.output(box.wrapped(["sh", "-c", 'echo "$WRAPPED" "$1"', "sh", "it's; $HOME"]))
            == "yes it's; $HOME"
        )
        assert await box.output(box.shell("env | grep -c WRAPPED")) == "1"


async def test_the_hint_leads_a_person_inside(box: Sandbox) -> None:
    assert do("sh", "-c", f"{box.enter_hint} -c 'echo $$; readlink /proc/1/ns/mnt'").split()[1] == str(
        Path(f"/proc/{box.pid}/ns/mnt").readlink()
    )


async def test_what_the_host_mounts_and_unmounts_does_so_inside(
    disk: BlockDevice, tmp_path: Path, ledger: MemoryLedger
) -> None:
    """A private copy of the host's mounts would pin a disk that the host wants to let go."""
    at = tmp_path / "at"
    do("mount", "-t", "tmpfs", "host", tmp_path)
    try:
        do("mount", "--make-shared", tmp_path)  # as systemd has the whole tree
        at.mkdir()
        async with sandbox("early", ledger) as early:
            do("mount", f"{disk.path}p1", at)
            async with sandbox("later", ledger) as later:
                assert early.mount_points(at) == later.mount_points(at) == [at]
                do("umount", at)
                assert later.mount_points(at) == early.mount_points(at) == []
                assert is_free(disk)
                # and not the other way round
                await early.run(["mount", f"{disk.path}p1", str(at)])
                assert list(at.iterdir()) == []
                assert later.mount_points(at) == []
    finally:
        do("umount", "-R", tmp_path)


async def test_a_removed_mount_point_of_the_same_name_outside_does_no_harm(box: Sandbox) -> None:
    at = VOLUMES / "sdzz"
    await box.ask("make_directory", path=str(at))
    await box.run(["mount", "-t", "tmpfs", "kept", str(at)])
    assert not at.exists()
    assert box.mount_points(at) == [at]


def test_kill_9_of_the_program_leaves_no_process_and_no_mount(disk: BlockDevice) -> None:
    program = textwrap.dedent(f"""
        import anyio, pathlib
        from gilder.host.mounts import mounted, VOLUMES
        from gilder.host.sandbox import sandbox
        from gilder.runtime.release import MemoryLedger

        async def main():
            ledger = MemoryLedger()
            async with sandbox("doomed", ledger) as box:
                async with mounted(box, "{disk.path}p1", VOLUMES / "doomed", ledger=ledger) as root:
                    await box.run(["sh", "-c", f"cd {{root}}; setsid sleep 86008 & sleep 0.1"], linger=True)
                    print(box.pid, flush=True)
                    await box.run(["sleep", "86009"])
        anyio.run(main)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        keeper = int(process.stdout.readline())
        assert not is_free(disk)
        process.kill()
    assert eventually(lambda: is_free(disk))
    assert eventually(lambda: not running("sleep 86008") and not running("sleep 86009"))
    assert eventually(lambda: not Path(f"/proc/{keeper}").exists() or "Z" in Path(f"/proc/{keeper}/stat").read_text())


async def test_a_sandbox_that_cannot_be_made_says_why(ledger: MemoryLedger, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"no sandbox for impossible: .*Not a directory"):
        async with sandbox("impossible", ledger, volumes=tmp_path / "file" / "volumes"):
            raise AssertionError("not reached")
