"""Mounting a disk's root filesystem and what belongs into it; strictly unmounted when the block ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gilder.host.sandbox import Sandbox
from gilder.model.spec import ChrootMount
from gilder.runtime.release import Ledger

VOLUMES = Path("/mnt/packer-amazon-chroot-volumes")


@asynccontextmanager
async def mounted(
    box: Sandbox,
    device_path: str,
    at: Path,
    options: Sequence[str] = (),
    *,
    ledger: Ledger,
    manual: str | None = None,
    within: float = 600.0,
) -> AsyncIterator[Path]:
    """Hold `device_path` (a partition or logical volume) mounted at `at` inside the sandbox; yields `at`.

    `manual` is the rendered `manual_mount_command`; the mount path is appended and it is run by /bin/sh. When the block
    ends: the sandbox's processes are ended, everything at and beneath `at` is unmounted, never lazily. Raises Busy (as
    the cause of ReleaseFailed) when something foreign holds it.
    """
    raise NotImplementedError
    yield at


@asynccontextmanager
async def extra_mounted(
    box: Sandbox,
    root: Path,
    mounts: Sequence[ChrootMount],
    ledger: Ledger,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[None]:
    """Hold the extra mounts (`/proc`, `/sys`, `/dev` …) inside `root`; targets are resolved beneath it."""
    raise NotImplementedError
    yield
