"""What a sweep in virtual time plays on: a world with strangers in it, and gilder processes that can be killed.

The work of a build writes a mark into its disk, so that an image says what it was made from. The mark reaches the disk when
that is flushed, with host caching ReadWrite only when it is detached after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
from azure.identity.aio import ClientSecretCredential
from tests.sweeps.mortal import Life, MortalJournal, MortalTransport
from tests.sweeps.plugs import CachingPlugs, LingeringDevices, mark_of
from tests.sweeps.watch import ByOthers, OthersTransport, Watch, WatchedTransport
from tests.virtual.place import SIZES, VM, Place, placed

from gilder.azure.arm import Arm, connected
from gilder.build import Job
from gilder.engine import Recovered, Recovery, RunOptions, Stopping
from gilder.model.errors import HostError
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Outcome
from gilder.model.spec import BuildSpec, Caching
from gilder.runtime.journal import Journal
from gilder.runtime.living import crashed_runs
from gilder.runtime.locks import Turns
from gilder.slots import Slot
from localarm import mischief, sizes
from localarm.app import Application
from localarm.door_sdk import InProcessTransport
from localarm.faults import Armed, Fault
from localarm.resources import Resource
from localarm.settings import APPLICATION, APPLICATION_SECRET, TENANT
from localarm.ticker import Ticker

__all__ = ["CachingPlugs", "Life", "Scene", "mark_of", "staged"]

STRANGERS_LUN = 1
"""Where a stranger's disk is attached from the beginning."""


