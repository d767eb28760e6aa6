"""One cell: a run in which something goes wrong at one place, then recovery, then the invariants."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
from tests.sweeps.invariants import Strangers, broken, remains, strangers, untrue
from tests.sweeps.scenarios import SCENARIOS, widest
from tests.sweeps.scene import CachingPlugs, Scene, staged
from tests.virtual.loop import Jumping, in_virtual_time

from gilder.engine import Stopping
from gilder.model.outcomes import Built
from gilder.model.spec import BuildSpec
from localarm import mischief
from localarm.faults import Fault

BOUND = 3 * 3600.0
"""Seconds, of virtual time, within which a run with a few faults and its recovery end. A replication takes ten minutes."""

REAL_BOUND = 120.0
"""Seconds of real time for one cell: more is a loop that spins without time passing."""

_SPINS = 50_000
"""Steps of the loop in a row that may take no time."""

SLOTS = 4
"""Data disks that the VM takes, one of which is a stranger's: eight builds have to share three LUNs."""


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
    """Whether what goes wrong passes: then it may cost time, and no build."""

    def __str__(self) -> str:
        shown = [f"{len(self.scenarios)} × {'/'.join(sorted(set(self.scenarios)))}"]
        shown += [_shown(fault) for fault in self.faults]
        shown += [f"stranger at {at:.1f} s: {_shown(fault)}" for at, fault in self.moves]
        shown += [f"signals at step {', '.join(map(str, self.cancelled))}"] if self.cancelled else []
        shown += [f"killed at step {self.killed}"] if self.killed else []
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
        specs = await furnished(scene, cell)
        before = strangers(scene)
        standing = SCENARIOS[cell.scenarios[0]].standing if len(set(cell.scenarios)) == 1 else ()
        scene.strike(*cell.faults, *standing)
        async with _living(scene, cell, specs, selector) as signals:
            return await _judged(scene, cell, specs, folder, selector, signals, before)


async def _judged(
    scene: Scene,
    cell: Cell,
    specs: list[BuildSpec],
    folder: Path,
    selector: Stepping,
    signals: _Signals,
    before: Strangers,
) -> Found:
    """Wait for the end of the process, look, recover, look again."""
    start = anyio.current_time()
    with anyio.move_on_after(cell.within) as patience:
        await scene.ended.wait()
        steps, selector.counting = selector.steps, False
        struck = sum(armed.fired for armed in scene.application.faults.armed[: len(cell.faults)])
        wrong = [] if scene.outcomes is None else await untrue(scene, specs, scene.outcomes)
        left = tuple(sorted(remains(scene)))
        scene.application.faults.clear()
        recovered = await scene.recovered(folder / "alive")
        wrong += await broken(scene, specs, before, recovered)
    took = anyio.current_time() - start
    if patience.cancelled_caught:
        return Found(True, (f"it did not end within {took:.0f} s",))
    fired = _fired(cell, scene, struck, signals.came)
    unbuilt = [outcome for outcome in scene.outcomes or () if not isinstance(outcome, Built)]
    if cell.passing:
        wrong += [
            f"passing trouble cost {outcome.build}: {getattr(outcome, 'error', 'cancelled')}" for outcome in unbuilt
        ]
    requests = tuple((str(entry["method"]), str(entry["path"])) for entry in scene.application.audit)
    return Found(fired, tuple(wrong), len(unbuilt), took, steps, requests, left, tuple(sorted(remains(scene))))


async def furnished(scene: Scene, cell: Cell) -> list[BuildSpec]:
    """Put there what the builds need, at once and without the waits of a run."""
    names = set(cell.scenarios)
    lasts, scene.world.lasts = scene.world.lasts, lambda kind: 0.0
    rng, scene.life.rng = scene.life.rng, None
    await widest(names)(scene)
    scene.world.lasts, scene.life.rng = lasts, rng
    return [SCENARIOS[name].spec(f"image{number}", number) for number, name in enumerate(cell.scenarios)]


def _fired(cell: Cell, scene: Scene, struck: int, signals: int) -> bool:
    if cell.faults and not (struck and scene.fired()):
        return False
    return signals >= bool(cell.cancelled) and (not cell.killed or not scene.life.alive)


@asynccontextmanager
async def _living(scene: Scene, cell: Cell, specs: list[BuildSpec], selector: Stepping) -> AsyncIterator[_Signals]:
    """Have the process, the strangers and the signals of a cell while inside."""
    soon = asyncio.get_running_loop().call_soon
    signals = _Signals()
    selector.at = {step: lambda: soon(signals.signal) for step in cell.cancelled}
    if cell.killed:
        selector.at[cell.killed] = lambda: soon(scene.kill)
    async with anyio.create_task_group() as group:
        for at, fault in cell.moves:
            group.start_soon(_move, scene, at, fault)
        selector.counting = True
        group.start_soon(scene.live, specs, signals.stopping)
        yield signals
        selector.counting = False
        group.cancel_scope.cancel()


async def _move(scene: Scene, at: float, fault: Fault) -> None:
    await anyio.sleep(at)
    mischief.strangers(scene.world, fault)
