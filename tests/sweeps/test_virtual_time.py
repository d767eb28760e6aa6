"""A few cells of each sweep in virtual time; `python -m tests.sweeps` has more of them, and with --all every one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.sweeps import chance, cloud
from tests.sweeps.cells import Cell, examined
from tests.sweeps.frame import Effort
from tests.sweeps.spread import tallied

SEED = 7
DRAWN: dict[str, Callable[[], list[Cell]]] = {
    "cloud": lambda: Random(SEED).sample(cloud.cells(("image",), (1,)), 12),
    "cancellation": lambda: [Cell("signal", ("image",), cancelled=(step,)) for step in range(20, 320, 40)],
    "crash": lambda: [Cell("kill", ("image",), killed=step) for step in range(20, 320, 40)],
    "scheduling": lambda: [chance.scheduled(SEED)],
    "random": lambda: [chance.random_cell(seed) for seed in range(6)],
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_sample_shows_no_violation(tmp_path: Path, name: str) -> None:
    cells = DRAWN[name]()
    tally = tallied(cells, Effort(tmp_path, SEED))
    assert tally.violations == []
    assert tally.total >= len(cells) / 2


def test_a_kill_that_never_comes_does_not_count() -> None:
    assert not examined(Cell("kill", ("image",), killed=1_000_000)).fired
