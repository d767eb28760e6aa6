"""A few cells of each sweep in virtual time; `python -m tests.sweeps` has more of them, and with --all every one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.sweeps import chance, cloud, mutations
from tests.sweeps.cells import Cell, examined
from tests.sweeps.cloud import BATCH
from tests.sweeps.frame import Effort
from tests.sweeps.reference import modelled
from tests.sweeps.spread import tallied

from localarm.faults import Fault

SEED = 7
DRAWN: dict[str, Callable[[], list[Cell]]] = {
    "cloud": lambda: Random(SEED).sample(cloud.cells(("image",), (1,)), 12),
    "cancellation": lambda: [Cell("signal", ("image",), cancelled=(step,)) for step in range(20, 320, 40)],
    "crash": lambda: [Cell("kill", ("image",), killed=step) for step in range(20, 320, 40)],
    "scheduling": lambda: [chance.scheduled(SEED)],
    "random": lambda: [chance.random_cell(seed) for seed in range(12)],
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_sample_shows_no_violation(tmp_path: Path, name: str) -> None:
    cells = DRAWN[name]()
    tally = tallied(cells, Effort(tmp_path, SEED))
    assert tally.violations == []
    assert tally.total >= len(cells) / 2


def test_a_kill_that_never_comes_does_not_count() -> None:
    assert not examined(Cell("kill", ("image",), killed=1_000_000)).fired


@pytest.mark.root
def test_every_disabled_safeguard_shows(tmp_path: Path) -> None:
    tally = mutations.sweep(Effort(tmp_path, SEED))
    assert tally.violations == []
    assert tally.cells.keys() == {safeguard.name for safeguard in mutations.SAFEGUARDS}


def test_the_model_of_the_reference_leaves_nothing_without_a_fault_and_something_with_one() -> None:
    assert modelled(Cell("calm", ("image",))).left == ()
    lost = Cell("lost", ("image",), (Fault("lose", "POST", BATCH),))
    assert modelled(lost).left
    assert examined(lost).left_in_the_end == ()
