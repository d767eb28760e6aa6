"""One cell: a run in which something goes wrong at one place, then recovery, then the invariants."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import anyio
from tests.sweeps.invariants import finishable, harmless, unfinished, untrue, wrongly_made
from tests.sweeps.others import DEAD, Making, collect, make, move, old_products
from tests.sweeps.scenarios import SCENARIOS, widest
from tests.sweeps.scene import CachingPlugs, Scene, staged
from tests.sweeps.standing import Strangers, remains, standing, strangers
from tests.virtual.loop import Jumping, ageing, in_virtual_time

from gilder.build.leases import TERM
from gilder.engine import RunOptions, Stopping
from gilder.model.outcomes import Built
from gilder.model.spec import BuildSpec
from gilder.runtime.filelock import file_locked, in_line, nobody
from localarm.door_sdk import virtual_clock
from localarm.faults import Fault

BOUND = 3 * 3600.0
"""Seconds, of virtual time, within which a run with a few faults and its recovery end. A replication takes ten minutes."""

REAL_BOUND = 120.0
"""Seconds of real time for one cell: more is a loop that spins without time passing."""

_SPINS = 50_000
"""Steps of the loop in a row that may take no time."""

SLOTS = 4
"""Data disks that the VM takes, one of which is a stranger's: eight builds have to share three LUNs."""


_USUAL = RunOptions()


@dataclass(frozen=True)
class Cell:
    """What is built and what goes wrong. All numbers count from when the builds begin.

    Attributes:
        kind: by what the cells are counted.
        scenarios: one name for each build.
        faults: what localarm does.
        cancelled: at which steps of the event loop signals arrive.
        killed: at which step of the event loop the process is killed; 0 is never.
        seed: draws extra waits at each request and record; None: no extra waits.
        latency: how localarm draws durations.
    """

    kind: str
    scenarios: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    cancelled: tuple[int, ...] = ()
    killed: int = 0
    seed: int | None = None
    latency: str = "median"
    moves: tuple[tuple[float, Fault], ...] = ()
    """What a stranger does to the VM, and after how many seconds."""
    linger: float = 0.0
    """Seconds for which this machine still shows the device of a detached disk; less than 0: only when asked for it."""
    within: float = BOUND
    passing: bool = False
    """Whether what goes wrong passes: then it may cost time, and no build, and one recovery finishes what can be finished."""
    recovering: tuple[Fault, ...] = ()
    """What localarm does during the first recovery (or collection of garbage); then there is a second one."""
    makings: tuple[tuple[float, Making], ...] = ()
    """What others make under names of the first build's, and after how many seconds; `DEAD`: before the recovery."""
    old: str = ""
    """Of what the images are made, `disk` or `snapshot`, that are there already and shall be replaced (-force)."""
    options: RunOptions = _USUAL
    busy: float = 0.0
    """Seconds for which something still uses a disk after the work on it."""
    works: float = 1.0
    """Seconds that the work on a disk takes."""
    beside: tuple[str, ...] = ()
    """Scenarios of another gilder process on the same machine, begun `later` by so many seconds."""
    later: float = 0.0
    collections: tuple[float, ...] = ()
    """After how many seconds another VM collects garbage."""
    forgotten: bool = False
    """Whether the journal is lost with the process: then garbage is collected here, once the leases have run out."""

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong but that the process is killed, or stopped once and not hurried."""
        trouble = self.faults or self.moves or self.makings or self.linger or self.busy or len(self.cancelled) > 1
        return not trouble and not self.options.attendance.keeps_unasked

    def __str__(self) -> str:
        shown = [f"{len(self.scenarios)} × {'/'.join(sorted(set(self.scenarios)))}"]
        shown += [_shown(fault) for fault in self.faults]
        shown += [f"stranger at {at:.1f} s: {_shown(fault)}" for at, fault in self.moves]
        shown += [f"signals at step {', '.join(map(str, self.cancelled))}"] if self.cancelled else []
        shown += [f"killed at step {self.killed}"] if self.killed else []
        shown += [f"in the recovery: {_shown(fault)}" for fault in self.recovering]
        shown += [f"others make {what} " + ("then" if at == DEAD else f"at {at:g} s") for at, what in self.makings]
        shown += [f"old ones of a {self.old}"] if self.old else []
        shown += [f"{self.options}"] if self.options != _USUAL else []
        shown += [f"busy for {self.busy:g} s"] if self.busy else []
        shown += [f"works {self.works:g} s"] if self.works != 1.0 else []
        shown += (
            [f"beside {len(self.beside)} × {'/'.join(self.beside)} from {self.later:g} s on"] if self.beside else []
        )
        shown += [f"garbage collected elsewhere at {at:g} s" for at in self.collections]
        shown += ["journal lost"] if self.forgotten else []
        shown += [f"devices linger {self.linger:g} s"] if self.linger else []
        shown += [f"seed {self.seed}"] if self.seed is not None else []
        return ", ".join(shown)


def _shown(fault: Fault) -> str:
    status = f" {fault.status} {fault.code}" if fault.what == "refuse" else ""
    times = f" × {fault.times}" if fault.times > 1 else ""
    return f"{fault.what}{status} at {fault.method} {fault.kind} number {fault.nth}{times}"


@dataclass(frozen=True)
class Found:
    """What a cell showed. `fired`: whether what was to go wrong did; `steps`: of the event loop while building."""

    fired: bool
    violations: tuple[str, ...]
    failed: int = 0
    seconds: float = 0.0
    steps: int = 0
    requests: tuple[tuple[str, str], ...] = ()
    """Methods and paths."""
    left: tuple[str, ...] = ()
    """What was there when the process had ended, and is no use to anybody."""
    left_in_the_end: tuple[str, ...] = ()
    """The same after recovery."""


class Stepping(Jumping):
    """A jumping selector that counts the steps of its loop, and does something at some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.counting = False
        self.at: dict[int, Callable[[], object]] = {}
        self._then, self._idle = 0.0, 0

    def select(self, timeout: float | None = None) -> list[tuple[object, int]]:  # type: ignore[override]
        if self.counting:
            self.steps += 1
            if (do := self.at.pop(self.steps, None)) is not None:
                do()
                return []
        self._idle = self._idle + 1 if self.now == self._then else 0
        self._then = self.now
        if self._idle > _SPINS:
            raise RuntimeError("it spins: no time passes")
        return super().select(timeout)  # type: ignore[return-value]


