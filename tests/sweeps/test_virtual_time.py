"""The quick part of every sweep in virtual time; `python -m tests.sweeps --all` has every cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sweeps import mutations
from tests.sweeps.__main__ import SWEEPS
from tests.sweeps.cells import Cell, examined
from tests.sweeps.cloud import BATCH
from tests.sweeps.frame import Effort, Sweep
from tests.sweeps.reference import modelled

from localarm.faults import Fault

SEED = 7
VIRTUAL = [sweep for sweep in SWEEPS if not sweep.root and sweep.run is not mutations.sweep]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("sweep", VIRTUAL, ids=lambda sweep: sweep.name)
def test_a_sweep_shows_no_violation(tmp_path: Path, sweep: Sweep) -> None:
    tally = sweep.run(Effort(tmp_path, SEED))
    assert tally.violations == []
    assert tally.total >= 8


def test_a_kill_that_never_comes_does_not_count() -> None:
    assert not examined(Cell("kill", ("image",), killed=1_000_000)).fired


def test_every_disabled_safeguard_shows(tmp_path: Path) -> None:
    virtual = [safeguard for safeguard in mutations.SAFEGUARDS if not safeguard.root]
    tally = mutations.sweep(Effort(tmp_path, SEED), virtual)
    assert tally.violations == []
    assert tally.cells.keys() == {safeguard.name for safeguard in virtual}


def test_the_model_of_the_reference_leaves_nothing_without_a_fault_and_something_with_one() -> None:
    assert modelled(Cell("calm", ("image",))).left == ()
    lost = Cell("lost", ("image",), (Fault("lose", "POST", BATCH),))
    assert modelled(lost).left
    assert examined(lost).left_in_the_end == ()
