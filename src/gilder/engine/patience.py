"""How long recovery and garbage collection wait for the cloud: whoever runs them may be a timer that nobody watches."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from gilder.model.errors import Conflict

T = TypeVar("T")

PATIENCE = 6 * 3600.0
"""Seconds after which something that the cloud still works on is left to another recovery: twenty times what is usual."""


async def in_time(work: Awaitable[T]) -> T:
    """Do something that the cloud has to end; raises Conflict when it does not within `PATIENCE`."""
    with anyio.move_on_after(PATIENCE):
        return await work
    raise Conflict(f"the cloud did not end it within {PATIENCE / 3600:g} h; try again when it has")