def examined(cell: Cell) -> Found:
    """Run a cell in a world of its own."""
    selector = Stepping()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gilder-cell-") as folder:
        try:
            with ageing(virtual_clock()):
                found, _ = in_virtual_time(lambda: _run(cell, Path(folder), selector), selector)
        except Exception as error:  # noqa: BLE001 — whatever escapes is what the sweep looks for
            return Found(True, (f"{_first(error)!r} escaped",))
    if (took := time.monotonic() - start) > REAL_BOUND:
        return Found(found.fired, (*found.violations, f"it took {took:.0f} s of real time"), found.failed)
    return found


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class _Signals:
    """Signals that come from the loop's steps."""

    stopping: Stopping = field(default_factory=lambda: Stopping(lambda text: None))
    came: int = 0

    def signal(self) -> None:
        self.came += 1
        if self.came <= 2:  # the third leaves the process
            self.stopping.signalled("SIGINT")


async def _run(cell: Cell, folder: Path, selector: Stepping) -> Found:
    rng = None if cell.seed is None else Random(cell.seed)
    settings = {"latency": cell.latency, "seed": cell.seed or 0}
    async with staged(folder, SLOTS, rng, abs(cell.linger), **settings) as scene:
        assert isinstance(scene.plugs, CachingPlugs)
        scene.plugs.unseen = cell.linger < 0
        scene.busy, scene.seconds = cell.busy, lambda build: cell.works
        if cell.beside:
            scene.turn = lambda busy=nobody: in_line(folder / "vm", busy=busy)
        specs = await furnished(scene, cell)
        before = strangers(scene, specs)
        standing = SCENARIOS[cell.scenarios[0]].standing if len(set(cell.scenarios)) == 1 else ()
        scene.strike(*cell.faults, *standing)
        trial = _Trial(scene, cell, specs, before, folder, selector)
        async with trial.living():
            return await trial.judged()


