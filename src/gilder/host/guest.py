"""The system inside a mounted root: running programs and touching files there, never outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gilder.host.run import Completed, OnLine
from gilder.host.sandbox import Sandbox
from gilder.runtime.release import Ledger


class Guest:
    """A root filesystem inside a sandbox. Paths are the guest's own; every link in them is resolved beneath the root."""

    def __init__(self, box: Sandbox, root: Path) -> None:
        self.box = box
        self.root = root

    async def run(
        self,
        command: Sequence[str] | str,
        *,
        env: Mapping[str, str] | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
        valid: Sequence[int] = (0,),
        timeout: float | None = None,
        linger: bool = True,
    ) -> Completed:
        """Run a program, or a text by the guest's /bin/sh, in a chroot; `env` None: `guest_environment`."""
        raise NotImplementedError

    async def write(self, path: str, data: bytes, mode: int = 0o644) -> None: ...
    async def read(self, path: str) -> bytes: ...
    async def remove(self, path: str) -> None: ...
    async def exists(self, path: str) -> bool: ...


@asynccontextmanager
async def copied_in(
    guest: Guest, files: Sequence[str], ledger: Ledger, *, say: Callable[[str], None] = lambda text: None
) -> AsyncIterator[None]:
    """Hold copies of host files in the guest at the same paths; what was there comes back exactly afterwards."""
    raise NotImplementedError
    yield


@asynccontextmanager
async def services_denied(guest: Guest, ledger: Ledger) -> AsyncIterator[None]:
    """Hold a policy-rc.d that keeps package scripts from starting services; does nothing without /usr/sbin."""
    raise NotImplementedError
    yield


@asynccontextmanager
async def occupied(guest: Guest, ledger: Ledger) -> AsyncIterator[None]:
    """Hold a guest that may have processes; when the block ends all of them are ended (before files are put back)."""
    raise NotImplementedError
    yield
