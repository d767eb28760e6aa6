"""Cancellation and crashes: a signal, or `kill -9`, at every step of the event loop, in virtual time."""

from __future__ import annotations

from random import Random

from tests.sweeps.cells import Cell, examined
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.spread import tallied

ONE = ("image",)
FOUR = ("image", "written back", "both", "with data")
POINTS_OF_FOUR = 2_000
SAMPLE = 25


def _steps(scenarios: tuple[str, ...], seed: int | None = None) -> int:
    """How many steps the event loop takes to build these when nothing goes wrong."""
    found = examined(Cell("calm", scenarios, seed=seed))
    if found.violations:
        raise AssertionError(f"violations without a fault: {found.violations}")
    return found.steps


def cancelled_cells(seed: int) -> list[Cell]:
    """A signal at every step of one image of each kind; at 2,000 points of four, half of them with a second signal later."""
    found = [
        Cell(f"signal, {name}", (name,), cancelled=(step,))
        for name in ("image", "written back", "version")
        for step in range(1, _steps((name,)) + 1)
    ]
    random = Random(seed)
    for number in range(POINTS_OF_FOUR):
        first = random.randint(1, _FOUR_STEPS)
        second = (first + random.randint(1, 80),) if number % 2 else ()
        draws = random.randrange(2**31)
        found.append(Cell("signals, four builds", FOUR, cancelled=(first, *second), seed=draws))
    return found


def killed_cells(seed: int) -> list[Cell]:
    """A kill at every step of one image of each kind; at 2,000 points of four. Then recovery."""
    found = [
        Cell(f"kill, {name}", (name,), killed=step)
        for name in ("image", "written back", "version", "image fails")
        for step in range(1, _steps((name,)) + 1)
    ]
    random = Random(seed)
    for _ in range(POINTS_OF_FOUR):
        draws = random.randrange(2**31)
        found.append(Cell("kill, four builds", FOUR, killed=random.randint(1, _FOUR_STEPS), seed=draws))
    return found


_FOUR_STEPS = 1_500
"""About as many steps as four builds take; a point beyond the end of a run does not fire, and does not count."""


def cancellation(effort: Effort) -> Tally:
    """Signals at every step, or at a sample of them."""
    cells = cancelled_cells(effort.seed)
    return tallied(cells if effort.everything else Random(effort.seed).sample(cells, SAMPLE), effort)


def crash(effort: Effort) -> Tally:
    """Kills at every step, or at a sample of them."""
    cells = killed_cells(effort.seed)
    return tallied(cells if effort.everything else Random(effort.seed).sample(cells, SAMPLE), effort)
