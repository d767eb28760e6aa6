"""Deleting what may still be being created, changed or deleted: until that has ended, the service refuses to delete it."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio

from gilder.azure.arm import Arm
from gilder.azure.operations import Usual, looks
from gilder.model.errors import Conflict, NotFound
from gilder.model.ids import ArmId

_UNSETTLED = ("Creating", "Updating", "Deleting")
"""Provisioning states in which a deletion is refused (409 Conflict)."""

_WORDS = {"disks": "disk", "snapshots": "snapshot", "images": "image", "versions": "image version"}

_LOOK_AGAIN = (0.5, 1.0, 2.0)
"""Seconds between looks for what may be there although a look does not show it yet."""

_TRIES = 5
"""How often a deletion is sent that meets another change."""


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
        return self.state not in (*_UNSETTLED, "Migrating")


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


async def removed(
    arm: Arm,
    id_: ArmId,
    begin: Callable[..., Awaitable[Any]],
    state: Callable[[], Awaitable[str]],
    usual: Usual,
    *,
    ours_by_name: bool = False,
) -> None:
    """Delete a resource if it is there, once nothing else changes it; raises CloudError.

    `begin` is the SDK's call, `state` and `usual` are as for `settled`. A change that the state did not show, such as a
    deletion that another process began a moment ago, refuses this one (409) and is waited for as well.

    A look that shows nothing may be older than the creation. What is `ours_by_name` is deleted without a look, which does
    nothing when there is nothing (204); with other names it is looked for again, lest somebody else's be deleted.
    """
    doing = f"deleting the {_WORDS.get(id_.types[-1].lower(), 'resource')} {id_.name}"
    for tries in itertools.count(1):
        if not ours_by_name and not await _surely_there(state, usual):
            return
        if ours_by_name and tries > 1:
            await settled(state, usual)
        try:
            operation = await arm.change(doing, begin, id_.resource_group, *id_.names)
            await arm.finished(id_.subscription, operation, looks(Usual.DELETE))
        except NotFound:
            return
        except Conflict:
            if tries >= _TRIES:
                raise
        else:
            return
        await anyio.sleep(0.5 * 2.0**tries)


async def _surely_there(state: Callable[[], Awaitable[str]], usual: Usual) -> bool:
    """Whether there is such a resource, looked for more than once."""
    for pause in (*_LOOK_AGAIN, None):
        if await settled(state, usual):
            return True
        if pause is not None:
            await anyio.sleep(pause)
    return False
