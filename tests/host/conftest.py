"""Disks and sandboxes for the tests of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.host.disks import busybox_tree, disk_image, shown

from gilder.host.devices import BlockDevice
from gilder.host.guest import Guest
from gilder.host.mounts import VOLUMES, mounted
from gilder.host.sandbox import Sandbox, sandbox
from gilder.runtime.release import MemoryLedger


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disk_image(tmp_path_factory.mktemp("image") / "ext4.raw", tree)


@pytest.fixture
def disk(image: Path) -> Iterator[BlockDevice]:
    """A disk with a busybox system; at the end nothing may hold it."""
    with shown(image) as device:
        yield device


@pytest.fixture
def ledger() -> Iterator[MemoryLedger]:
    """A ledger; at the end it may neither hold nor have left anything."""
    ledger = MemoryLedger()
    yield ledger
    assert ledger.held == ()
    assert ledger.residues == ()


@pytest.fixture
async def box(ledger: MemoryLedger, request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    async with sandbox(request.node.name, ledger) as box:
        yield box


@pytest.fixture
async def guest(box: Sandbox, disk: BlockDevice, ledger: MemoryLedger) -> AsyncIterator[Guest]:
    """The busybox system, mounted, without extra mounts."""
    async with mounted(box, f"{disk.path}p1", VOLUMES / disk.name, ledger=ledger) as root:
        yield Guest(box, root)
