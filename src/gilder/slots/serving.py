"""The writer's task: alive until the last release has been served, whatever is cancelled around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from gilder.slots.writer import SlotWriter


@asynccontextmanager
async def served(writer: SlotWriter) -> AsyncIterator[SlotWriter]:
    """Have the writer's task running while inside.

    It is shielded: builds that are being cancelled still need it to detach their disks.
    """

    scope = anyio.CancelScope(shield=True)

    async def run() -> None:
        with scope:
            await writer.run()

    async with anyio.create_task_group() as group:
        # Cancelled in the same scope that a cancellation leaves by, however early that is: a shielded task that
        # nobody cancels would be waited for for ever.
        try:
            group.start_soon(run, name="gilder.slots.writer")
            yield writer
        finally:
            scope.cancel()
