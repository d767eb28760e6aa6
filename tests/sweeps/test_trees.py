"""The sweeps' own test, as far as it needs root: hostile images against gilder without a safeguard."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sweeps import mutations
from tests.sweeps.frame import Effort

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_every_disabled_safeguard_shows(tmp_path: Path) -> None:
    real = [safeguard for safeguard in mutations.SAFEGUARDS if safeguard.root]
    tally = mutations.sweep(Effort(tmp_path, 7), real)
    assert tally.violations == []
    assert tally.cells.keys() == {safeguard.name for safeguard in real}
