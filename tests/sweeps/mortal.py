"""A gilder process that may die: what it asks and writes down then has no effect any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from sqlite3 import Connection
from typing import Any, TypeVar

import anyio
from azure.core.rest import AsyncHttpResponse, HttpRequest
from tests.sweeps.watch import Watch, WatchedTransport

from gilder.runtime.journal import Journal
from localarm.app import Application
from localarm.ticker import Ticker

T = TypeVar("T")


class Killed(BaseException):
    """The process is dead: nothing it does has an effect any more."""


@dataclass
class Life:
    """Of one gilder process: whether it lives, and how its steps are stretched."""

    rng: Random | None = None
    """Draws extra waits at every request and every record of the journal; None: no extra waits."""
    alive: bool = True

    def check(self) -> None:
        """Raise Killed when the process is dead."""
        if not self.alive:
            raise Killed

    async def checkpoint(self) -> None:
        """Let others go first, for a moment or a while."""
        self.check()
        if self.rng is not None:
            await anyio.sleep(self.rng.choice((0.0, 0.0, 0.001, 0.05, 0.4)) * self.rng.random())
        self.check()


class MortalTransport(WatchedTransport):
    """The connection of a process that may die: no request leaves it then, and no answer arrives."""

    def __init__(self, application: Application, ticker: Ticker | None, watch: Watch, life: Life) -> None:
        super().__init__(application, ticker, watch)
        self._life = life

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        await self._life.checkpoint()
        answer = await super().send(request, **kwargs)
        await self._life.checkpoint()
        return answer


class MortalJournal(Journal):
    """The journal as a process sees it that may die; each record is a step of its own, as in a thread."""

    def __init__(self, journal: Journal, life: Life) -> None:
        super().__init__(journal._database, None)
        self._life = life

    async def _do(self, work: Callable[[Connection], T]) -> T:
        with anyio.CancelScope(shield=True):
            await self._life.checkpoint()
            await anyio.sleep(0)
        self._life.check()
        result = await super()._do(work)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0)
        return result
