"""Programs are started, heard, bounded and ended here."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from tests.host.disks import do, eventually, running

from gilder.host.devices import BlockDevice
from gilder.host.hearing import LONGEST_LINE, lingering
from gilder.host.run import output, run
from gilder.model.errors import CommandFailed, CommandTimedOut, HostError
from gilder.model.events import Event, OutputLine
from gilder.runtime.redaction import MASK, Redactor, redacted


async def test_output_is_heard_line_by_line_while_the_program_runs() -> None:
    heard: list[tuple[str, str, float]] = []
    text = "echo one; sleep 0.3; echo two >&2; printf three"
    done = await run(["sh", "-c", text], on_line=lambda line, stream: heard.append((line, stream, time.monotonic())))
    assert [(line, stream) for line, stream, _ in heard] == [("one", "stdout"), ("two", "stderr"), ("three", "stdout")]
    assert heard[1][2] - heard[0][2] > 0.2
    assert done.tail == ("one", "two", "three")


async def test_ten_thousand_lines_arrive_and_only_the_last_are_kept() -> None:
    heard: list[str] = []
    done = await run(["seq", "10000"], on_line=lambda line, _: heard.append(line))
    assert heard == [str(n) for n in range(1, 10001)]
    assert done.tail[-1] == "10000"
    assert len(done.tail) == 40


async def test_a_listener_slower_than_the_program_loses_nothing() -> None:
    heard: list[str] = []

    def slow(line: str, stream: str) -> None:
        heard.append(line)
        time.sleep(0.001)

    await run(["seq", "-f", "%0200.0f", "1", "600"], on_line=slow)
    assert len(heard) == 600


async def test_bytes_that_are_not_utf8_and_split_characters_do_no_harm() -> None:
    text = r"printf 'caf\303'; sleep 0.05; printf '\251 \377\376\r\nend'"
    assert await output(["sh", "-c", text]) == "café \ufffd\ufffd\nend"


async def test_a_line_without_end_is_cut() -> None:
    heard: list[str] = []
    await run(["head", "-c", "200000", "/dev/zero"], on_line=lambda line, _: heard.append(line))
    assert sum(map(len, heard)) == 200000
    assert max(map(len, heard)) <= LONGEST_LINE


async def test_a_line_that_was_cut_and_written_over_shows_no_half_of_a_secret() -> None:
    """The second half went with what a terminal would not show, and nothing knew the first half for one."""
    shown: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, OutputLine):
            shown.append(event.text)

    sink = redacted(tell, Redactor(["hunter22-and-more"]), LONGEST_LINE)
    text = f"head -c {LONGEST_LINE - 6} /dev/zero; printf hunter22-a; sleep 0.2; printf 'nd-more\\rdone\\nand\\ron\\n'"
    await run(["sh", "-c", text], on_line=lambda line, _: sink(OutputLine(build="web", at=0, text=line)))
    assert [line.strip("\0") for line in shown] == ["", f"{MASK}\rdone", "on"]


async def test_a_failure_shows_the_command_as_one_would_paste_it_and_the_last_line() -> None:
    with pytest.raises(CommandFailed) as caught:
        await run(["sh", "-c", "echo 'no luck' >&2; exit 7"], where="in the attic")
    assert caught.value.status == 7
    assert (
        str(caught.value)
        == "sh -c 'echo '\"'\"'no luck'\"'\"' >&2; exit 7' (in the attic) ended with status 7\nno luck"
    )


async def test_other_statuses_may_be_valid() -> None:
    assert (await run(["sh", "-c", "exit 7"], valid=(0, 7))).status == 7
    assert (await run(["sh", "-c", "kill -9 $$"], check=False)).status == -9


async def test_a_missing_program_is_status_127_and_named() -> None:
    with pytest.raises(CommandFailed, match="no-such-program") as caught:
        await run(["no-such-program"])
    assert caught.value.status == 127
    assert caught.value.hint == "is no-such-program installed?"


async def test_the_environment_is_explicit_and_stdin_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "very-secret")
    assert "very-secret" not in await output(["env"])
    assert await output(["cat"]) == ""
    assert await output(["cat"], stdin=b"given\n") == "given"
    assert await output(["env"], env={"A": "1"}) == "A=1"


async def test_a_program_that_does_not_read_its_stdin_is_no_error() -> None:
    assert (await run(["true"], stdin=b"x" * 1_000_000)).status == 0


async def test_a_program_has_a_session_of_its_own() -> None:
    theirs = await output([sys.executable, "-c", "import os; print(os.getsid(0), os.getpid())"])
    sid, pid = theirs.split()
    assert sid == pid != str(os.getsid(0))


async def test_a_timeout_ends_the_program_and_says_so() -> None:
    began = time.monotonic()
    with pytest.raises(CommandTimedOut, match=r"did not end within 0.2 s; its last line: busy"):
        await run(["sh", "-c", "echo busy; sleep 87654"], timeout=0.2)
    assert time.monotonic() - began < 3
    assert running("sleep 87654") == []


@pytest.mark.parametrize("how", ["timeout", "cancelled", "left behind"])
async def test_what_is_said_of_being_ended_is_not_told(how: str) -> None:
    """A shell says `Terminated`: that is gilder's doing, and not the last line of the program."""
    heard: list[str] = []
    daemon = "(trap 'echo Terminated; exit' TERM; while :; do sleep 0.01; done)"
    text = f"echo busy; {daemon} & " + ("sleep 0.2" if how == "left behind" else "wait")
    with anyio.move_on_after(0.4 if how == "cancelled" else None), suppress(CommandTimedOut):
        timeout = 0.4 if how == "timeout" else None
        await run(["sh", "-c", text], timeout=timeout, on_line=lambda line, _: heard.append(line))
    assert heard == ["busy"]


