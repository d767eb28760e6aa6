"""Deleting what may still be being created, changed or deleted: until that has ended, the service refuses to delete it."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import anyio

from gilder.azure.arm import PASSING, Arm
from gilder.azure.operations import Usual, looks
from gilder.model.errors import CloudError, Conflict, NotFound, OperationFailed, Untold
from gilder.model.ids import ArmId

T = TypeVar("T")

_UNSETTLED = ("Creating", "Updating", "Deleting")
"""Provisioning states in which a deletion is refused (409 Conflict)."""

_WORDS = {"disks": "disk", "snapshots": "snapshot", "images": "image", "versions": "image version"}

OTHER = "something else"
"""The source of an image (version) that is made neither of a snapshot nor of anything else that has an id."""

MAY_SUCCEED_AGAIN = {*PASSING, "OperationPreempted"}
"""Codes of a failed operation after which the same request may succeed (Azure calls the first of them retryable itself)."""

LOOK_AGAIN = (0.5, 1.0, 2.0)
"""Seconds between looks for what may be there although a look does not show it yet."""

_TRIES = 5
"""How often a deletion is sent that meets another change."""


FOREIGN = "somebody else's"
"""What a look at a resource says instead of its provisioning state when one is there, and not the one that is looked for."""


@dataclass(frozen=True, slots=True)
class Product:
    """An image (version) as it is.

    Attributes:
        state: its provisioning state.
        source: what its OS disk is made of: the id of a snapshot, of a disk, of another image, …; `OTHER` for what has no
            id; "" only while the service shows no source at all.
        published: when it was published, "" where the service does not tell (it does for image versions).
    """

    state: str
    source: str
    published: str = ""

    def of(self, snapshot: ArmId) -> bool:
        """Whether it is, or for all that is known may be, made of this snapshot."""
        return self.source.lower() in ("", str(snapshot).lower())

    @property
    def mark(self) -> str:
        """By what it is known again, as far as it can be."""
        return f"{self.source} {self.published}".lower()

    @property
    def settled(self) -> bool:
        """Whether the cloud works on it no more."""
        return self.state not in (*_UNSETTLED, "Migrating")


Which = Callable[[Product], bool]
"""Whether an image (version) is the one that is meant."""


def anyone(product: Product) -> bool:
    """Whichever it is."""
    return True


async def settled(state: Callable[[], Awaitable[str]], usual: Usual) -> str:
    """Wait until nothing changes a resource any more; its state then.

    `state` reads its provisioning state, "" for none and `FOREIGN` for another one; `usual` is how long what may be under
    way takes.
    """
    for wait in looks(usual):
        now = await state()
        if now not in _UNSETTLED:
            return now
        await anyio.sleep(wait)
    raise AssertionError("looks never end")


class Removal(Enum):
    """What became of a resource that was to be deleted."""

    DONE = auto()
    """It was deleted; or, where nobody looked, it may not have been there."""
    ABSENT = auto()
    """It was not there."""
    FOREIGN = auto()
    """One is there that is not meant, and stays."""


async def removed(
    arm: Arm,
    id_: ArmId,
    begin: Callable[..., Awaitable[Any]],
    state: Callable[[], Awaitable[str]],
    usual: Usual,
    *,
    lasts: Usual = Usual.DELETE,
    ours_by_name: bool = False,
) -> Removal:
    """Delete a resource if it is there and is the one that is meant, once nothing else changes it. Raises CloudError.

    `begin` is the SDK's call, `state` and `usual` are as for `settled`; `lasts` is how long the deletion takes.

    A change that the state did not show, such as a deletion that another process began a moment ago, refuses this one (409)
    and is waited for as well. So is a deletion of which the service refuses to tell: the next one finds nothing, or meets it.

    A look that shows nothing may be older than the creation. What is `ours_by_name` is deleted without a look, which does
    nothing when there is nothing (204); with other names it is looked for again, lest somebody else's be deleted.
    """
    doing = f"deleting the {_WORDS.get(id_.types[-1].lower(), 'resource')} {id_.name}"
    for tries in itertools.count(1):
        if not ours_by_name and (seen := await surely(state, usual)) in ("", FOREIGN):
            # What was there before the first try is gone by it.
            return Removal.FOREIGN if seen else Removal.ABSENT if tries == 1 else Removal.DONE
        if ours_by_name and tries > 1:
            await settled(state, usual)
        try:
            operation = await arm.change(doing, begin, id_.resource_group, *id_.names)
            await arm.finished(id_.subscription, operation, looks(lasts))
        except CloudError as error:
            # Azure says 204 of what is not there, and 404 also of what it does not know of yet.
            if isinstance(error, NotFound) and await surely(state, usual) in ("", FOREIGN):
                return Removal.DONE
            if tries >= _TRIES or not _may_pass(error):
                raise
        else:
            return Removal.DONE
        await anyio.sleep(0.5 * 2.0**tries)
    raise AssertionError("the loop has no end")


def _may_pass(error: CloudError) -> bool:
    if isinstance(error, OperationFailed):
        return error.code in MAY_SUCCEED_AGAIN
    return isinstance(error, NotFound | Conflict | Untold)


async def sought(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What a look shows, looked for more than once before it counts as not there. Raises what a look raises."""
    for pause in LOOK_AGAIN:
        if (found := await look()) is not None:
            return found
        await anyio.sleep(pause)
    return await look()


async def surely(state: Callable[[], Awaitable[str]], usual: Usual) -> str:
    """The state of a resource once it is settled, looked for more than once before it counts as not there."""
    seen = ""
    for pause in (*LOOK_AGAIN, None):
        seen = await settled(state, usual)
        if seen not in ("", FOREIGN) or pause is None:
            break
        await anyio.sleep(pause)
    return seen
