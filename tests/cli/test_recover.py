"""What a recovery tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from gilder.cli.places import Places
from gilder.cli.recover import _recover
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import opened
from gilder.runtime.living import beside

COMPUTE = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/group/providers/Microsoft.Compute"
VM = ArmId.parse(f"{COMPUTE}/virtualMachines/here")


async def test_a_run_that_lives_is_named_as_such(tmp_path: Path) -> None:
    """It holds things, so "left nothing" and exit 0 were no answer."""
    path = tmp_path / "journal.sqlite"
    async with opened(path) as book:
        await book.run_started("alive", str(VM), "")
        await book.run_started("ended", str(VM), "")
        await book.run_finished("ended", "done")
    async with file_locked(beside(path) / "alive"):
        with pytest.raises(Refused, match="run alive still lives"):
            await _recover("alive", Places(path), None)
        assert await _recover("ended", Places(path), None) == 0