async def test_a_program_that_ignores_term_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gilder.host.run.TERM_GRACE", 0.2)
    with pytest.raises(CommandTimedOut):
        await run(["sh", "-c", "trap '' TERM; sleep 87653 & while :; do sleep 87653; done"], timeout=0.2)
    assert running("sleep 87653") == []


async def test_a_cancelled_run_returns_when_its_processes_are_gone() -> None:
    with anyio.move_on_after(0.2) as scope:
        await run(["sh", "-c", "sleep 87652 & sleep 87652"])
    assert scope.cancelled_caught
    assert running("sleep 87652") == []


async def test_what_a_program_leaves_in_its_session_is_ended() -> None:
    began = time.monotonic()
    assert (await run(["sh", "-c", "sleep 87651 & echo done"])).tail == ("done",)
    assert time.monotonic() - began < 3
    assert running("sleep 87651") == []


async def heard_soon(heard: list[str], word: str) -> bool:
    with anyio.move_on_after(5):
        while word not in heard:
            await anyio.sleep(0.02)
    return word in heard


async def test_what_is_left_running_keeps_nobody_and_is_heard_on() -> None:
    heard: list[str] = []
    with lingering() as left:
        began = time.monotonic()
        talks = "while :; do echo tick; sleep 0.05; done & echo done"
        await run(["sh", "-c", talks], linger=left, on_line=lambda line, _: heard.append(line))
        assert time.monotonic() - began < 4
        assert "done" in heard
        before = len(heard)
        await anyio.sleep(0.3)
        assert len(heard) > before
    await anyio.sleep(0)
    before = len(heard)
    await anyio.sleep(0.2)
    assert len(heard) == before
    assert running("echo tick") == []  # its pipe is gone


async def test_what_is_left_running_is_never_stopped_by_a_full_pipe(tmp_path: Path) -> None:
    mark = tmp_path / "written"
    heard: list[str] = []
    with lingering() as left:
        big = f"(sleep 0.6; head -c 3000000 /dev/zero | tr '\\0' x; echo; touch {mark}; echo end) &"
        await run(["sh", "-c", big], linger=left, on_line=lambda line, _: heard.append(line))
        assert not mark.exists()
        gc.collect()
        assert await heard_soon(heard, "end")
        assert sum(map(len, heard)) == 3_000_003
        assert mark.exists()


@pytest.mark.parametrize(("status", "seconds"), [(3, 1.2), (0, 0.1)])
async def test_the_last_words_come_through_a_slow_filter(status: int, seconds: float) -> None:
    """As of `exec > >(filter)`, which gets them when the script has ended."""
    filtered = f"exec > >(sleep {seconds}; cat) 2>&1; echo what is wrong; exit {status}"
    done = await run(["bash", "-c", filtered], check=False)
    assert (done.status, done.tail) == (status, ("what is wrong",))


async def test_a_filter_slower_than_that_is_heard_afterwards() -> None:
    heard: list[str] = []
    with lingering() as left:
        filtered = "exec > >(sleep 1; cat) 2>&1; echo all is well"
        done = await run(["bash", "-c", filtered], linger=left, on_line=lambda line, _: heard.append(line))
        assert done.tail == ()
        assert await heard_soon(heard, "all is well")


async def test_a_listener_that_fails_ends_the_program_with_its_error() -> None:
    def fails(line: str, stream: str) -> None:
        raise OSError("the log is full")

    with anyio.fail_after(5), pytest.raises(OSError, match="the log is full"):
        await run(["sh", "-c", "echo heard; sleep 87650"], on_line=fails)
    assert running("sleep 87650") == []


async def test_no_descriptor_is_left_open() -> None:
    def open_now() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await run(["true"])
    before = open_now()
    with lingering() as left:
        for _ in range(5):
            await run(["sh", "-c", "sleep 87648 & echo started"], linger=left)
            await run(["sh", "-c", "sleep 87649 & exit"])
            with pytest.raises(CommandTimedOut):
                await run(["sleep", "87649"], timeout=0.05)
            with pytest.raises(CommandFailed):
                await run(["no-such-program"])
            with anyio.move_on_after(0.05):
                await run(["sleep", "87649"])
        assert open_now() == before + 10
    await anyio.sleep(0.01)
    assert open_now() == before
    for process in running("sleep 87648"):
        os.kill(process, signal.SIGKILL)


@pytest.mark.root
async def test_what_cannot_be_killed_is_named_and_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: BlockDevice
) -> None:
    """On a frozen filesystem, as on a dead device: who wants to write waits in the kernel, deaf to KILL."""
    monkeypatch.setattr("gilder.host.run.TERM_GRACE", 0.3)
    monkeypatch.setattr("gilder.host.run.KILL_PATIENCE", 0.3)
    do("mount", f"{disk.path}p1", tmp_path)
    try:
        do("fsfreeze", "--freeze", tmp_path)
        try:
            with anyio.fail_after(20), pytest.raises(HostError, match=r"cannot be ended.*: touch \(process \d+\)"):
                await run(["sh", "-c", f"touch {tmp_path}/x & sleep 0.2"])
        finally:
            do("fsfreeze", "--unfreeze", tmp_path)
        assert eventually(lambda: not running(f"touch {tmp_path}/x"))
    finally:
        do("umount", tmp_path)


async def test_many_at_once() -> None:
    seen: list[str] = []

    async def one(n: int) -> None:
        seen.append(await output(["echo", str(n)]))

    async with anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(one, n)
    assert sorted(map(int, seen)) == list(range(50))
