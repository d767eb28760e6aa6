"""One cell: a run in which something goes wrong at one place, then recovery, then the invariants."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
from tests.sweeps.invariants import broken, strangers, untrue
from tests.sweeps.scenarios import SCENARIOS, widest
from tests.sweeps.scene import Scene, staged
from tests.virtual.loop import Jumping, in_virtual_time

from gilder.engine import Stopping
from gilder.model.outcomes import Built, Outcome
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
    within: float = BOUND

    def __str__(self) -> str:
        shown = [f"{len(self.scenarios)} × {'/'.join(sorted(set(self.scenarios)))}"]
        shown += [_shown(fault) for fault in self.faults]
        shown += [f"stranger at {at:.1f} s: {_shown(fault)}" for at, fault in self.moves]
        shown += [f"signals at step {', '.join(map(str, self.cancelled))}"] if self.cancelled else []
        shown += [f"killed at step {self.killed}"] if self.killed else []
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
    async with staged(folder, SLOTS, rng, **settings) as scene:
        specs = await _furnished(scene, cell)
        before = strangers(scene)
        standing = SCENARIOS[cell.scenarios[0]].standing if len(set(cell.scenarios)) == 1 else ()
        scene.strike(*cell.faults, *standing)
        start = anyio.current_time()
        outcomes, signals = await _lived(scene, cell, specs, selector)
        steps, selector.counting = selector.steps, False
        struck = sum(armed.fired for armed in scene.application.faults.armed[: len(cell.faults)])
        wrong = [] if outcomes is None else await untrue(scene, specs, outcomes)
        scene.application.faults.clear()
        with anyio.move_on_after(cell.within) as patience:
            recovered = await scene.recovered(folder / "alive")
            wrong += await broken(scene, specs, before, recovered)
        took = anyio.current_time() - start
        if patience.cancelled_caught or took > cell.within:
            wrong.append(f"it took {took:.0f} s")
        fired = _fired(cell, scene, struck, signals.came)
        failed = sum(not isinstance(outcome, Built) for outcome in outcomes or ())
        requests = tuple((str(entry["method"]), str(entry["path"])) for entry in scene.application.audit)
        return Found(fired, tuple(wrong), failed, took, steps, requests)


async def _furnished(scene: Scene, cell: Cell) -> list[BuildSpec]:
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


async def _lived(
    scene: Scene, cell: Cell, specs: list[BuildSpec], selector: Stepping
) -> tuple[list[Outcome] | None, _Signals]:
    soon = asyncio.get_running_loop().call_soon
    signals = _Signals()
    selector.at = {step: lambda: soon(signals.signal) for step in cell.cancelled}
    if cell.killed:
        selector.at[cell.killed] = lambda: soon(scene.kill)
    outcomes: list[Outcome] | None = None
    async with anyio.create_task_group() as group:
        for at, fault in cell.moves:
            group.start_soon(_move, scene, at, fault)
        selector.counting = True
        with anyio.move_on_after(cell.within):
            outcomes = await scene.lived(specs, signals.stopping)
        group.cancel_scope.cancel()
    return outcomes, signals


async def _move(scene: Scene, at: float, fault: Fault) -> None:
    await anyio.sleep(at)
    mischief.before(scene.world, fault)
