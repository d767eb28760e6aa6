"""A task of this process that serves a block to its end, also while the block is being cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio


@asynccontextmanager
async def attended(serve: Callable[[], Awaitable[None]], name: str) -> AsyncIterator[None]:
    """Have `serve`, which runs for ever, running while inside.

    It is shielded, because clean-up inside may need it still, and ended when the block is left. Its scope is made first:
    a cancellation that came before the task had begun would find no scope to end, and wait for it for ever.
    """
    scope = anyio.CancelScope(shield=True)

    async def run() -> None:
        with scope:
            await serve()

    async with anyio.create_task_group() as group:
        try:
            group.start_soon(run, name=name)
            yield
        finally:
            scope.cancel()
