"""The recipe: one image, start to end. The nesting of its blocks is the order in which things are given back."""

from __future__ import annotations

from contextlib import AsyncExitStack

from gilder.build.after import post_processed
from gilder.build.limits import Entry
from gilder.build.plan import BuildPlan, planned
from gilder.build.publish import publish
from gilder.build.site import Site
from gilder.build.story import Story, told
from gilder.build.temporary import created, created_beside, snapshots_of
from gilder.build.work import Job, Workplace, on_this_machine
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, Caching
from gilder.runtime.locks import Turns
from gilder.runtime.release import Ledger
from gilder.slots import Announcement, Disk, Place, Slot, place_for


async def build_image(
    spec: BuildSpec, site: Site, ledger: Ledger, story: Story, workplace: Workplace = on_this_machine
) -> tuple[ArmId, ...]:
    """Build one image and return what the user asked for: what was published, and what `skip_cleanup` lets stay.

    `workplace` is where the disk is worked on.

    Raises GilderError. However it ends, what it made is given back, or is a residue in `ledger`.
    """
    kept: tuple[ArmId, ...] = ()
    async with site.limits.entered(story) as entry:
        with story.hourglass.running(), site.writer.announced() as attach_to_come:
            with story.telling(Stage.RESOLVE, str(spec.source or "scratch")):
                plan = await planned(spec, site)
            for remark in plan.remarks:
                story.say(remark)
            job = Job(spec, plan, site, ledger, story)
            await _from_plan(job, entry, attach_to_come, workplace)
            kept = _kept(spec, plan)
    artifacts = story.published + kept
    await post_processed(spec, plan.source, artifacts, site, story)
    return artifacts


def _kept(spec: BuildSpec, plan: BuildPlan) -> tuple[ArmId, ...]:
    if not spec.skip_cleanup:
        return ()
    disks = (plan.disk.id, *(one.disk.id for one in plan.data))
    snapshots = (plan.snapshot.id, *(one.snapshot.id for one in plan.data))
    return disks if spec.skip_create_image else disks + snapshots


async def _from_plan(job: Job, entry: Entry, attach_to_come: Announcement, workplace: Workplace) -> None:
    spec, plan, site, ledger, story = job.spec, job.plan, job.site, job.ledger, job.story
    keep, caching = spec.skip_cleanup, spec.os_disk_cache_type
    snapshot_plans = [plan.snapshot, *(one.snapshot for one in plan.data)]
    async with (
        created(site, plan.disk, ledger, story, keep=keep) as size,
        created_beside(site, [one.disk for one in plan.data], ledger, story, keep=keep),
        snapshots_of(site, snapshot_plans, ledger, story, keep=keep) as snapshots,
    ):
        disk = Disk(plan.disk.id, size, caching)
        async with told(story, None, Stage.DETACH, place_for(disk, site.writer, site.devices, ledger)) as place:
            slot = await _worked(job, place, attach_to_come, workplace)
            if spec.skip_create_image:
                return
            if caching is not Caching.READ_WRITE:
                # Still attached: the detach is off the critical path. What follows needs no slot.
                await snapshots.take(begun=lambda: _give_up(slot, entry))
                await publish(plan, site, ledger, story)
                await snapshots.give_back_soon()  # while the detach goes on
                return
        entry.leave()
        await snapshots.take()  # a ReadWrite cache of the host is written back only by the detach
        await publish(plan, site, ledger, story)


def _give_up(slot: Slot, entry: Entry) -> None:
    """Have the disk detached soon, and let another build have the slot."""
    slot.release_soon()
    entry.leave()


async def _worked(job: Job, place: Place, attach_to_come: Announcement, workplace: Workplace) -> Slot:
    """Attach the disk and work on it; when this returns, it is unmounted and everything is on it."""
    site, story = job.site, job.story
    async with AsyncExitStack() as ready:
        with story.telling(Stage.ATTACH):
            place.attach_soon(attach_to_come, story.waits_for)
            await place.sent()
            work = await ready.enter_async_context(workplace(job.spec, job.ledger))  # while the VM attaches the disk
            slot = await place.slot()
        await story.pause(Stage.ATTACH)
        with story.ending_in_its_stage():
            async with site.limits.working(story) as work_place:
                await work(job, slot, Turns(site.turns, story.waits_for, work_place.aside))
    with story.ending_in_its_stage():
        # The kernel's word that nobody holds it, in whatever namespace: the snapshot of a mounted disk is broken.
        await site.devices.wait_free(slot.device, within=10.0)
        await site.devices.flush(slot.device)
    return slot
