"""The recipe: one image, start to end. The nesting of its blocks is the order in which things are given back."""

from __future__ import annotations

from gilder.build.after import post_processed
from gilder.build.limits import Entry
from gilder.build.plan import BuildPlan, planned
from gilder.build.publish import publish
from gilder.build.site import Site
from gilder.build.story import Story, told
from gilder.build.temporary import created, created_beside, snapshots_of
from gilder.build.work import Job, LocalWork, on_this_machine
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, Caching
from gilder.runtime.release import Ledger
from gilder.slots import Announcement, Disk, attached


async def build_image(
    spec: BuildSpec, site: Site, ledger: Ledger, story: Story, work: LocalWork = on_this_machine
) -> tuple[ArmId, ...]:
    """Build one image and return what was published. `work` is what happens on the disk while it is attached.

    Raises GilderError. However it ends, what it made is given back, or is a residue in `ledger`.
    """
    async with site.limits.entered(story) as entry:
        with story.hourglass.running(), site.writer.announced() as attach_to_come:
            with story.telling(Stage.RESOLVE, str(spec.source or "scratch")):
                plan = await planned(spec, site)
            for remark in plan.remarks:
                story.say(remark)
            artifacts = await _from_plan(spec, plan, site, ledger, story, entry, attach_to_come, work)
    await post_processed(spec, plan.source, artifacts, site, story)
    return artifacts


async def _from_plan(
    spec: BuildSpec,
    plan: BuildPlan,
    site: Site,
    ledger: Ledger,
    story: Story,
    entry: Entry,
    attach_to_come: Announcement,
    work: LocalWork,
) -> tuple[ArmId, ...]:
    keep = spec.skip_cleanup
    snapshot_plans = [plan.snapshot, *(one.snapshot for one in plan.data)]
    async with (
        created(site, plan.disk, ledger, story, keep=keep) as disk,
        created_beside(site, [one.disk for one in plan.data], ledger, story, keep=keep),
        snapshots_of(site, snapshot_plans, ledger, story, keep=keep) as snapshots,
    ):
        os_disk = Disk(disk.id, disk.size_bytes, spec.os_disk_cache_type)
        in_slot = attached(site.writer, site.devices, os_disk, ledger, attach_to_come, story.waits_for)
        async with told(story, Stage.ATTACH, Stage.DETACH, in_slot) as slot:
            await story.pause(Stage.ATTACH)
            async with site.limits.working(story):
                await _worked(Job(spec, plan, site, slot, ledger, story), work)
            if spec.skip_create_image:
                return ()
            if spec.os_disk_cache_type is not Caching.READ_WRITE:
                await snapshots.take()  # still attached: the detach is off the critical path
                slot.release_soon()
                entry.leave()  # what follows needs no slot
                published = await publish(plan, site, ledger, story)
                await snapshots.give_back_soon()  # while the detach goes on
                return published
        entry.leave()
        await snapshots.take()  # a ReadWrite cache of the host is written back only by the detach
        return await publish(plan, site, ledger, story)


async def _worked(job: Job, work: LocalWork) -> None:
    """Work on the disk."""
    try:
        await work(job)
    except BaseException:
        # Between two stages it ended after the last one, and not in the clean-up that is the next.
        job.story.failed_at = job.story.failed_at or job.story.stage
        raise
