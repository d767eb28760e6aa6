"""The temporary resources of a build, each held while inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from gilder.azure.disks import DiskFacts, DiskPlan, create_disk, delete_disk, disk_facts
from gilder.azure.snapshots import SnapshotPlan, delete_snapshot, take_snapshot
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import Refused
from gilder.model.events import Stage
from gilder.runtime.release import Ledger, Release, releasing

_DELETING = 600.0
"""Seconds for a deletion and the tries it takes."""


@asynccontextmanager
async def created(site: Site, plan: DiskPlan, ledger: Ledger, story: Story, *, keep: bool) -> AsyncIterator[DiskFacts]:
    """Have a disk while inside; with `keep` it stays (the option skip_cleanup)."""
    async with releasing(ledger, _deletion(site, plan, story, keep=keep)):
        with story.telling(Stage.CREATE_DISK, plan.id.name):
            await create_disk(site.arm, plan)
            facts = await disk_facts(site.arm, plan.id)
        if facts is None:
            raise Refused(f"the disk {plan.id} was created and is not there: somebody deleted it")
        yield facts


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
                        group.start_soon(create_disk, site.arm, plan)
        yield


def _deletion(site: Site, plan: DiskPlan, story: Story, *, keep: bool) -> Release:
    async def delete() -> None:
        if keep:
            story.say(f"the disk stays, as skip_cleanup asks: {plan.id}")
            return
        with story.telling(Stage.CLEAN_UP, f"deleting the disk {plan.id.name}"):
            await delete_disk(site.arm, plan.id)

    # What shall stay must not be removed by a recovery either.
    handle = "" if keep else str(plan.id)
    return Release("disk", plan.id.name, f"az disk delete --ids {plan.id}", delete, _DELETING, handle)


class Snapshots:
    """The snapshots of a build's disks; comes only out of `snapshots_of`."""

    def __init__(self, site: Site, plans: Sequence[SnapshotPlan], story: Story) -> None:
        self._site = site
        self._plans = plans
        self._story = story
        self.asked_for = False

    async def take(self) -> None:
        """Take them now; the disks must be unmounted and flushed."""
        self.asked_for = True
        names = ", ".join(plan.id.name for plan in self._plans)
        await self._story.step(Stage.SNAPSHOT, self._take_all, names)

    async def _take_all(self) -> None:
        async with anyio.create_task_group() as group:
            for plan in self._plans:
                group.start_soon(take_snapshot, self._site.arm, plan)


@asynccontextmanager
async def snapshots_of(
    site: Site, plans: Sequence[SnapshotPlan], ledger: Ledger, story: Story, *, keep: bool
) -> AsyncIterator[Snapshots]:
    """The place for a build's snapshots, which are deleted at the end; with `keep` they stay."""
    snapshots = Snapshots(site, plans, story)

    def deletion(plan: SnapshotPlan) -> Release:
        async def delete() -> None:
            if not snapshots.asked_for:
                return
            if keep:
                story.say(f"the snapshot stays, as skip_cleanup asks: {plan.id}")
                return
            with story.telling(Stage.CLEAN_UP, f"deleting the snapshot {plan.id.name}"):
                await delete_snapshot(site.arm, plan.id)

        handle = "" if keep else str(plan.id)
        return Release(
            "snapshot",
            plan.id.name,
            f"az snapshot delete --ids {plan.id}",
            delete,
            _DELETING,
            handle,
            begun=lambda: snapshots.asked_for,
        )

    async with AsyncExitStack() as held:
        for plan in plans:
            await held.enter_async_context(releasing(ledger, deletion(plan)))
        yield snapshots
