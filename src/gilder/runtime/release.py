"""Giving things back: the one place where a release is shielded from cancellation, bounded in time and accounted for.

Without the shield a cancelled build skips its clean-up at the first `await`; without the bound a hanging
release hangs the program (a shield without a deadline is a hang waiting to happen).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import anyio

from gilder.model.errors import ReleaseFailed
from gilder.model.outcomes import Residue


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing held: its number in the ledger, its kind and name, and how a person removes it.

    `handle` is its id in the cloud; "" is a thing of this process, which cannot outlive it. `data` is what somebody
    needs who finishes it later.
    """

    number: int
    kind: str
    name: str
    remedy: str
    handle: str = ""
    data: str = ""
    goes_with: str = ""
    """What takes it along when it goes: `sandbox tiny`, for a mount in it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Ledger(Protocol):
    """The account of what one build holds. Intent is written before the act, release after it."""

    @property
    def patience(self) -> Patience:
        """How long its releases may take."""
        ...

    async def keeps(self, error: BaseException) -> bool:
        """Whether what is in the cloud stays there although its block ended by `error`."""
        ...

    async def intend(
        self, kind: str, name: str, remedy: str, handle: str = "", data: str = "", goes_with: str = ""
    ) -> Entry:
        """Note that `kind name` is about to come into being; durable when it returns."""
        ...

    async def released(self, entry: Entry) -> None:
        """Note that it is gone."""
        ...

    async def kept(self, entry: Entry) -> None:
        """Note that it is finished and stays, as the user asked for it."""
        ...

    async def left(self, entry: Entry, why: str) -> None:
        """Note that it could not be removed: it is a residue now."""
        ...

    async def operation_begun(self, resource: str, doing: str, token: str) -> None:
        """Note that the cloud works on a resource that is held, and by which token that can be followed."""
        ...


class Patience:
    """How long releases may take; shared by the ledgers of a run, so that a second Ctrl-C shortens them all."""

    def __init__(self) -> None:
        self._most = math.inf
        self._running: set[anyio.CancelScope] = set()

    @contextmanager
    def bounded(self, within: float) -> Iterator[anyio.CancelScope]:
        """A shielded scope of at most `within` seconds."""
        with anyio.move_on_after(min(within, self._most), shield=True) as scope:
            self._running.add(scope)
            try:
                yield scope
            finally:
                self._running.discard(scope)

    def shorten(self, most: float) -> None:
        """From now on no release may take more than `most` seconds; those under way have that long from now."""
        self._most = min(self._most, most)
        for scope in self._running:
            scope.deadline = min(scope.deadline, anyio.current_time() + most)


class MemoryLedger:
    """A ledger that lives as long as its build. `keeps` decides whether a failed build keeps what it has in the cloud."""

    def __init__(
        self,
        tell: Callable[[Residue], None] | None = None,
        patience: Patience | None = None,
        keeps: Callable[[BaseException], Awaitable[bool]] | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self._keeps = keeps
        self._numbers = itertools.count(1)
        self._held: dict[int, Entry] = {}
        self._residues: list[Residue] = []
        self._doubtful: dict[int, list[Residue]] = {}
        """What could not be removed, by the number of the entry that it may yet go with."""
        self._tell = tell

    async def keeps(self, error: BaseException) -> bool:
        return self._keeps is not None and await self._keeps(error)

    async def intend(
        self, kind: str, name: str, remedy: str, handle: str = "", data: str = "", goes_with: str = ""
    ) -> Entry:
        entry = Entry(next(self._numbers), kind, name, remedy, handle, data, goes_with)
        self._held[entry.number] = entry
        return entry

    async def released(self, entry: Entry) -> None:
        self._held.pop(entry.number, None)
        self._doubtful.pop(entry.number, None)

    async def kept(self, entry: Entry) -> None:
        self._held.pop(entry.number, None)

    async def operation_begun(self, resource: str, doing: str, token: str) -> None:
        """Nothing to note: what lives only in memory cannot follow it later."""

    async def left(self, entry: Entry, why: str) -> None:
        self._held.pop(entry.number, None)
        residue = Residue(f"{entry} ({why})", entry.remedy)
        holder = next((number for number, held in self._held.items() if str(held) == entry.goes_with), None)
        if holder is not None:
            self._doubtful.setdefault(holder, []).append(residue)
            return
        for each in (*self._doubtful.pop(entry.number, ()), residue):
            self._residues.append(each)
            if self._tell:
                self._tell(each)

    @property
    def held(self) -> tuple[Entry, ...]:
        """What is held now, oldest first."""
        return tuple(self._held.values())

    @property
    def residues(self) -> tuple[Residue, ...]:
        """What could not be removed."""
        return tuple(self._residues)


@dataclass(slots=True)
class Release:
    """How a thing is given back: `undo` looks before it acts, so it is right whether the act happened or not."""

    kind: str
    name: str
    remedy: str
    undo: Callable[[], Awaitable[None]]
    within: float
    """Seconds."""
    handle: str = ""
    """Its id in the cloud, for what may outlive this process."""
    data: str = ""
    """What somebody needs who finishes it later."""
    goes_with: str = ""
    """The thing that takes it along: if this release fails and the other succeeds, nothing is left after all."""
    stays: Callable[[], str | None] = lambda: ""
    """In words how it stays when a failed build keeps it; None when it cannot: never begun, or on its way out already."""
    must: bool = False
    """Whether the block may not be left as if all were well when the release fails (an unmount before a snapshot)."""


@asynccontextmanager
async def releasing(ledger: Ledger, how: Release) -> AsyncIterator[None]:
    """Hold a thing while inside; enter *before* the act that makes it.

    When the release fails or takes longer than `how.within`, the thing becomes a residue in the ledger. The
    error of the block, if any, goes on; without one ReleaseFailed is raised if `how.must`.
    """
    entry = await _intended(ledger, how)
    async with _given_back_on_failure(ledger, entry, how):
        yield
    failure = await _release(ledger, entry, how)
    if failure is not None and how.must:
        raise failure


@asynccontextmanager
async def undone_on_failure(ledger: Ledger, how: Release) -> AsyncIterator[None]:
    """Undo a thing only when the block does not end well: for what the user asked for, such as the image itself."""
    entry = await _intended(ledger, how)
    async with _given_back_on_failure(ledger, entry, how):
        yield
    with anyio.CancelScope(shield=True):
        await ledger.kept(entry)


@asynccontextmanager
async def _given_back_on_failure(ledger: Ledger, entry: Entry, how: Release) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        if not await _kept(ledger, entry, how, error) and (failure := await _release(ledger, entry, how)) is not None:
            error.add_note(failure.message)
        raise


async def _intended(ledger: Ledger, how: Release) -> Entry:
    # Shielded: a cancellation after the note and before the block would leave a note that nobody takes back.
    with anyio.CancelScope(shield=True):
        return await ledger.intend(how.kind, how.name, how.remedy, how.handle, how.data, how.goes_with)
    raise AssertionError("nobody cancels this scope")


async def _kept(ledger: Ledger, entry: Entry, how: Release, error: BaseException) -> bool:
    """Whether the thing stays, as the ledger decides; only what outlives this process can."""
    words = how.stays()
    if not entry.handle or words is None:
        return False
    try:
        if not await ledger.keeps(error):
            return False
    except anyio.get_cancelled_exc_class():
        # Cancelled while a person was asked. Leaving here would skip the release; what waits next is cancelled too.
        return False
    except Exception as failure:  # noqa: BLE001 — none may hide the block's own error, nor skip the release
        error.add_note(f"{entry} was given back, as asking whether to keep it failed: {failure}")
        return False
    with anyio.CancelScope(shield=True):
        await ledger.left(entry, f"kept{words}, as it was asked for")
    return True


async def _release(ledger: Ledger, entry: Entry, how: Release) -> ReleaseFailed | None:
    why: BaseException | str | None = None
    start = anyio.current_time()
    with ledger.patience.bounded(how.within):
        try:
            await how.undo()
        except Exception as error:  # noqa: BLE001 — every failure becomes a residue, none may hide the block's own error
            why = error
        else:
            with anyio.CancelScope(shield=True):
                await ledger.released(entry)
            return None
    if why is None:  # its time may have been shortened on the way
        why = f"it did not end within {anyio.current_time() - start:.0f} s"
    with anyio.CancelScope(shield=True):
        await ledger.left(entry, str(why))
    return ReleaseFailed(str(entry), why, None if how.goes_with else entry.remedy)


@asynccontextmanager
async def closing(close: Callable[[], Awaitable[None]], *, within: float) -> AsyncIterator[None]:
    """Close a thing of this process (a connection, not a resource of the world) when the block ends, however it ends."""
    try:
        yield
    finally:
        with anyio.move_on_after(within, shield=True):
            await close()
