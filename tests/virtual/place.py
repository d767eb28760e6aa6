"""A world in memory, a machine that only pretends, and gilder's engine between them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
from azure.identity.aio import ClientSecretCredential

from gilder.azure.arm import Arm, connected
from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine as ThisMachine
from gilder.build import Job, LocalWork, Site
from gilder.build.limits import Limits
from gilder.engine import Run, RunOptions, Stopping
from gilder.host.devices import BlockDevice
from gilder.model.errors import Busy
from gilder.model.events import Event, Sink, Stage
from gilder.model.ids import ArmId
from gilder.model.outcomes import Outcome
from gilder.model.spec import BuildSpec, GalleryDestination, HyperVGeneration, PlatformImage
from gilder.runtime.filelock import Turn, nobody
from gilder.runtime.journal import Journal, in_loop
from gilder.runtime.locks import Turns
from gilder.runtime.release import Ledger
from gilder.slots import Slot, SlotWriter
from gilder.slots.book import WriterStatistics
from gilder.slots.devices import Scenery
from localarm.app import Application
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.catalogue import PlatformImage as CatalogueImage
from localarm.devices import NoDevices
from localarm.door_sdk import InProcessTransport, virtual_clock
from localarm.settings import APPLICATION, APPLICATION_SECRET, SUBSCRIPTION, TENANT, Machine, Settings
from localarm.state import MemoryState
from localarm.ticker import Ticker
from localarm.world import World

GROUP = "gilder-local"
COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
VM = ArmId.parse(f"{COMPUTE}/virtualMachines/build-host")
SIZES = {4: "Standard_D2s_v5", 32: "Standard_D32s_v5", 64: "Standard_D32s_v6"}


class TinyCatalogue:
    """One image of a few bytes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "tiny"
        self._file.write_bytes(b"tiny image")

    def images(self) -> tuple[CatalogueImage, ...]:
        return (CatalogueImage("localarm", "busybox", "1", "1.0.0", 1, "V2", "x64", "Linux"),)

    def blob(self, image: CatalogueImage, wanted: Callable[[], bool]) -> Path:
        return self._file


class Plugs(NoDevices):
    """The machine's side of the cloud: which disk is plugged in where, numbered as the kernel numbers disks."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.mounted: set[int] = set()
        self.violations: list[str] = []
        self._next = itertools.count(1)

    def attach(self, lun: int, blob: Path) -> None:
        super().attach(lun, blob)
        self.sequence[lun] = next(self._next)
        self.sizes[lun] = blob.stat().st_size

    def detach(self, lun: int) -> int:
        if lun in self.mounted:
            self.violations.append(f"LUN {lun} was detached while mounted")
        self.sequence.pop(lun, None)
        return super().detach(lun)

    def in_use(self, lun: int) -> bool:
        return lun in self.mounted

    def flush(self, lun: int) -> None:
        """Put on the disk what was written to it; here nothing ever is."""


class PretendedDevices:
    """What gilder sees of the plugs."""

    def __init__(self, plugs: Plugs) -> None:
        self._plugs = plugs

    def shows(self, lun: int) -> bool:
        return lun in self._plugs.attached()

    def visible(self, capacity: int) -> frozenset[int]:
        return frozenset(lun for lun in self._plugs.attached() if lun < capacity)

    def scenery(self, capacity: int) -> Scenery:
        return Scenery(self.visible(capacity), max(self._plugs.sequence.values(), default=0))

    def device(self, lun: int) -> BlockDevice | None:
        if not self.shows(lun):
            return None
        return BlockDevice(f"/dev/lun{lun}", f"lun{lun}", f"8:{lun}", self._plugs.sizes[lun], self._plugs.sequence[lun])

    def is_free(self, device: BlockDevice) -> bool:
        return _lun(device) not in self._plugs.mounted

    async def give_up(self, device: BlockDevice) -> None:
        """Nothing outlives a build here."""

    async def wait_free(self, device: BlockDevice, within: float) -> None:
        with anyio.move_on_after(within):
            while not self.is_free(device):
                await anyio.sleep(0.1)
        if not self.is_free(device):
            raise Busy(device.path)

    async def flush(self, device: BlockDevice) -> None:
        self._plugs.flush(_lun(device))

    async def rescan(self) -> None:
        """There is nothing to find."""


def _lun(device: BlockDevice) -> int:
    return int(device.kernel_name.removeprefix("lun"))


@dataclass
class Place:
    """One world with gilder in it. `seconds` says how long the local work of a build takes, alone."""

    world: World
    application: Application
    plugs: Plugs
    arm: Arm
    journal: Journal
    seconds: Callable[[str], float] = lambda build: 1.0
    cpu_share: float = 0.25
    cores: int = 8
    events: list[Event] = field(default_factory=list)
    writes: WriterStatistics = field(default_factory=WriterStatistics)
    options: dict[str, Any] = field(default_factory=lambda: {"architecture": "x64"})
    """Of the site."""
    zone: str = ""
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    tell: Sink | None = None
    """Who hears of events instead of `events`."""
    writer: SlotWriter | None = None
    """Of the run begun last."""
    devices: Callable[[Plugs], PretendedDevices] = PretendedDevices
    site: Site | None = None
    """Of the run begun last."""
    lives: Callable[[str], bool] = lambda run: True
    """Whether another run, by its id, still works."""
    turn: Turn = field(default_factory=lambda: no_turn)
    """By which other gilder processes of this machine are excluded."""

    def __post_init__(self) -> None:
        self._cpus = anyio.CapacityLimiter(self.cores)

    def crowded(self) -> bool:
        """Whether work waits for the pretended CPUs."""
        return self._cpus.available_tokens <= 0

    @asynccontextmanager
    async def workplace(self, spec: BuildSpec, ledger: Ledger) -> AsyncIterator[LocalWork]:
        """Where this place works."""
        yield self.work

    async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
        """Pretend to provision a disk: mounted all the time, on a CPU for part of it."""
        lun = _lun(slot.device)
        if lun not in self.plugs.attached():
            self.plugs.violations.append(f"LUN {lun} was mounted without a disk")
        self.plugs.mounted.add(lun)
        try:
            piece = self.seconds(job.spec.name) / 10
            with job.story.telling(Stage.PROVISION):
                for _ in range(10):
                    await anyio.sleep(piece * (1 - self.cpu_share))
                    async with self._cpus:
                        await anyio.sleep(piece * self.cpu_share)
        finally:
            self.plugs.mounted.discard(lun)

    async def build(
        self, specs: list[BuildSpec], options: RunOptions | None = None, stopping: Stopping | None = None
    ) -> list[Outcome]:
        """Build with gilder's engine."""
        devices = self.devices(self.plugs)
        run_id = f"run{next(self.runs)}"
        writer = SlotWriter(self.arm, VM, devices, self.turn, lambda other: other != run_id and self.lives(other))
        self.writer, self.writes = writer, writer.statistics
        machine = ThisMachine(VM, "westeurope", self.zone, "")
        site = self.site = Site(
            self.arm, machine, writer, devices, run_id, limits=Limits(self.cores, self.crowded), **self.options
        )
        stopping = stopping or Stopping(lambda text: None)
        await self.journal.run_started(run_id, str(VM), "")
        tell = self.tell or self.events.append
        run = Run(site, self.journal, tell, stopping, options or RunOptions(), workplace=self.workplace)
        return await run.outcomes(specs)

    def left(self) -> list[str]:
        """What is on the cloud beyond images, versions and the build host."""
        held = [*self.world.all("disks"), *self.world.all("snapshots")]
        return [resource.name for resource in held if "build-host" not in resource.name]


