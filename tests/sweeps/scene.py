"""What a sweep in virtual time plays on: a world with strangers in it, and one gilder process that can be killed.

The work of a build writes a mark into its disk, so that an image says what it was made from. With host caching ReadWrite
the mark reaches the disk only when that is detached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from sqlite3 import Connection
from typing import Any, TypeVar

import anyio
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ClientSecretCredential
from tests.virtual.place import SIZES, VM, Place, Plugs, PretendedDevices, placed

from gilder.azure.arm import Arm, connected
from gilder.build import Job
from gilder.engine import Recovered, Recovery, RunOptions, Stopping, crashed_runs
from gilder.model.errors import HostError
from gilder.model.outcomes import Built, Outcome
from gilder.model.spec import BuildSpec, Caching
from gilder.runtime.journal import Journal
from localarm import mischief, sizes
from localarm.app import Application
from localarm.door_sdk import InProcessTransport
from localarm.faults import Armed, Fault
from localarm.settings import APPLICATION, APPLICATION_SECRET, TENANT
from localarm.ticker import Ticker

T = TypeVar("T")

STRANGERS_LUN = 1
"""Where a stranger's disk is attached from the beginning."""


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


class MortalTransport(InProcessTransport):
    """The connection of a process that may die: no request leaves it then, and no answer arrives."""

    def __init__(self, application: Application, ticker: Ticker, life: Life) -> None:
        super().__init__(application, ticker)
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


class CachingPlugs(Plugs):
    """Plugs with a host cache: what is written to a ReadWrite disk is on it only after the detach."""

    def __init__(self) -> None:
        super().__init__()
        self._cached: dict[int, bytes] = {}

    def write(self, lun: int, mark: bytes, *, cached: bool) -> None:
        """Write to the disk at a LUN."""
        if cached:
            self._cached[lun] = mark
        else:
            _write(self.attached()[lun], mark)

    def detach(self, lun: int) -> int:
        mark, blob = self._cached.pop(lun, None), self.attached().get(lun)
        if mark is not None and blob is not None:
            _write(blob, mark)
        return super().detach(lun)


def _write(blob: Path, mark: bytes) -> None:
    with blob.open("r+b") as file:
        file.write(mark)


def mark_of(build: str) -> bytes:
    """What the work of a build leaves on its disk."""
    return f"made by {build};".encode()


@dataclass
class Scene(Place):
    """A place where work leaves marks and the process can be killed."""

    life: Life = field(default_factory=Life)
    application_ticker: Ticker | None = None
    process: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around all that the process does."""

    async def work(self, job: Job) -> None:
        """Work, then write the mark. A disk that is torn away gives errors, as of a device that is gone."""
        plugs, lun = self.plugs, job.slot.lun
        assert isinstance(plugs, CachingPlugs)
        await super().work(job)
        if plugs.sequence.get(lun) != job.slot.device.diskseq:
            raise HostError(f"{job.slot.device.path}: Input/output error")
        plugs.write(lun, mark_of(job.spec.name), cached=job.spec.os_disk_cache_type is Caching.READ_WRITE)

    def kill(self) -> None:
        """End the process as `kill -9` does: whatever it would do now has no effect; the kernel unmounts its disks."""
        self.life.alive = False
        self.plugs.mounted.clear()
        self.process.cancel()

    async def lived(
        self, specs: list[BuildSpec], stopping: Stopping, options: RunOptions | None = None
    ) -> list[Outcome] | None:
        """Build as one process does, to the end or until killed (None)."""
        outcomes: list[Outcome] | None = None
        try:
            with self.process:
                outcomes = await self.build(specs, options, stopping)
                clean = all(isinstance(outcome, Built) and not outcome.residues for outcome in outcomes)
                await self.journal.run_finished("run1", "done" if clean else "failed")
        except BaseException:
            if self.life.alive:
                raise
        self.plugs.mounted.clear()
        return outcomes if self.life.alive else None

    @property
    def record(self) -> Journal:
        """The journal as a later process reads it."""
        return Journal(self.journal._database, None)

    async def recovered(self, alive: Path) -> list[Recovered]:
        """Recover once, as a later process does."""
        async with self._another_connection() as arm:
            recovery = Recovery(arm, VM, self.record, PretendedDevices(self.plugs), _no_turn, lambda text: None)
            return [await recovery.recover(run) for run in await crashed_runs(self.record, alive)]

    @asynccontextmanager
    async def _another_connection(self) -> AsyncIterator[Arm]:
        transport = InProcessTransport(self.application, self.application_ticker)
        credential = ClientSecretCredential(
            TENANT, APPLICATION, APPLICATION_SECRET, transport=transport, disable_instance_discovery=True
        )
        async with connected(self.arm.cloud, credential, transport) as arm:
            yield arm

    def strike(self, *faults: Fault) -> list[Armed]:
        """Arm faults; what happened before is forgotten."""
        self.application.audit.clear()
        return [self.application.faults.add(fault) for fault in faults]

    def fired(self) -> int:
        """How many requests were struck by a fault, as the audit log says."""
        return sum("faults" in entry for entry in self.application.audit)


@asynccontextmanager
async def _no_turn() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def staged(folder: Path, slots: int, rng: Random | None = None, **settings: Any) -> AsyncIterator[Scene]:
    """A world with a stranger's disk attached and another lying about. `rng` draws extra waits."""
    life = Life(rng)
    tickers: list[Ticker] = []

    def transports(application: Application, ticker: Ticker) -> InProcessTransport:
        tickers.append(ticker)
        return MortalTransport(application, ticker, life)

    with _few_sizes():
        async with _played(folder, slots, life, transports, tickers, **settings) as scene:
            yield scene


@contextmanager
def _few_sizes() -> Iterator[None]:
    """Let the cloud know only the sizes that sweeps use: reading all the others is a third of the time of a cell."""
    known = sizes.SIZES
    sizes.SIZES = {name.lower(): known[name.lower()] for name in SIZES.values()}
    try:
        yield
    finally:
        sizes.SIZES = known


@asynccontextmanager
async def _played(
    folder: Path,
    slots: int,
    life: Life,
    transports: Callable[[Application, Ticker], InProcessTransport],
    tickers: list[Ticker],
    **settings: Any,
) -> AsyncIterator[Scene]:
    async with placed(folder, slots, plugs=CachingPlugs(), transports=transports, **settings) as place:
        mischief.stranger_attaches(place.world, STRANGERS_LUN)
        mischief.stranger_attaches(place.world, STRANGERS_LUN + 1)
        mischief.stranger_detaches(place.world, STRANGERS_LUN + 1)
        journal = MortalJournal(place.journal, life)
        scene = Scene(
            place.world, place.application, place.plugs, place.arm, journal, life=life, application_ticker=tickers[0]
        )
        yield scene
