"""A build's ledger that writes to the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from gilder.model.errors import HostError
from gilder.model.outcomes import Residue
from gilder.runtime.journal import Journal
from gilder.runtime.release import Entry, MemoryLedger, Patience


class JournalLedger(MemoryLedger):
    """As in memory, and durable for what can outlive this process: intent before the act, release after it.

    `remedy` is the command for all of that where its own commands do not reach; "" is nowhere.
    """

    def __init__(
        self,
        journal: Journal,
        run: str,
        build: str,
        tell: Callable[[Residue], None],
        patience: Patience,
        keeps: Callable[[BaseException], Awaitable[bool]] | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(tell, patience, keeps)
        self._journal = journal
        self._run = run
        self._build = build
        self._remedy = remedy
        self._records: dict[int, int] = {}

    async def intend(
        self, kind: str, name: str, remedy: str, handle: str = "", data: str = "", goes_with: str = ""
    ) -> Entry:
        if handle and self._remedy:
            remedy = self._remedy
        if not handle:
            return await super().intend(kind, name, remedy, handle, data, goes_with)
        # Before it counts as held: where the journal refuses, nothing is made, and a third Ctrl-C must not name it.
        number = await self._journal.intend(self._run, self._build, kind, name, handle, remedy, data)
        entry = await super().intend(kind, name, remedy, handle, data, goes_with)
        self._records[entry.number] = number
        return entry

    async def released(self, entry: Entry) -> None:
        await super().released(entry)
        if (number := self._records.pop(entry.number, None)) is not None:
            # A note that cannot be written is no reason to stop: recovery looks, and sees that the thing is gone.
            with suppress(HostError):
                await self._journal.released(number)

    async def kept(self, entry: Entry) -> None:
        await super().kept(entry)
        if (number := self._records.pop(entry.number, None)) is not None:
            with suppress(HostError):
                await self._journal.kept(number)

    async def operation_begun(self, resource: str, doing: str, token: str) -> None:
        await super().operation_begun(resource, doing, token)
        # What cannot be written costs recovery a shortcut: it then looks at the resource instead.
        with suppress(HostError):
            await self._journal.operation_started(self._run, self._build, resource, doing, token)

    async def left(self, entry: Entry, why: str) -> None:
        await super().left(entry, why)
        if (number := self._records.pop(entry.number, None)) is not None:
            with suppress(HostError):
                await self._journal.left(number, why)