def no_turn(busy: Callable[[], None] = nobody) -> AbstractAsyncContextManager[None]:
    """The turn of a process that is the only one."""
    return nullcontext()


@asynccontextmanager
async def placed(
    folder: Path,
    slots: int = 32,
    zone: str = "",
    plugs: Plugs | None = None,
    transports: Callable[[Application, Ticker], InProcessTransport] = InProcessTransport,
    **settings: Any,
) -> AsyncIterator[Place]:
    """A fresh world with recorded medians and throttling, unless `settings` say otherwise."""
    numbers = itertools.count(1)
    options: dict[str, Any] = {"latency": "median", "throttle": True} | settings
    machine = Machine("build-host", GROUP, "westeurope", SIZES[slots], zone)
    plugs = plugs or Plugs()
    world = born(
        Settings(machines=(machine,), **options),
        clock=virtual_clock(),
        new_id=lambda: f"{next(numbers):08x}-0000-4000-8000-000000000000",
        state=MemoryState(),
        blobs=BlobStore(folder / "blobs"),
        devices=plugs,
        catalogue=TinyCatalogue(folder),
    )
    application = Application(world)
    ticker = Ticker(world)
    transport = transports(application, ticker)
    credential = ClientSecretCredential(
        TENANT, APPLICATION, APPLICATION_SECRET, transport=transport, disable_instance_discovery=True
    )
    cloud = Cloud(
        "local", "https://management.azure.com", "https://login.microsoftonline.com", "https://management.azure.com/"
    )
    async with (
        in_loop() as journal,
        connected(cloud, credential, transport) as arm,
        anyio.create_task_group() as group,
    ):
        group.start_soon(ticker.run)
        yield Place(world, application, plugs, arm, journal, zone=zone)
        group.cancel_scope.cancel()


def image_spec(name: str, **options: Any) -> BuildSpec:
    """A build that makes a managed image."""
    return _spec(name, image_resource_id=ArmId.parse(f"{COMPUTE}/images/{name}"), **options)


def version_spec(name: str, number: int) -> BuildSpec:
    """A build that publishes a version of the definition `linux` in the gallery `gallery`."""
    destination = GalleryDestination(
        resource_group=GROUP, gallery_name="gallery", image_name="linux", image_version=f"1.0.{number}"
    )
    return _spec(name, shared_image_destination=destination)


def _spec(name: str, **options: Any) -> BuildSpec:
    source = PlatformImage("localarm", "busybox", "1", "latest")
    return BuildSpec(name=name, source=source, image_hyperv_generation=HyperVGeneration.V2, **options)


def lognormal(mean: float, seed: int) -> Callable[[str], float]:
    """Local seconds by build name: lognormal with sigma 0.5, the same for the same name."""

    def seconds(build: str) -> float:
        return Random(f"{seed}{build}").lognormvariate(0, 0.5) * mean / 1.1331

    return seconds


Work = Callable[[Job], Awaitable[None]]
