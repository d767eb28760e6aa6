"""What a recovery tells, and what it writes down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine
from gilder.cli import earlier, errand
from gilder.cli.earlier import earlier_runs_settled
from gilder.cli.errand import Errand
from gilder.cli.recover import _recover
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.spec import Auth
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import Journal, RunRecord, opened
from gilder.runtime.living import beside
from gilder.runtime.redaction import Redactor

COMPUTE = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e/resourceGroups/group/providers/Microsoft.Compute"
VM = ArmId.parse(f"{COMPUTE}/virtualMachines/here")
SECRET = "Tr0ub4dor-and-3"


@pytest.fixture
async def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with a killed run whose disk cannot be removed; the reason has a secret in it."""
    path = tmp_path / "journal.sqlite"
    async with opened(path) as book:
        await book.run_started("dead", str(VM), "")
        await book.intend("dead", "web", "disk", "d", f"{COMPUTE}/disks/d", "az disk delete")

    async def left(runs: list[RunRecord], book: Journal, here: Errand) -> bool:
        (disk,) = await book.residues()
        await book.left(disk.id, f"the service says {SECRET}")
        return False

    monkeypatch.setattr(earlier, "recovered", left)
    return path


def on_an_errand() -> Errand:
    cloud = Cloud("local", "https://arm.example", "https://login.example", "https://arm.example/")
    redactor, _ = Redactor.of({"ARM_CLIENT_SECRET": SECRET})
    return Errand(cloud, Auth(), Machine(VM, "westeurope", "", ""), redactor)


async def test_a_run_that_lives_is_named_as_such(tmp_path: Path) -> None:
    """It holds things, so "left nothing" and exit 0 were no answer."""
    path = tmp_path / "journal.sqlite"
    async with opened(path) as book:
        await book.run_started("alive", str(VM), "")
        await book.run_started("ended", str(VM), "")
        await book.run_finished("ended", "done")
    async with file_locked(beside(path) / "alive"):
        with pytest.raises(Refused, match="run alive still lives"):
            await _recover("alive", path, None)
        assert await _recover("ended", path, None) == 0


async def test_no_secret_goes_into_the_journal(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why something is left was written down by `gilder recover` as the service said it."""

    @asynccontextmanager
    async def pretended(lease: object) -> AsyncIterator[Errand]:
        yield on_an_errand()

    monkeypatch.setattr(errand, "errand", pretended)
    assert await _recover(None, journal, None) == 1
    async with opened(journal) as book:
        (disk,) = await book.residues()
    assert disk.why.startswith("the service says ")
    assert SECRET not in disk.why


async def test_who_builds_nothing_because_something_is_left_says_so(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gilder build --recover` ended with status 1, and not a word about the builds."""
    async with opened(journal) as book:
        assert not await earlier_runs_settled(book, on_an_errand(), first=True)
    assert "nothing is built, for something is left of earlier runs" in capsys.readouterr().err
