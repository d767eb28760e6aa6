"""Waiting for a resource that is being created or changed: until that has ended, the service refuses to delete it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from gilder.azure.operations import Usual, looks

_UNSETTLED = ("Creating", "Updating")
"""Provisioning states in which a deletion is refused (409 Conflict)."""


async def settled(state: Callable[[], Awaitable[str]], usual: Usual) -> bool:
    """Wait until nothing changes a resource any more; False when there is no such resource.

    `state` reads its provisioning state, "" for none; `usual` is how long what may be under way takes.
    """
    for wait in looks(usual):
        now = await state()
        if now not in _UNSETTLED:
            return now != ""
        await anyio.sleep(wait)
    return True
