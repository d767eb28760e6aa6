"""A sample of the host sweep; `python -m tests.sweeps --all` has it whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sweeps import straits
from tests.sweeps.host import sweep

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.timeout(240)
def test_whatever_program_fails_nothing_is_left_and_the_truth_is_told(tmp_path: Path) -> None:
    tally = sweep(tmp_path, everything=False, seed=3, sample=3)
    assert tally.violations == []
    assert tally.total == 3


@pytest.mark.timeout(240)
def test_in_straits_too(tmp_path: Path) -> None:
    # Both meddle with a sandbox, which they find by how gilder calls its first process.
    tally = straits.sweep(tmp_path, everything=False, seed=39, sample=2)
    assert tally.violations == []
    assert tally.total == 2
