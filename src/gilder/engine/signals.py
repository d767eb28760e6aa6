"""What Ctrl-C does: the first stops with full clean-up, the second shortens it, the third leaves."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import anyio

from gilder.host.sandbox import KIND as SANDBOX
from gilder.runtime.release import Entry, MemoryLedger, Patience

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask to stop."""


def heeded() -> tuple[signal.Signals, ...]:
    """Those of them that this process was not started to ignore: nohup(1) and jobs in the background of a script want so."""
    return tuple(number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN)


HURRIED = 15.0
"""Seconds that each release may still take after the second signal."""


_LAST_WORDS = 2.0
"""Seconds for what is said before leaving to be shown; a terminal that was stopped never shows it."""


def flushed(within: float) -> None:
    """Have standard error shown, if that takes no longer."""
    flushing = threading.Thread(target=sys.stderr.flush, daemon=True)
    flushing.start()
    flushing.join(within)


class Stopping:
    """The state of being stopped, shared by a run's builds. `recovery` is the command that finishes what is left behind."""

    def __init__(
        self, say: Callable[[str], None], flush: Callable[[float], object] = flushed, *, recovery: str = ""
    ) -> None:
        self._say = say
        self._recovery = recovery
        self._flush = flush
        self._heard = 0
        self._scopes: list[anyio.CancelScope] = []
        self._ledgers: list[MemoryLedger] = []
        self._hurries: list[Callable[[], None]] = []
        self.patience = Patience()
        self.signals = 0

    def stops(self, scope: anyio.CancelScope) -> None:
        """Cancel this scope when stopped (at once if that has happened already)."""
        self._scopes.append(scope)
        if self.signals:
            scope.cancel()

    def hurries(self, call: Callable[[], None]) -> None:
        """Call this when each release gets little time (at once if that has happened already)."""
        self._hurries.append(call)
        if self.signals > 1:
            call()

    def watch(self, ledger: MemoryLedger) -> None:
        """Name what this ledger holds when leaving in haste."""
        self._ledgers.append(ledger)

    def heard(self, name: str) -> None:
        """Count a signal as it comes, in its handler. The third leaves there: the event loop may be stuck."""
        self._heard += 1
        if self._heard > 2:
            self._leave(name)

    def signalled(self, name: str) -> None:
        """Take one step further: stop, hurry, leave."""
        self.signals += 1
        if self.signals == 1:
            self._say(f"{name}: stopping, and cleaning up; once more to hurry")
            for scope in self._scopes:
                scope.cancel()
        elif self.signals == 2:
            self._say(f"{name}: each clean-up step gets {HURRIED:g} s; once more to leave at once")
            self.patience.shorten(HURRIED)
            for call in self._hurries:
                call()
        else:
            self._leave(name)

    def _leave(self, name: str) -> NoReturn:
        # Whatever the signal came into the middle of, and however stuck that is, the kernel ends it then.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(2 * _LAST_WORDS))
        left = [each for ledger in self._ledgers for each in _left(ledger)]
        self._say(f"{name}: leaving; this is left behind:" if left else f"{name}: leaving; nothing is left behind")
        for what, remedy in left:
            self._say(f"  {what}; remove it with: {remedy}")
        if left and self._recovery:
            self._say(f"  all of it: {self._recovery}")
        self._flush(_LAST_WORDS)
        os._exit(1)


def _left(ledger: MemoryLedger) -> Iterator[tuple[str, str]]:
    """What stays when gilder's process ends now, each with its remedy: what could not be given back, and what is held."""
    yield from ((residue.what, residue.remedy) for residue in ledger.residues)
    yield from ((str(entry), entry.remedy) for entry in ledger.held if _outlives(entry))


def _outlives(entry: Entry) -> bool:
    """Whether a thing stays when gilder's process ends: its sandboxes do not, with their mounts, files and processes.

    Those were named too, with commands that failed a moment later.
    """
    return entry.kind != SANDBOX and not entry.goes_with


@contextmanager
def signals_heard(stopping: Stopping) -> Iterator[None]:
    """Hear the signals that ask to stop while inside an event loop; what heard them before does so again afterwards.

    One that is ignored stays so.

    Not by the event loop's own handlers: when those are removed, the system's way with a signal is back for a moment, and one
    that came then ended gilder before its summary.
    """
    loop = asyncio.get_running_loop()

    def hear(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        stopping.heard(name)
        loop.call_soon_threadsafe(stopping.signalled, name)

    with handled_by(hear):
        yield


@contextmanager
def handled_by(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have the signals that ask to stop handled so while inside, and as before afterwards."""
    before = {number: signal.signal(number, hear) for number in heeded()}
    try:
        yield
    finally:
        for number, heard_by in before.items():
            signal.signal(number, signal.SIG_DFL if heard_by is None else heard_by)
