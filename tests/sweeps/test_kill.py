"""A sample of the kill sweep; `python -m tests.sweeps --all` has it whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sweeps.kill import sweep

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.timeout(240)
def test_killed_anywhere_nothing_is_lost_or_left(tmp_path: Path) -> None:
    tally = sweep(tmp_path, everything=False, seed=4, sample=5)
    assert tally.violations == []
    assert tally.total == 5
