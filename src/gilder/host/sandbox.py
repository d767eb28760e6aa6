"""One build's own mount, PID, UTS and IPC namespaces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from gilder.host.run import Completed, OnLine
from gilder.model.spec import Delayed
from gilder.runtime.release import Ledger


class Sandbox:
    """The namespaces of one build, held by a tiny init (`pid`)."""

    name: str
    pid: int
    enter_hint: str
    """The command by which a person enters it."""

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
        wrapped: bool = True,
    ) -> Completed:
        """As host.run.run, inside; through the `command_wrapper` if there is one and `wrapped`."""
        raise NotImplementedError

    async def output(self, argv: Sequence[str], *, wrapped: bool = True, where: str = "") -> str:
        """As host.run.output, inside."""
        raise NotImplementedError

    async def end_processes(self, grace: float = 5.0) -> list[str]:
        """End every process inside but the init; returns the names of those that were there when none is left."""
        raise NotImplementedError


@asynccontextmanager
async def sandbox(name: str, ledger: Ledger, *, wrapper: Delayed | None = None) -> AsyncIterator[Sandbox]:
    """Hold the namespaces of one build. `wrapper` is the template's `command_wrapper` (`.Command`)."""
    raise NotImplementedError
    yield Sandbox()
