"""What a sweep in virtual time plays on: a world with strangers in it, and one gilder process that can be killed.

The work of a build writes a mark into its disk, so that an image says what it was made from. The mark reaches the disk when
that is flushed, with host caching ReadWrite only when it is detached after that.
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
from gilder.engine import Recovered, Recovery, RunOptions, Stopping
from gilder.host.devices import BlockDevice
from gilder.model.errors import HostError
from gilder.model.outcomes import Built, Outcome
from gilder.model.spec import BuildSpec, Caching
from gilder.runtime.filelock import nobody
from gilder.runtime.journal import Journal
from gilder.runtime.living import crashed_runs
from gilder.runtime.locks import Turns
from gilder.slots import Slot
from gilder.slots.devices import Scenery
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
    """Plugs with caches: what is written is on the disk only after a flush, of a ReadWrite disk only after the detach.

    The devices of detached disks show for `linger` seconds more, and hide what comes to their LUN meanwhile; when they
    are `unseen`, only to who looks for the device of a LUN.
    """

    def __init__(self, linger: float = 0.0) -> None:
        super().__init__()
        self.unseen = False
        self._written: dict[int, tuple[bytes, bool]] = {}
        """What the machine's kernel holds, and whether the host of the VM will hold it then."""
        self._cached: dict[int, bytes] = {}
        """What the host of the VM holds."""
        self._linger = linger
        self._lingering: dict[int, tuple[float, int, int]] = {}

    def write(self, lun: int, mark: bytes, *, cached: bool) -> None:
        """Write to the disk at a LUN."""
        self._written[lun] = mark, cached

    def flush(self, lun: int) -> None:
        mark, cached = self._written.pop(lun, (b"", True))
        if not mark:
            return
        if cached:
            self._cached[lun] = mark
        else:
            _write(self.attached()[lun], mark)

    def detach(self, lun: int) -> int:
        self._written.pop(lun, None)
        mark, blob = self._cached.pop(lun, None), self.attached().get(lun)
        if mark is not None and blob is not None:
            _write(blob, mark)
        if self._linger:
            self._lingering[lun] = (anyio.current_time() + self._linger, self.sequence[lun], self.sizes[lun])
        return super().detach(lun)

    def old_device(self, lun: int) -> tuple[int, int] | None:
        """Number and size of the device of a disk that is gone, while this machine still shows it."""
        until, number, size = self._lingering.get(lun, (0.0, 0, 0))
        return (number, size) if anyio.current_time() < until else None


class LingeringDevices(PretendedDevices):
    """What gilder sees of plugs whose old devices linger."""

    def __init__(self, plugs: Plugs) -> None:
        super().__init__(plugs)
        assert isinstance(plugs, CachingPlugs)
        self._lingering = plugs

    def shows(self, lun: int) -> bool:
        old = None if self._lingering.unseen else self._lingering.old_device(lun)
        return old is not None or super().shows(lun)

    def visible(self, capacity: int) -> frozenset[int]:
        return frozenset(lun for lun in range(capacity) if self.shows(lun))

    def scenery(self, capacity: int) -> Scenery:
        # As in /sys/block: a device that nothing shows for its LUN is among them all the same, with its number.
        seen = super().scenery(capacity)
        old = (self._lingering.old_device(lun) for lun in range(capacity))
        return Scenery(seen.visible, max(seen.newest, *(number for number, _ in filter(None, old)), 0))

    def device(self, lun: int) -> BlockDevice | None:
        if (old := self._lingering.old_device(lun)) is None:
            return super().device(lun)
        number, size = old
        return BlockDevice(f"/dev/lun{lun}", f"lun{lun}", f"8:{lun}", size, number)


