"""The writer's task: alive until the last release has been served, whatever is cancelled around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gilder.runtime.attended import attended
from gilder.slots.writer import SlotWriter


@asynccontextmanager
async def served(writer: SlotWriter) -> AsyncIterator[SlotWriter]:
    """Have the writer's task running while inside.

    It is shielded: builds that are being cancelled still need it to detach their disks.
    """
    async with attended(writer.run, "gilder.slots.writer"):
        yield writer
