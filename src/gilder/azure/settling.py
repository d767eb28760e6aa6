"""Waiting for a resource that is being created or changed: until that has ended, the service refuses to delete it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from gilder.azure.operations import Usual, looks
from gilder.model.ids import ArmId

_UNSETTLED = ("Creating", "Updating")
"""Provisioning states in which a deletion is refused (409 Conflict)."""


@dataclass(frozen=True, slots=True)
class Product:
    """An image (version) as it is: its provisioning state, and the id of what its OS disk is made of ("": unknown)."""

    state: str
    source: str

    def of(self, snapshot: ArmId) -> bool:
        """Whether it is, or for all that is known may be, made of this snapshot."""
        return self.source.lower() in ("", str(snapshot).lower())

    @property
    def settled(self) -> bool:
        """Whether the cloud works on it no more."""
        return self.state not in (*_UNSETTLED, "Migrating", "Deleting")


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
