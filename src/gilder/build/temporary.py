"""The temporary resources of a build, each held while inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import anyio

from gilder.azure.disks import DiskPlan, create_disk, delete_disk
from gilder.azure.operations import Operation
from gilder.azure.settling import Removal
from gilder.azure.snapshots import SnapshotPlan, delete_snapshot, take_snapshot
from gilder.build.leases import KEPT, LEASE
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import GilderError
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.runtime.release import Ledger, Release, releasing

_DELETING = 600.0
"""Seconds for a deletion and the tries it takes."""


@asynccontextmanager
async def created(site: Site, plan: DiskPlan, ledger: Ledger, story: Story, *, keep: bool) -> AsyncIterator[int]:
    """Have a disk while inside, and its size in bytes; with `keep` it stays (the option skip_cleanup)."""
    async with releasing(ledger, _deletion(site, plan, story, keep=keep)):
        with story.telling(Stage.CREATE_DISK, plan.id.name):
            size = await create_disk(site.arm, replace(plan, tags=_leased(site, plan, keep=keep)))
        yield size


@asynccontextmanager
async def created_beside(
    site: Site, plans: Sequence[DiskPlan], ledger: Ledger, story: Story, *, keep: bool
) -> AsyncIterator[None]:
    """Have data disks while inside: made side by side, never attached (nor does the reference builder attach them)."""
    async with AsyncExitStack() as held:
        for plan in plans:
            await held.enter_async_context(releasing(ledger, _deletion(site, plan, story, keep=keep)))
        if plans:
            with story.telling(Stage.CREATE_DISK, f"{len(plans)} data disks"):
                async with anyio.create_task_group() as group:
                    for plan in plans:
                        group.start_soon(create_disk, site.arm, replace(plan, tags=_leased(site, plan, keep=keep)))
        yield


def _deletion(site: Site, plan: DiskPlan, story: Story, *, keep: bool) -> Release:
    async def delete() -> None:
        await site.leases.ended(plan.id)
        if keep:
            story.say(f"the disk stays, as skip_cleanup asks: {plan.id}")
            return
        await site.writer.must_be_gone(plan.id)
        with story.telling(Stage.CLEAN_UP, f"deleting the disk {plan.id.name}"):
            if await delete_disk(site.arm, plan.id, _whose(site, plan)) is Removal.FOREIGN:
                story.say(f"the disk {plan.id} that is there was made by somebody else, and stays")

    # What shall stay must not be removed by a recovery either.
    handle = "" if keep else str(plan.id)
    return Release("disk", plan.id.name, f"az disk delete --ids {plan.id}", delete, _DELETING, handle)


def _whose(site: Site, plan: DiskPlan | SnapshotPlan) -> Mapping[str, str] | None:
    """By what a resource is known as this build's when it is to be deleted. None: its name says enough.

    A name that the user chose may be another's: taken after it was found free, or by a run on another machine.
    """
    return None if site.chose(plan.id) else plan.tags


def _leased(site: Site, plan: DiskPlan | SnapshotPlan, *, keep: bool) -> dict[str, str]:
    """The tags of a resource that is about to be created, with its lease: until then it is nobody's garbage."""
    return {**plan.tags, **({LEASE: KEPT} if keep else site.leases.begun(plan.id))}


class Snapshots:
    """The snapshots of a build's disks; comes only out of `snapshots_of`."""

    def __init__(self, site: Site, plans: Sequence[SnapshotPlan], ledger: Ledger, story: Story, *, keep: bool) -> None:
        self._site = site
        self._plans = plans
        self._ledger = ledger
        self._story = story
        self._keep = keep
        self._there: set[ArmId] = set()

    async def take(self, begun: Callable[[], None] = lambda: None) -> None:
        """Take them now; the disks must be unmounted and flushed.

        `begun` is called once Azure has accepted all of them: from then on the disks may be detached, but not deleted
        (docs/decisions/0009).
        """
        self._there.update(plan.id for plan in self._plans)
        names = ", ".join(plan.id.name for plan in self._plans)
        await self._story.step(Stage.SNAPSHOT, lambda: self._take_all(begun), names)

    async def _take_all(self, begun: Callable[[], None]) -> None:
        asked = {plan.id for plan in self._plans}

        async def take(plan: SnapshotPlan) -> None:
            async def accepted(operation: Operation | None = None) -> None:
                if plan.id in asked:
                    asked.remove(plan.id)
                    if not asked:
                        begun()

            tags = _leased(self._site, plan, keep=self._keep)
            await take_snapshot(self._site.arm, replace(plan, tags=tags), accepted)
            await accepted()  # of one that was there at once, or whose answer was lost, nothing was heard

        async with anyio.create_task_group() as group:
            for plan in self._plans:
                group.start_soon(take, plan)

    async def give_back_soon(self) -> None:
        """Delete them before the block ends, if that goes well; on leaving it is tried again, and told when it fails.

        Shielded like every release: a build that is stopped now has its image, and counts as built.
        """
        if self._keep:
            return
        with self._ledger.patience.bounded(_DELETING):
            async with anyio.create_task_group() as group:
                for plan in self._plans:
                    group.start_soon(self._try_to_delete, plan)

    async def _try_to_delete(self, plan: SnapshotPlan) -> None:
        with suppress(GilderError):
            await self._delete(plan)

    async def _delete(self, plan: SnapshotPlan) -> None:
        snapshot = plan.id
        await self._site.leases.ended(snapshot)
        if snapshot not in self._there:
            return
        if self._keep:
            self._story.say(f"the snapshot stays, as skip_cleanup asks: {snapshot}")
            return
        with self._story.telling(Stage.CLEAN_UP, f"deleting the snapshot {snapshot.name}"):
            if await delete_snapshot(self._site.arm, snapshot, _whose(self._site, plan)) is Removal.FOREIGN:
                self._story.say(f"the snapshot {snapshot} that is there was made by somebody else, and stays")
        self._there.discard(snapshot)

    def deletion(self, plan: SnapshotPlan) -> Release:
        """How one of them is given back."""
        snapshot = plan.id
        return Release(
            "snapshot",
            snapshot.name,
            f"az snapshot delete --ids {snapshot}",
            lambda: self._delete(plan),
            _DELETING,
            "" if self._keep else str(snapshot),
            stays=lambda: "" if snapshot in self._there else None,
        )


@asynccontextmanager
async def snapshots_of(
    site: Site, plans: Sequence[SnapshotPlan], ledger: Ledger, story: Story, *, keep: bool
) -> AsyncIterator[Snapshots]:
    """The place for a build's snapshots, which are deleted at the end; with `keep` they stay."""
    snapshots = Snapshots(site, plans, ledger, story, keep=keep)
    async with AsyncExitStack() as held:
        for plan in plans:
            await held.enter_async_context(releasing(ledger, snapshots.deletion(plan)))
        yield snapshots
