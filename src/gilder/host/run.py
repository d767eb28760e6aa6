"""Starting programs: the only place that does.

Every program gets a session of its own (so that a Ctrl-C on the terminal is gilder's business alone and one signal
reaches all it started), no terminal, no inherited environment and no shell. A run returns when its processes are
gone, cancelled or not.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process

from gilder.host.hearing import Hearing, Lingering, OnLine
from gilder.model.errors import CommandFailed, CommandTimedOut, HostError

TAIL_LINES = 40
TERM_GRACE = 5.0
"""Seconds between TERM and KILL."""
KILL_PATIENCE = 30.0
"""Seconds after KILL. What is still there then waits in the kernel, for a device or a network; nobody can end it."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNTIL_STOPPED = 250
"""Looks, 2 ms apart, for a process that was told to stop."""

_LAST_WORDS = (0.3, 2.0)
"""Seconds without a word after which the output of an ended program counts as complete, and how long that is waited for."""
_LAST_WORDS_OF_A_FAILURE = (3.0, 10.0)
"""Longer, for its error message may still be on its way through a filter (`exec > >(filter)`)."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: its status (negative: the signal) and its last lines."""

    status: int
    tail: tuple[str, ...]


def tool_environment() -> dict[str, str]:
    """What gilder's own tools are given: where programs are, and messages in English."""
    return {"PATH": os.environ.get("PATH") or _PATH, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/root")}


async def run(
    argv: Sequence[str],
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
    on_line: OnLine | None = None,
    check: bool = True,
    valid: Sequence[int] = (0,),
    timeout: float | None = None,
    where: str = "",
    linger: Lingering | None = None,
) -> Completed:
    """Run a program to its end.

    `prefix` (such as an `nsenter` line) comes before `argv` but not into messages. `env` is the whole environment (None:
    `tool_environment`). `timeout` is in seconds. What the program left running in its session is ended too, unless there
    is a `linger`: then it keeps running, and `on_line` hears what it prints until that is closed.

    Raises CommandFailed when `check` and the status is not among `valid`, or when the program cannot be started
    (status 127), CommandTimedOut after `timeout`, and HostError when a process of it cannot be ended.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)

    def heard(text: str, stream: str) -> None:
        tail.append(text)
        if on_line is not None:
            on_line(text, stream)

    hearing = Hearing(heard)
    process = await start(
        [*prefix, *argv], argv, env=env, cwd=cwd, talks=stdin is not None, where=where, hearing=hearing
    )
    try:
        with hearing.checked():
            timed_out = await _talk(process, stdin, hearing, timeout)
    except BaseException as error:
        hearing.mute()
        if stuck := await end(process, entered=bool(prefix)):
            error.add_note(f"these cannot be ended, they wait in the kernel: {', '.join(stuck)}")
        hearing.close()
        raise
    if linger is not None and not timed_out:
        linger.keep(hearing)
        await process.aclose()
    else:
        hearing.mute()
        stuck = await end(process, entered=bool(prefix))
        hearing.close()
        if stuck:
            raise HostError(
                f"{argv[0]} left processes that cannot be ended, they wait in the kernel: {', '.join(stuck)}"
            )
    if timed_out:
        raise CommandTimedOut(argv, timeout or 0.0, tuple(tail), where=where)
    status = process.returncode
    assert status is not None, "it has ended"
    if check and status not in valid:
        raise CommandFailed(argv, status, tuple(tail), where=where)
    return Completed(status, tuple(tail))


async def output(
    argv: Sequence[str],
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
    valid: Sequence[int] = (0,),
    timeout: float | None = None,
    where: str = "",
) -> str:
    """What a program prints to stdout, lines joined by newlines; raises as `run` does."""
    lines: list[str] = []

    def keep(text: str, stream: str) -> None:
        if stream == "stdout":
            lines.append(text)

    await run(
        argv, prefix=prefix, env=env, cwd=cwd, stdin=stdin, on_line=keep, valid=valid, timeout=timeout, where=where
    )
    return "\n".join(lines)


async def start(
    line: Sequence[str],
    shown: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    talks: bool = False,
    where: str = "",
    hearing: Hearing | None = None,
) -> Process:
    """Start a program in a session of its own and return at once; whoever calls this must `end` it.

    `shown` is what messages say of it. `talks` gives it a pipe as stdin. What it prints goes to `hearing`, closed already
    if this raises, or is the caller's to read. Raises CommandFailed (status 127) if it cannot be started.
    """
    process: Process | None = None
    ends: tuple[int, ...] = ()
    # Shielded: a cancellation while the event loop is making the process would lose what it has started.
    with anyio.CancelScope(shield=True):
        try:
            stdout, stderr = ends = await hearing.open() if hearing else (subprocess.PIPE, subprocess.PIPE)
            process = await anyio.open_process(
                line,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=tool_environment() if env is None else env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            hint = f"is {line[0]} installed?" if isinstance(error, FileNotFoundError) else None
            raise CommandFailed(shown, 127, (str(error),), where=where, hint=hint) from error
        finally:
            if hearing:
                for each in ends:
                    os.close(each)
                if process is None:
                    hearing.close()
    assert process is not None, "the shield lets no cancellation through"
    return process


async def _talk(process: Process, stdin: bytes | None, hearing: Hearing, timeout: float | None) -> bool:
    """Feed and hear a program until it has ended and, so far as one can know, has said everything; True after a timeout."""
    with anyio.move_on_after(timeout) as limit:
        async with anyio.create_task_group() as group:
            if stdin is not None:
                group.start_soon(_feed, process, stdin)
            await process.wait()
            group.cancel_scope.cancel()
    if not limit.cancelled_caught:
        await hearing.last_words(*(_LAST_WORDS if process.returncode == 0 else _LAST_WORDS_OF_A_FAILURE))
    return limit.cancelled_caught


async def _feed(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    # A program may end, or close its stdin, without reading everything; its status tells whether that was an error.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
        await process.stdin.send(data)
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
        await process.stdin.aclose()


async def end(process: Process, grace: float | None = None, *, entered: bool = False) -> list[str]:
    """End a program and its process group: TERM, KILL after `grace` seconds (None: TERM_GRACE); returns when all are gone.

    Those that are not gone KILL_PATIENCE seconds after the KILL are given up, and returned by name: a process that waits
    in the kernel would else keep gilder for ever, as this wait is shielded.

    `entered` says that the group's leader only waits for a program that it has started in another PID namespace. It is
    spared while it has one, or may be about to have one: orphaned, that program would go to the init of this machine, which
    may take seconds to fetch it, and its namespace cannot end before.
    """
    leader = process.pid
    with anyio.CancelScope(shield=True):
        steps = (signal.SIGTERM, TERM_GRACE if grace is None else grace), (signal.SIGKILL, KILL_PATIENCE)
        for number, patience in steps:
            deadline = anyio.current_time() + patience
            pause = 0.002
            signalled: set[int] = set()
            while (members := _members(leader)) and anyio.current_time() < deadline:
                if entered and members == {leader} and await _held(leader):
                    _send(leader, signal.SIGKILL)  # stopped, it would not hear anything else
                    break
                targets = members - {leader} if entered else members
                for member in targets - signalled:
                    _send(member, number)
                signalled |= targets
                await anyio.sleep(pause)
                pause = min(pause * 2, 0.05)
        stuck = _members(leader)
        if leader not in stuck:  # else this would wait for it
            await process.aclose()
    return [f"{_name(member)} (process {member})" for member in sorted(stuck)]


async def _held(leader: int) -> bool:
    """Stop a leader that was seen alone, and look again; True once it cannot start a program any more and has started none.

    Between a look and a signal it may have, and its program would be orphaned.
    """
    _send(leader, signal.SIGSTOP)
    for _ in range(_UNTIL_STOPPED):
        if _state(leader) in ("T", ""):
            break
        await anyio.sleep(0.002)
    else:
        _send(leader, signal.SIGCONT)
        return False
    if _members(leader) <= {leader}:
        return True
    _send(leader, signal.SIGCONT)
    return False


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _state(process: int) -> str:
    """The state of a process as one letter (proc(5)); "" when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(errors="replace").strip()
    except OSError:
        return "?"


def _members(group: int) -> set[int]:
    """The processes of a group that still run. Zombies do not count, for who inherits an orphan may take its time to fetch
    what is left of it; but those do that the leader itself is about to fetch. The group cannot be another's: its number is
    not used again while it has members, and its leader was started here."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return set()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, its_group = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if its_group == str(group) and (state not in "ZX" or parent == str(group)):
            found.add(int(process.name))
    return found
