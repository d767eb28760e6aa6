"""Lets time pass for a world when no request does."""

from __future__ import annotations

import anyio

from localarm.world import World


class Ticker:
    """Does what is due, in real or virtual time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stirred = anyio.Event()

    def stir(self) -> None:
        """Something changed: look again when the next step is due."""
        self._stirred.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            due = self._world.next_due()
            wait = None if due is None else max(0.0, due - self._world.clock())
            with anyio.move_on_after(wait):
                await self._stirred.wait()
            if self._stirred.is_set():
                self._stirred = anyio.Event()
            self._world.advance()
