"""The writer's task: alive until the last release has been served, whatever is cancelled around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus

from gilder.slots.writer import SlotWriter


@asynccontextmanager
async def served(writer: SlotWriter) -> AsyncIterator[SlotWriter]:
    """Have the writer's task running while inside.

    It is shielded: builds that are being cancelled still need it to detach their disks.
    """

    async def run(*, task_status: TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope(shield=True) as scope:
            task_status.started(scope)
            await writer.run()

    async with anyio.create_task_group() as group:
        scope = await group.start(run)
        try:
            yield writer
        finally:
            scope.cancel()