async def furnished(scene: Scene, cell: Cell) -> list[BuildSpec]:
    """Put there what the builds need, at once and without the waits of a run."""
    names = {*cell.scenarios, *cell.beside}
    lasts, scene.world.lasts = scene.world.lasts, lambda kind: 0.0
    rng, scene.life.rng = scene.life.rng, None
    await widest(names)(scene)
    specs = [SCENARIOS[name].spec(f"image{number}", number) for number, name in enumerate(cell.scenarios)]
    if cell.old:
        await old_products(scene, specs, cell.old)
    scene.world.lasts, scene.life.rng = lasts, rng
    return specs


def _final(fault: Fault) -> bool:
    """Whether the cloud has said with this that it will never make the image."""
    refused = fault.what in ("fail", "cancel") or (fault.what == "refuse" and fault.status in (400, 404))
    return refused and fault.method in ("PUT", "")


@dataclass
class _Trial:
    """A cell under way."""

    scene: Scene
    cell: Cell
    specs: list[BuildSpec]
    before: Strangers
    folder: Path
    selector: Stepping
    signals: _Signals = field(default_factory=_Signals)
    other: Scene | None = None
    """The other process."""
    others_specs: list[BuildSpec] = field(default_factory=list)
    others_end: anyio.Event = field(default_factory=anyio.Event)
    others_wrong: list[str] = field(default_factory=list)
    """Where the other process, when it ended, told otherwise than it was."""
    struck: int = 0
    """How often faults struck the process."""
    struck_again: int = 0
    """How often faults struck what came to clean up after it."""

    @property
    def alive(self) -> Path:
        """Where the locks are of processes that live."""
        return self.folder / "alive"

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Have the processes, the strangers and the signals while inside."""
        cell, scene, soon = self.cell, self.scene, asyncio.get_running_loop().call_soon
        self.selector.at = {step: lambda: soon(self.signals.signal) for step in cell.cancelled}
        if cell.killed:
            self.selector.at[cell.killed] = lambda: soon(scene.kill)
        options = replace(cell.options, force=bool(cell.old))
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            for at, fault in cell.moves:
                group.start_soon(move, scene, at, fault)
            for at, what in cell.makings:
                if at != DEAD:
                    group.start_soon(make, scene, self.specs[0], at, what)
            for at in cell.collections:
                group.start_soon(self._collected, at)
            if cell.beside:
                self.other = await stack.enter_async_context(scene.another_process())
                group.start_soon(self._beside, self.other)
            self.selector.counting = True
            group.start_soon(scene.live, self.specs, self.signals.stopping, options)
            yield
            self.selector.counting = False
            group.cancel_scope.cancel()

    async def _collected(self, at: float) -> None:
        await anyio.sleep(at)
        await collect(self.scene, elsewhere=True)

    async def _beside(self, other: Scene) -> None:
        numbers = range(len(self.specs), len(self.specs) + len(self.cell.beside))
        self.others_specs = [
            SCENARIOS[name].spec(f"image{n}", n) for n, name in zip(numbers, self.cell.beside, strict=True)
        ]
        await anyio.sleep(self.cell.later)
        async with file_locked(self.alive / "run2"):
            await other.live(self.others_specs, Stopping(lambda text: None))
            self.others_wrong = await untrue(other, self.others_specs, other.outcomes or [])
        self.others_end.set()

    async def judged(self) -> Found:
        """Wait for the end of the process, look, recover, look again."""
        start = anyio.current_time()
        scene, wrong, steps = self.scene, list[str](), 0
        left: tuple[str, ...] = ()
        with anyio.move_on_after(self.cell.within) as patience:
            await scene.ended.wait()
            steps, self.selector.counting = self.selector.steps, False
            wrong += [] if scene.outcomes is None else await untrue(scene, self.specs, scene.outcomes)
            left = tuple(sorted(remains(scene)))
            wrong += await (self._forgotten() if self.cell.forgotten else self._recovered())
        took = anyio.current_time() - start
        if patience.cancelled_caught:
            return Found(True, (*wrong, f"it did not end within {took:.0f} s"))
        wrong += [
            f"{what} was taken for garbage, and its run lives" for what in scene.collected if self.cell.collections
        ]
        outcomes = [*(scene.outcomes or ()), *((self.other and self.other.outcomes) or ())]
        unbuilt = [outcome for outcome in outcomes if not isinstance(outcome, Built)]
        if self.cell.passing:
            wrong += [f"passing trouble cost {one.build}: {getattr(one, 'error', 'cancelled')}" for one in unbuilt]
        if self.cell.passing or self.cell.calm:
            wrong += [
                f"nothing that lasts went wrong, and {each.what} is left" for one in outcomes for each in one.residues
            ]
        requests = tuple((str(entry["method"]), str(entry["path"])) for entry in scene.application.audit)
        return Found(
            self._fired(), tuple(wrong), len(unbuilt), took, steps, requests, left, tuple(sorted(remains(scene)))
        )

    async def _forgotten(self) -> list[str]:
        """Collect garbage when the leases have run out; what must hold then and does not."""
        scene, wrong = self.scene, list[str]()
        self.struck = self._clear(len(self.cell.faults))
        await anyio.sleep(TERM + 1800)
        if self.cell.recovering:
            for fault in self.cell.recovering:
                scene.application.faults.add(fault)
            await collect(scene, elsewhere=False)
            self.struck_again = self._clear(len(self.cell.recovering))
            wrong += [f"{what} is told as removed, and is there" for what in scene.collected if standing(scene, what)]
        await collect(scene, elsewhere=False)
        return [*wrong, *harmless(scene, self.specs, self.before)]

    async def _recovered(self) -> list[str]:
        """Recover, twice if something goes wrong the first time; what must hold in the end and does not."""
        scene, cell = self.scene, self.cell
        for at, what in cell.makings:
            if at == DEAD:
                await make(scene, self.specs[0], at, what)
        gone = {id_ for id_ in scene.theirs if not standing(scene, id_)}
        to_come = [] if scene.life.alive else await finishable(scene)
        self.struck = self._clear(len(cell.faults))
        wrong = []
        if cell.recovering:
            for fault in cell.recovering:
                scene.application.faults.add(fault)
            first = await scene.recovered(self.alive)
            wrong += [
                f"passing trouble kept recovery from {what}" for one in first for what in one.left if cell.passing
            ]
            self.struck_again = self._clear(len(cell.recovering))
        recovered = await scene.recovered(self.alive)
        if self.other is not None:
            await self.others_end.wait()
            recovered += await scene.recovered(self.alive)
            wrong += [*self.others_wrong, *await wrongly_made(self.other, self.others_specs)]
        wrong += harmless(scene, [*self.specs, *self.others_specs], self.before)
        wrong += await unfinished(scene, self.specs, recovered, set(scene.theirs) if cell.recovering else gone)
        unmade = [id_.name for id_ in to_come if scene.resource(id_) is None and self._must_be_finished()]
        return wrong + [f"{name} could have been finished, and is not there" for name in unmade]

    def _must_be_finished(self) -> bool:
        """Whether nothing went wrong by which an image may be lost that only had to be published."""
        return not self.cell.makings and not any(map(_final, self.cell.recovering))

    def _clear(self, faults: int) -> int:
        """Let nothing go wrong any more; says how often the first so many faults struck."""
        struck = sum(armed.fired for armed in self.scene.application.faults.armed[:faults])
        self.scene.application.faults.clear()
        return struck

    def _fired(self) -> bool:
        cell, scene = self.cell, self.scene
        struck = self.struck_again if cell.recovering else self.struck
        if (cell.faults or cell.recovering) and not (struck and scene.fired()):
            return False
        if (cell.makings and not scene.made) or (cell.killed and scene.life.alive):
            return False
        return self.signals.came >= bool(cell.cancelled)
