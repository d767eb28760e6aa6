"""The temporary resources of a build, each held while inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gilder.azure.disks import DiskFacts, DiskPlan, create_disk, delete_disk, disk_facts
from gilder.azure.snapshots import SnapshotPlan, delete_snapshot, take_snapshot
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import Refused
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.runtime.release import Ledger, Release, releasing

_DELETING = 600.0
"""Seconds for a deletion and the tries it takes."""


@asynccontextmanager
async def created(site: Site, plan: DiskPlan, ledger: Ledger, story: Story, *, keep: bool) -> AsyncIterator[DiskFacts]:
    """Have a disk while inside; with `keep` it stays (the option skip_cleanup)."""

    async def delete() -> None:
        if keep:
            story.say(f"the disk stays, as skip_cleanup asks: {plan.id}")
            return
        with story.telling(Stage.CLEAN_UP, f"deleting the disk {plan.id.name}"):
            await delete_disk(site.arm, plan.id)

    # What shall stay must not be removed by a recovery either.
    handle = "" if keep else str(plan.id)
    async with releasing(
        ledger, Release("disk", plan.id.name, f"az disk delete --ids {plan.id}", delete, _DELETING, handle)
    ):
        with story.telling(Stage.CREATE_DISK, plan.id.name):
            await create_disk(site.arm, plan)
            facts = await disk_facts(site.arm, plan.id)
        if facts is None:
            raise Refused(f"the disk {plan.id} was created and is not there: somebody deleted it")
        yield facts


class Snapshots:
    """The snapshots of a build's disks; comes only out of `snapshots_of`."""

    def __init__(self, site: Site, plan: SnapshotPlan, story: Story) -> None:
        self._site = site
        self._plan = plan
        self._story = story
        self.asked_for = False

    @property
    def os_disk(self) -> ArmId:
        """The snapshot of the OS disk, there once taken."""
        return self._plan.id

    async def take(self) -> None:
        """Take them now; the disks must be unmounted and flushed."""
        with self._story.telling(Stage.SNAPSHOT, self._plan.id.name):
            self.asked_for = True
            await take_snapshot(self._site.arm, self._plan)


@asynccontextmanager
async def snapshots_of(
    site: Site, plan: SnapshotPlan, ledger: Ledger, story: Story, *, keep: bool
) -> AsyncIterator[Snapshots]:
    """The place for a build's snapshots, which are deleted at the end; with `keep` they stay."""
    snapshots = Snapshots(site, plan, story)

    async def delete() -> None:
        if not snapshots.asked_for:
            return
        if keep:
            story.say(f"the snapshot stays, as skip_cleanup asks: {plan.id}")
            return
        with story.telling(Stage.CLEAN_UP, f"deleting the snapshot {plan.id.name}"):
            await delete_snapshot(site.arm, plan.id)

    handle = "" if keep else str(plan.id)
    remedy = f"az snapshot delete --ids {plan.id}"
    async with releasing(ledger, Release("snapshot", plan.id.name, remedy, delete, _DELETING, handle)):
        yield snapshots
