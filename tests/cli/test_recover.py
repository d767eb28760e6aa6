"""What a recovery tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from gilder.cli.places import Places
from gilder.cli.recover import _recover
from gilder.model.errors import Refused, UserError
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


async def test_a_run_is_meant_as_by_the_commands_that_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the whole id was taken, and how to list them was told without the journal."""
    places = Places(tmp_path / "its journal", "local")
    async with opened(places.journal) as book:
        for run in ("20260101-aa", "20260102-bb"):
            await book.run_started(run, str(VM), "")
            await book.run_finished(run, "done")
    assert await _recover("last", places, None) == await _recover("20260101", places, None) == 0
    assert capsys.readouterr().out == "run 20260102-bb left nothing\nrun 20260101-aa left nothing\n"
    with pytest.raises(UserError, match="2 runs begin"):
        await _recover("2026", places, None)
    with pytest.raises(UserError, match='there is no run "x"') as caught:
        await _recover("x", places, None)
    assert caught.value.hint == f"list them with: gilder runs --journal '{tmp_path}/its journal'"
