"""Garbage collection without a journal: what gilder's tags say that no run holds any more.

Nothing is deleted that is not wholly tagged as gilder's, whose lease still runs by the service's clock, or that a VM uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import anyio

from gilder.azure.arm import Arm
from gilder.azure.disks import delete_disk
from gilder.azure.labels import Labelled, labelled, read_labelled
from gilder.azure.settling import Removal, sought
from gilder.azure.snapshots import delete_snapshot
from gilder.build.leases import KEPT, LEASE, TERM
from gilder.engine.patience import in_time
from gilder.model.errors import GilderError, Refused
from gilder.model.ids import ArmId
from gilder.model.tags import BUILD, CREATED, HOST, RUN
from gilder.runtime.filelock import Turn
from gilder.slots.devices import SlotDevices
from gilder.slots.leftovers import detach_leftovers

GRACE = timedelta(minutes=15)
"""How long a lease must have run out: a renewal may be on its way."""

_AT_ONCE = 16
"""Deletions side by side."""


@dataclass(frozen=True, slots=True)
class Here:
    """This machine, as far as garbage collection must know it: `vm` is its id.

    `lives` says why a run counts as living, or is better recovered; "" when nothing is known of it.
    """

    vm: ArmId
    lives: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A resource with gilder's tags: whether it is garbage, and why or why not."""

    resource: Labelled
    garbage: bool
    why: str

    @property
    def kind(self) -> str:
        """What it is, in a word."""
        return "disk" if self.resource.id.is_type("disks") else "snapshot"


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did: what is gone, and what is left with the reason."""

    removed: tuple[ArmId, ...]
    left: tuple[tuple[ArmId, str], ...]


def judged(resource: Labelled, now: datetime, here: Here) -> Judged | None:
    """Whether a resource is garbage; None when it is not gilder's. Pure. `now` is the service's time."""
    tags = resource.tags
    if RUN not in tags:
        return None
    # This machine before the lease: of a run that died here, it is known that it does not live, and who can finish it.
    stays = (
        _tags_reason(resource) or here.lives(tags[RUN]) or _lease_reason(resource, now) or _use_reason(resource, here)
    )
    if stays:
        return Judged(resource, False, stays)
    ended = _age(now - (_moment(tags[LEASE]) or now))
    return Judged(resource, True, f"the lease of run {tags[RUN]} on {_host(tags[HOST])} ran out {ended} ago")


def _tags_reason(resource: Labelled) -> str:
    """Why its tags keep a resource whatever the time, "" if they do not."""
    tags = resource.tags
    if missing := [tag for tag in (RUN, BUILD, HOST, CREATED, LEASE) if not tags.get(tag)]:
        return f"its tags are not whole ({', '.join(missing)} missing): somebody changed them"
    if tags[LEASE] == KEPT:
        return "it was kept on purpose (skip_cleanup)"
    return f"its lease cannot be read: {tags[LEASE]}" if _moment(tags[LEASE]) is None else ""


def _lease_reason(resource: Labelled, now: datetime) -> str:
    """Why its lease keeps a resource, "" if it does not."""
    tags = resource.tags
    until = _moment(tags[LEASE])
    assert until is not None, "see _tags_reason"
    if until + GRACE > now:
        return f"run {tags[RUN]} on {_host(tags[HOST])} may live: its lease runs until {until.isoformat(sep=' ')}"
    # Whatever the tag says: a lease cannot have run out on what is younger than one.
    if resource.created is not None and resource.created + timedelta(seconds=TERM) > now:
        return "it is younger than a lease"
    return ""


def _use_reason(resource: Labelled, here: Here) -> str:
    """Why its use keeps a resource, "" if it does not; what is attached to this VM can be looked at and detached."""
    vm, this, host = resource.attached_to.lower(), str(here.vm).lower(), resource.tags[HOST]
    if not vm or (vm == this == host.lower()):
        return ""
    if vm != this:
        return f"it is attached to {resource.attached_to}: run gilder gc there"
    return f"it is attached to this VM, and was made for a run of {_host(host)}: detach it first, if nobody needs it"


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _host(tag: str) -> str:
    return tag.rsplit("/", 1)[-1]


def _age(since: timedelta) -> str:
    hours = since.total_seconds() / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


class Collector:
    """Finds garbage and removes it, from this VM."""

    def __init__(self, arm: Arm, here: Here, devices: SlotDevices, turn: Turn) -> None:
        self._arm = arm
        self._here = here
        self._devices = devices
        self._turn = turn
        self._removed: list[ArmId] = []
        self._left: list[tuple[ArmId, str]] = []

    async def found(self, subscription: str, groups: Sequence[str]) -> list[Judged]:
        """Everything with gilder's tags in these resource groups, judged; raises CloudError."""
        different = {group.lower(): group for group in groups}  # one that is named twice is one all the same
        resources = [one for group in different.values() for one in await labelled(self._arm, subscription, group)]
        now = self._now()
        return [one for resource in resources if (one := judged(resource, now, self._here)) is not None]

    async def collect(self, garbage: Sequence[Judged]) -> Collected:
        """Delete what is garbage, and still is when its turn comes."""
        self._removed, self._left = [], []
        limit = anyio.CapacityLimiter(_AT_ONCE)
        free = await self._detached([one.resource.id for one in garbage if one.garbage], limit)
        async with anyio.create_task_group() as group:
            for resource in free:
                group.start_soon(self._delete, resource, limit)
        return self.done

    @property
    def done(self) -> Collected:
        """What the collection has done so far: it may be stopped."""
        return Collected(tuple(self._removed), tuple(self._left))

    def _now(self) -> datetime:
        if not self._arm.clock.known:
            raise Refused(
                "the service does not tell its time, so no lease can be judged",
                hint="a proxy may take the Date header away: go around it",
            )
        return self._arm.clock.now()

    async def _still(self, resource: ArmId) -> Labelled | None:
        """A resource that is still there and still garbage: between the look and the deed its run may have come back."""
        try:
            # It was there a moment ago: one look that does not show it is no proof that it has gone.
            now = await sought(partial(read_labelled, self._arm, resource))
        except GilderError as error:  # it stays, and the others go
            self._left.append((resource, error.message))
            return None
        if now is None:
            self._removed.append(resource)
            return None
        verdict = judged(now, self._now(), self._here)
        if verdict is None or not verdict.garbage:
            self._left.append((resource, verdict.why if verdict else "its tags are gone"))
            return None
        return now

    async def _detached(self, resources: Sequence[ArmId], limit: anyio.CapacityLimiter) -> list[ArmId]:
        """Detach what this VM still lists; returns what is free. A device in use keeps its disk."""
        still: dict[ArmId, Labelled] = {}

        async def look(resource: ArmId) -> None:
            async with limit:
                if (now := await self._still(resource)) is not None:
                    still[resource] = now

        async with anyio.create_task_group() as group:
            for resource in resources:
                group.start_soon(look, resource)
        attached = {resource: now.tags for resource, now in still.items() if now.attached_to}
        refused: dict[ArmId, str] = {}
        if attached:
            try:
                done = await detach_leftovers(self._arm, self._here.vm, self._devices, attached, self._turn)
                refused = {disk: error.message for disk, error in done.refused.items()}
                refused |= dict.fromkeys(done.foreign, "its tags have changed")
            except GilderError as error:
                refused = dict.fromkeys(attached, error.message)
        self._left += refused.items()
        return [resource for resource in still if resource not in refused]

    async def _delete(self, resource: ArmId, limit: anyio.CapacityLimiter) -> None:
        async with limit:
            try:
                if (now := await self._still(resource)) is None:
                    return
                delete = delete_disk if resource.is_type("disks") else delete_snapshot
                if await in_time(delete(self._arm, resource, now.tags)) is Removal.FOREIGN:
                    self._left.append((resource, "its tags have changed"))
                    return
            except GilderError as error:
                if not await self._gone(resource):  # it may have gone although the answer was lost
                    self._left.append((resource, error.message))
                    return
            self._removed.append(resource)

    async def _gone(self, resource: ArmId) -> bool:
        try:
            return await read_labelled(self._arm, resource) is None
        except GilderError:
            return False
