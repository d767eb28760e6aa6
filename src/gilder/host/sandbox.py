"""One build's own mount, PID, UTS and IPC namespaces.

They are held by a keeper, process 1 inside, which dies with gilder: the kernel kills it when gilder's main thread is gone
(PR_SET_PDEATHSIG, prctl(2)), and it ends with its stdin. With it go its processes and its mounts. Propagation is `slave`:
what the host mounts shows inside, what it unmounts goes inside too (a private copy would pin it), and nothing shows outside.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import secrets
import shlex
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from gilder.host.hearing import Lingering, OnLine
from gilder.host.run import Completed, end, output, run, start
from gilder.model.errors import HostError
from gilder.model.spec import Delayed
from gilder.runtime.release import Ledger, Release, closing, releasing

VOLUMES = Path("/mnt/packer-amazon-chroot-volumes")
"""Where builds mount their disks by default: inside a sandbox an own tmpfs, for a mount point that other namespaces can
see can be removed by them, which silently unmounts what is mounted there."""

KIND = "sandbox"
"""What it is called in a ledger."""

KEEPER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")))
"""The program that works inside, isolated from what a user has installed."""
_LONGEST_ANSWER = 256 * 2**20


class FileRefused(HostError):
    """A file of the guest (or the host's, to be copied there) could not be handled. `number` is the errno."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class Sandbox:
    """The namespaces of one build, held by the keeper, whose process number on this machine is `pid`."""

    def __init__(self, name: str, process: Process, wrapper: Delayed | None, volumes: Path) -> None:
        assert process.stdout is not None
        self.name = name
        self.volumes = volumes
        self.pid = 0
        self.wrapper = wrapper
        self._process = process
        self._answers = BufferedByteReceiveStream(process.stdout)
        self._numbers = itertools.count(1)
        self._turn = anyio.Lock()
        self.lingering = Lingering()
        """Hears what is left running inside."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that make it run inside; raises HostError once the keeper is gone."""
        if self._process.returncode is not None:
            raise HostError(f"the sandbox of {self.name} is gone: its keeper has ended")
        return ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--")

    def __str__(self) -> str:
        return f"sandbox {self.name}"

    @property
    def enter_hint(self) -> str:
        """The command by which a person enters it."""
        return shlex.join([*self.prefix[:-1], "/bin/sh"])

    def wrapped(self, argv: Sequence[str]) -> tuple[str, ...]:
        """A command as the template's `command_wrapper` has it: its `.Command` is the quoted command, run by a shell."""
        return tuple(argv) if self.wrapper is None else self.shell(shlex.join(argv))

    def shell(self, text: str) -> tuple[str, ...]:
        """A user's command line, through the `command_wrapper` if there is one, as a command."""
        return ("/bin/sh", "-c", text if self.wrapper is None else self.wrapper.render({"Command": text}))

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
        valid: Sequence[int] = (0,),
        timeout: float | None = None,
        where: str = "",
        linger: bool = False,
    ) -> Completed:
        """As `gilder.host.run.run`, inside; what `linger`s is heard until it is ended."""
        return await run(
            argv,
            prefix=self.prefix,
            env=env,
            stdin=stdin,
            on_line=on_line,
            check=check,
            valid=valid,
            timeout=timeout,
            where=where,
            linger=self.lingering if linger else None,
        )

    async def output(self, argv: Sequence[str], *, valid: Sequence[int] = (0,), where: str = "") -> str:
        """As `gilder.host.run.output`, inside."""
        return await output(argv, prefix=self.prefix, valid=valid, where=where)

    async def processes(self) -> list[str]:
        """The names of the processes inside, the keeper aside."""
        return list(await self.ask("processes"))

    async def end_processes(self, grace: float = 2.0) -> list[str]:
        """End every process inside but the keeper (TERM, KILL after `grace` seconds).

        Returns, when none is left, the names of those that were there. Raises HostError if one cannot be ended.
        """
        ended = list(await self.ask("end_processes", grace=grace))
        await self.lingering.last_words()
        return ended

    @asynccontextmanager
    async def file(self, name: str, data: bytes, mode: int) -> AsyncIterator[str]:
        """Have a file that only this sandbox sees, and that goes with it however gilder ends; yields its path there."""
        path = f".{secrets.token_hex(6)}-{name}"
        root = str(self.volumes)

        async def remove() -> None:
            with suppress(HostError):  # with the sandbox, it is gone too
                await self.ask("remove", root=root, path=path)

        async with closing(remove, within=10):
            await self.ask("create", root=root, path=path, data=base64.b64encode(data).decode(), mode=mode)
            yield str(self.volumes / path)

    def mount_points(self, *places: Path) -> list[Path]:
        """Where something is mounted inside, at `places` and beneath them, in the order in which it was mounted."""
        try:
            lines = Path(f"/proc/{self.pid}/mountinfo").read_text(errors="surrogateescape").splitlines()
        except OSError as error:
            raise HostError(f"the sandbox of {self.name} is gone: {error}") from error
        # As text: every build reads the table several times, and making paths of all its lines took most of gilder's CPU.
        beneath = tuple(f"{place}/".replace("//", "/") for place in places)
        points = (_plain(line.split(" ", 5)[4]) for line in lines)
        return [Path(point) for point in points if f"{point}/".replace("//", "/").startswith(beneath)]

    def seen_from_here(self, path: Path) -> Path:
        """A way from gilder's own mount namespace to a path inside."""
        return Path(f"/proc/{self.pid}/root{path}")

    async def ask(self, operation: str, **words: object) -> Any:
        """Have the keeper do something (a method of `gilder.host.keeping.Keeper`); raises FileRefused or HostError.

        A cancelled question is still carried out; the next one waits for it.
        """
        number = next(self._numbers)
        question = json.dumps({"id": number, "op": operation, "args": words}) + "\n"
        async with self._turn:
            assert self._process.stdin is not None
            try:
                await self._process.stdin.send(question.encode())
                answer = await self._answer(number)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.IncompleteRead, OSError) as error:
                raise HostError(f"the sandbox of {self.name} is gone: its keeper does not answer") from error
        if "error" in answer:
            raise FileRefused(answer["error"], answer["errno"])
        return answer["value"]

    async def _answer(self, number: int) -> dict[str, Any]:
        while True:
            answer: dict[str, Any] = json.loads(await self._answers.receive_until(b"\n", _LONGEST_ANSWER))
            if answer["id"] == number:
                return answer
            # The answer to a question that was cancelled.

    async def open(self) -> None:
        """Wait until the keeper is ready; raises HostError with its reason if it is not."""
        try:
            with anyio.fail_after(30):
                self.pid = (await self._answer(0))["value"]
        except (anyio.IncompleteRead, TimeoutError) as error:
            assert self._process.stderr is not None
            said = ""
            with anyio.move_on_after(1), suppress(anyio.EndOfStream):
                said = (await BufferedByteReceiveStream(self._process.stderr).receive(4096)).decode(errors="replace")
            hint = None if os.geteuid() == 0 else "gilder must run as root"
            reason = (said.strip().splitlines() or ["the programs that make it ended without a word"])[-1]
            if isinstance(error, TimeoutError):
                reason = "the programs that make it did not get there within 30 s"
            raise HostError(f"no sandbox for {self.name}: {reason}", hint=hint) from error

    async def close(self) -> None:
        """Let the keeper end, and with it every process and mount inside; returns when they are gone."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        with anyio.move_on_after(5):
            await self._process.wait()
        # `unshare` takes its child with it (--kill-child).
        stuck = await end(self._process, grace=0)
        self.lingering.close()
        if stuck:
            raise HostError(f"processes in {self} wait in the kernel and cannot be ended: {', '.join(stuck)}")


@asynccontextmanager
async def sandbox(
    name: str, ledger: Ledger, *, wrapper: Delayed | None = None, volumes: Path = VOLUMES
) -> AsyncIterator[Sandbox]:
    """Hold the namespaces of one build. `wrapper` is the template's `command_wrapper`.

    To be entered from the main thread: the keeper dies with the thread that started it. Raises HostError.
    """
    # For the remedy: a build of another run may have the same name, and as a pattern, debian-1 is debian-12 too.
    mark = secrets.token_hex(4)
    keeper = [*KEEPER, "keep", str(volumes), name, mark]
    spaces = ["--mount", "--pid", "--uts", "--ipc", "--propagation=slave", "--fork", "--kill-child"]
    process: Process | None = None
    box: Sandbox | None = None

    async def undo() -> None:
        if box is not None:
            await box.close()
        elif process is not None and (stuck := await end(process, grace=0)):
            raise HostError(f"the programs that make {name}'s sandbox cannot be ended: {', '.join(stuck)}")

    remedy = f"pkill -KILL -f 'keeper.py keep .* {mark}$'"
    async with releasing(ledger, Release(KIND, name, remedy, undo, within=30)):
        process = await start(
            ["setpriv", "--pdeathsig=KILL", "unshare", *spaces, "--", *keeper], ["unshare", *spaces], talks=True
        )
        box = Sandbox(name, process, wrapper, volumes)
        await box.open()
        yield box


def _plain(path: str) -> str:
    """A path of mountinfo, whose odd characters are written in octal (proc(5))."""
    if "\\" not in path:
        return path.removesuffix("//deleted")
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path.removesuffix("//deleted")
