"""From a snapshot to what the user asked for: a managed image, a gallery image version, or both side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio
from pydantic import TypeAdapter

from gilder.azure.galleries import RegionProgress, VersionPlan, delete_version, publish_version
from gilder.azure.images import ImagePlan, create_image, delete_image
from gilder.azure.operations import Begun, Operation
from gilder.build.plan import BuildPlan
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import GilderError
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.runtime.release import Ledger, Release, undone_on_failure

_PLANS: TypeAdapter[ImagePlan | VersionPlan] = TypeAdapter(ImagePlan | VersionPlan)

_GOING_WELL = ("replicating", "completed")
"""States of a region that its percentage tells as well."""

_DELETING = 900.0
"""Seconds for removing what could not be finished."""


async def publish(plan: BuildPlan, site: Site, ledger: Ledger, story: Story) -> tuple[ArmId, ...]:
    """Make what the plan says; raises GilderError, and then leaves nothing half-made.

    When one of two destinations fails, the other is finished all the same, and told.
    """
    done: list[ArmId] = []
    errors: list[GilderError] = []
    wanted = _wanted(plan)
    story.hourglass.images_to_come = len(wanted)
    # Of two, one goes on while the other waits.
    waiting = story.waits_for if len(wanted) == 1 else _unheard

    async def make(thing: ImagePlan | VersionPlan) -> None:
        try:
            if thing.id in plan.replaces:
                await _make_room(thing, site, story)
            match thing:
                case ImagePlan():
                    await _image(thing, site, ledger, story, waiting)
                case VersionPlan():
                    await _version(thing, site, ledger, story, waiting)
            done.append(thing.id)
        except GilderError as error:
            errors.append(error)

    with story.telling(Stage.PUBLISH, ", ".join("/".join(thing.id.names) for thing in wanted)):
        try:
            async with anyio.create_task_group() as group:
                for thing in wanted:
                    group.start_soon(make, thing)
            if errors:
                raise errors[0]
        finally:
            if len(done) == len(wanted):
                story.published = tuple(thing.id for thing in wanted)
            else:  # one failed, or the build was cancelled: what there is must be told all the same
                for artifact in done:
                    story.say(f"{artifact} was published, and stays")
    return tuple(thing.id for thing in wanted)


def _unheard(what: str) -> None:
    """A wait that is not told."""


def _wanted(plan: BuildPlan) -> list[ImagePlan | VersionPlan]:
    """What to make. Of two, each names the other: a crash may come when only one of them is in the journal, and recovery must
    not take that one for the whole build."""
    image, version = plan.image, plan.version
    if image is not None and version is not None:
        return [replace(image, beside=version.id), replace(version, beside=image.id)]
    return [thing for thing in (image, version) if thing is not None]


def plan_text(plan: ImagePlan | VersionPlan) -> str:
    """A plan as text, by which recovery can publish what a crash interrupted."""
    return _PLANS.dump_json(plan).decode()


def plan_from(text: str) -> ImagePlan | VersionPlan:
    """The plan that a text describes; raises ValueError if it is none."""
    return _PLANS.validate_json(text)


async def _make_room(thing: ImagePlan | VersionPlan, site: Site, story: Story) -> None:
    """Delete what `-force` replaces: as late as can be, so that a build which fails earlier costs nothing.

    Before the new one is noted in the journal: a crash in between must not let recovery take the old one for it.
    """
    story.say(f"replacing {thing.id}, as -force asks")
    await (delete_image if isinstance(thing, ImagePlan) else delete_version)(site.arm, thing.id)


async def _image(plan: ImagePlan, site: Site, ledger: Ledger, story: Story, waiting: Callable[[str], None]) -> None:
    image = plan.id
    remedy = f"az image delete --ids {image}"
    undo = Release(
        "image",
        image.name,
        remedy,
        lambda: delete_image(site.arm, image, made_of=plan.snapshot),
        _DELETING,
        str(image),
        plan_text(plan),
    )
    async with undone_on_failure(ledger, undo):
        await create_image(site.arm, plan, _noting(ledger, image), waiting)
        story.hourglass.image_made()


async def _version(plan: VersionPlan, site: Site, ledger: Ledger, story: Story, waiting: Callable[[str], None]) -> None:
    version = plan.id
    remedy = f"az sig image-version delete --ids {version}"
    undo = Release(
        "image version",
        version.name,
        remedy,
        lambda: delete_version(site.arm, version, made_of=plan.snapshot),
        _DELETING,
        str(version),
        plan_text(plan),
    )

    def tell(regions: Sequence[RegionProgress]) -> None:
        story.say(replicated(regions))

    async with undone_on_failure(ledger, undo):
        await publish_version(site.arm, plan, tell, _noting(ledger, version), waiting)
        story.hourglass.image_made()


def replicated(regions: Sequence[RegionProgress]) -> str:
    """How far a replication is. What it waits for comes first: a board has no room for everything."""
    ordered = sorted(regions, key=lambda region: (region.percent, region.region))
    return "replicated " + ", ".join(
        f"{r.percent} % {r.region}" + ("" if r.state.lower() in _GOING_WELL else f" ({r.state.lower()})")
        for r in ordered
    )


def _noting(ledger: Ledger, resource: ArmId) -> Begun:
    """Writes the operation down: a replication takes up to an hour, and recovery follows it instead of beginning anew."""

    async def note(operation: Operation) -> None:
        await ledger.operation_begun(str(resource), operation.doing, operation.token())

    return note
