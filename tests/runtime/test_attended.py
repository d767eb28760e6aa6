"""A task that serves a block to its end."""

from __future__ import annotations

import anyio
import pytest

from gilder.runtime.attended import attended

pytestmark = pytest.mark.anyio


async def test_it_serves_while_the_block_is_being_cancelled() -> None:
    served = anyio.Event()
    asked = anyio.Event()

    async def serve() -> None:
        await asked.wait()
        served.set()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with attended(serve, "serving"):
            try:
                scope.cancel()
                await anyio.sleep(10)
            finally:
                with anyio.fail_after(5, shield=True):
                    asked.set()
                    await served.wait()
    assert served.is_set()


async def test_a_block_cancelled_before_it_begins_ends() -> None:
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        scope.cancel()
        async with attended(anyio.sleep_forever, "serving"):
            await anyio.sleep(10)
    assert scope.cancelled_caught