def _write(blob: Path, mark: bytes) -> None:
    """Write to a disk. A snapshot shares the file of its disk, which is read-only from then on: the write is lost."""
    if blob.stat().st_nlink > 1:
        return
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
    ended: anyio.Event = field(default_factory=anyio.Event)
    """Set when the process has ended, one way or the other."""
    outcomes: list[Outcome] | None = None
    """What the process said at its end; None if it was killed."""

    async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
        """Work, then write the mark. A disk that is torn away gives errors, as of a device that is gone."""
        plugs, lun = self.plugs, slot.lun
        assert isinstance(plugs, CachingPlugs)
        if lun not in plugs.attached():
            raise HostError(f"{slot.device.path}: No such device")
        if plugs.sequence[lun] != slot.device.diskseq:
            plugs.violations.append(f"{job.spec.name} worked on another disk's device at LUN {lun}")
        await super().work(job, slot, turns)
        if plugs.sequence.get(lun) != slot.device.diskseq:
            raise HostError(f"{slot.device.path}: Input/output error")
        plugs.write(lun, mark_of(job.spec.name), cached=job.spec.os_disk_cache_type is Caching.READ_WRITE)

    def kill(self) -> None:
        """End the process as `kill -9` does: whatever it would do now has no effect; the kernel unmounts its disks."""
        if self.ended.is_set():
            return
        self.life.alive = False
        self.plugs.mounted.clear()
        self.process.cancel()
        self.ended.set()

    async def live(self, specs: list[BuildSpec], stopping: Stopping, options: RunOptions | None = None) -> None:
        """Build as one process does, to the end or until killed.

        The tasks of a killed process may take a while to see that they are dead; what they do has no effect.
        """
        try:
            with self.process:
                outcomes = await self.build(specs, options, stopping)
                clean = all(isinstance(outcome, Built) and not outcome.residues for outcome in outcomes)
                await self.journal.run_finished("run1", "done" if clean else "failed")
                self.outcomes = outcomes
        except BaseException:
            if self.life.alive:
                raise
        if self.life.alive:
            self.plugs.mounted.clear()
            self.ended.set()

    @property
    def record(self) -> Journal:
        """The journal as a later process reads it."""
        return Journal(self.journal._database, None)

    async def recovered(self, alive: Path) -> list[Recovered]:
        """Recover once, as a later process does."""
        async with self._another_connection() as arm:
            recovery = Recovery(arm, VM, self.record, self.devices(self.plugs), _no_turn, lambda text: None)
            return [await recovery.recover(run) for run in await crashed_runs(self.record, alive)]

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[Place]:
        """The same place as others have it, whose connection does not die with the process."""
        async with self._another_connection() as arm:
            yield Place(self.world, self.application, self.plugs, arm, self.record)

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
async def _no_turn(busy: Callable[[], None] = nobody) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def staged(
    folder: Path, slots: int, rng: Random | None = None, linger: float = 0.0, **settings: Any
) -> AsyncIterator[Scene]:
    """A world with a stranger's disk attached and another lying about.

    `rng` draws extra waits; the devices of detached disks show for `linger` seconds more.
    """
    life = Life(rng)
    tickers: list[Ticker] = []

    def transports(application: Application, ticker: Ticker) -> InProcessTransport:
        tickers.append(ticker)
        return MortalTransport(application, ticker, life)

    with _few_sizes():
        async with _played(folder, slots, life, transports, tickers, linger, **settings) as scene:
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
    linger: float,
    **settings: Any,
) -> AsyncIterator[Scene]:
    async with placed(folder, slots, plugs=CachingPlugs(linger), transports=transports, **settings) as place:
        mischief.stranger_attaches(place.world, STRANGERS_LUN)
        mischief.stranger_attaches(place.world, STRANGERS_LUN + 1)
        mischief.stranger_detaches(place.world, STRANGERS_LUN + 1)
        journal = MortalJournal(place.journal, life)
        scene = Scene(
            place.world, place.application, place.plugs, place.arm, journal, life=life, application_ticker=tickers[0],
            devices=LingeringDevices,
        )  # fmt: skip
        yield scene