@dataclass
class Scene(Place):
    """A place where work leaves marks and the process can be killed."""

    watch: Watch = field(init=False)
    life: Life = field(default_factory=Life)
    application_ticker: Ticker | None = None
    process: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around all that the process does."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    """Set when the process has ended, one way or the other."""
    outcomes: list[Outcome] | None = None
    """What the process said at its end; None if it was killed."""
    busy: float = 0.0
    """Seconds for which something still uses a disk after the work on it."""
    theirs: dict[str, Any] = field(default_factory=dict)
    """What others made under names that builds use too, by id: what it is known again by."""
    by_others: ByOthers = field(default_factory=ByOthers)
    kept: dict[str, Any] = field(default_factory=dict)
    """What of it nobody may touch, by id, with its tags."""
    made: int = 0
    """How often others made or deleted something under a name of a build's."""
    collected: list[str] = field(default_factory=list)
    """What was taken for garbage."""
    said: list[str] = field(default_factory=list)
    """What recovery said."""
    mine: set[int] = field(default_factory=set)
    """LUNs that this process has mounted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.watch = Watch(self.world, self.plugs)

    async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
        """Work, then write the mark. A disk that is torn away gives errors, as of a device that is gone."""
        plugs, lun = self.plugs, slot.lun
        assert isinstance(plugs, CachingPlugs)
        if lun not in plugs.attached():
            raise HostError(f"{slot.device.path}: No such device")
        if plugs.sequence[lun] != slot.device.diskseq:
            plugs.violations.append(f"{job.spec.name} worked on another disk's device at LUN {lun}")
        self.mine.add(lun)
        try:
            await super().work(job, slot, turns)
        finally:
            if self.busy:
                plugs.mounted.add(lun)
                asyncio.get_running_loop().call_later(self.busy, self._let_go, lun)
            else:
                self.mine.discard(lun)
        if plugs.sequence.get(lun) != slot.device.diskseq:
            raise HostError(f"{slot.device.path}: Input/output error")
        plugs.write(lun, mark_of(job.spec.name), cached=job.spec.os_disk_cache_type is Caching.READ_WRITE)

    def _let_go(self, lun: int) -> None:
        self.mine.discard(lun)
        self.plugs.mounted.discard(lun)

    def kill(self) -> None:
        """End the process as `kill -9` does: whatever it would do now has no effect; the kernel unmounts its disks."""
        if self.ended.is_set():
            return
        self.life.alive = False
        self.plugs.mounted -= self.mine
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
                assert self.site is not None
                await self.journal.run_finished(self.site.run, "done" if clean else "failed")
                self.outcomes = outcomes
        except BaseException:
            if self.life.alive:
                raise
        if self.life.alive:
            self.plugs.mounted -= self.mine
            self.ended.set()

    @property
    def run(self) -> str:
        """The id of the run begun last."""
        return self.site.run if self.site is not None else ""

    def is_theirs(self, resource: Resource) -> bool:
        """Whether somebody else made this one of several that have had its name."""
        return bool(self.theirs.get(resource.id.lower()) == identity(resource))

    def resource(self, id_: ArmId) -> Resource | None:
        """A resource of the cloud, None when there is none, or one that others made."""
        found = self.world.find("/".join(id_.types).lower(), str(id_))
        return None if found is None or self.is_theirs(found) else found

    @property
    def record(self) -> Journal:
        """The journal as a later process reads it."""
        return Journal(self.journal._database, None)

    async def recovered(self, alive: Path) -> list[Recovered]:
        """Recover once, as a later process does."""
        transport = WatchedTransport(self.application, self.application_ticker, self.watch)
        async with self._connection(transport) as arm:
            recovery = Recovery(arm, VM, self.record, self.devices(self.plugs), self.turn, self.said.append)
            return [await recovery.recover(run) for run in await crashed_runs(self.record, alive)]

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[Place]:
        """The same place as others have it, whose connection does not die with the process."""
        transport = OthersTransport(self.application, self.application_ticker, self.by_others)
        async with self._connection(transport) as arm:
            yield Place(self.world, self.application, self.plugs, arm, self.record)

    @asynccontextmanager
    async def another_process(self) -> AsyncIterator[Scene]:
        """Another gilder process on the same machine, that shares the journal."""
        life = Life(self.life.rng)
        transport = MortalTransport(self.application, self.application_ticker, self.watch, life)
        async with self._connection(transport) as arm:
            other = Scene(
                self.world, self.application, self.plugs, arm, MortalJournal(self.record, life), life=life, runs=self.runs,
                application_ticker=self.application_ticker, devices=self.devices, turn=self.turn, theirs=self.theirs,
            )  # fmt: skip
            other.watch = self.watch
            yield other

    @asynccontextmanager
    async def _connection(self, transport: InProcessTransport) -> AsyncIterator[Arm]:
        credential = ClientSecretCredential(
            TENANT, APPLICATION, APPLICATION_SECRET, transport=transport, disable_instance_discovery=True
        )
        async with connected(self.arm.cloud, credential, transport) as arm:
            yield arm

    def strike(self, *faults: Fault) -> list[Armed]:
        """Arm faults; what happened before is forgotten, also by stale reads: what is there was never seen missing."""
        self.application.audit.clear()
        self.world.before.clear()
        return [self.application.faults.add(fault) for fault in faults]

    def fired(self) -> int:
        """How many requests were struck by a fault, as the audit log says."""
        return sum("faults" in entry for entry in self.application.audit)


def identity(resource: Resource) -> Any:
    """By what a resource is known from a later one of the same name: the blobs that it was given."""
    return resource.blob or resource.hidden.get("blobs")


@asynccontextmanager
async def staged(
    folder: Path, slots: int, rng: Random | None = None, linger: float = 0.0, **settings: Any
) -> AsyncIterator[Scene]:
    """A world with a stranger's disk attached and another lying about.

    `rng` draws extra waits; the devices of detached disks show for `linger` seconds more.
    """
    life = Life(rng)
    plugs = CachingPlugs(linger)
    made: list[tuple[Ticker, Watch]] = []

    def transports(application: Application, ticker: Ticker) -> InProcessTransport:
        watch = Watch(application.world, plugs)
        made.append((ticker, watch))
        return MortalTransport(application, ticker, watch, life)

    with _few_sizes():
        async with placed(folder, slots, plugs=plugs, transports=transports, **settings) as place:
            mischief.stranger_attaches(place.world, STRANGERS_LUN)
            mischief.stranger_attaches(place.world, STRANGERS_LUN + 1)
            mischief.stranger_detaches(place.world, STRANGERS_LUN + 1)
            ((ticker, watch),) = made
            scene = Scene(
                place.world, place.application, plugs, place.arm, MortalJournal(place.journal, life), life=life,
                application_ticker=ticker, devices=LingeringDevices,
            )  # fmt: skip
            scene.watch = watch
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
