"""From a snapshot to what the user asked for: a managed image, a gallery image version, or both side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import anyio

from gilder.azure.galleries import RegionProgress
from gilder.azure.operations import Begun, Operation
from gilder.build.plan import BuildPlan
from gilder.build.products import (
    ProductPlan,
    create_product,
    delete_product,
    kind_of,
    plan_text,
    product_made,
    remedy_of,
)
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import GilderError
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.runtime.release import Ledger, Release, undone_on_failure

_GOING_WELL = ("replicating", "completed")
"""States of a region that its percentage tells as well."""

_DELETING = 900.0
"""Seconds for removing what could not be finished."""


async def publish(plan: BuildPlan, site: Site, ledger: Ledger, story: Story) -> None:
    """Make what the plan says, `story.published` then; raises GilderError, and then leaves nothing half-made.

    When one of two destinations fails, the other is finished all the same, and told. When both fail, both are told.
    """
    done: list[ArmId] = []
    errors: list[GilderError] = []
    wanted = _wanted(plan)
    story.hourglass.images_to_come = len(wanted)
    # Of two, one goes on while the other waits.
    waiting = story.waits_for if len(wanted) == 1 else _unheard

    async def make(thing: ProductPlan) -> None:
        try:
            await _made(thing, site, ledger, story, waiting, replacing=thing.id in plan.replaces)
            done.append(thing.id)
        except GilderError as error:
            errors.append(error)

    with story.telling(Stage.PUBLISH, ", ".join("/".join(thing.id.names) for thing in wanted)):
        try:
            async with anyio.create_task_group() as group:
                for thing in wanted:
                    group.start_soon(make, thing)
            if errors:
                raise errors.pop(0)
        finally:
            for error in errors:  # of the second that failed, or of one before the build was cancelled
                story.say(error.message)
            if len(done) == len(wanted):
                story.published = tuple(thing.id for thing in wanted)
            else:  # one failed, or the build was cancelled: what there is must be told all the same
                for artifact in done:
                    story.say(f"{artifact} was published, and stays")


def _unheard(what: str) -> None:
    """A wait that is not told."""


def _wanted(plan: BuildPlan) -> list[ProductPlan]:
    """What to make. Of two, each names the other: a crash may come when only one of them is in the journal, and recovery must
    not take that one for the whole build."""
    image, version = plan.image, plan.version
    if image is not None and version is not None:
        return [replace(image, beside=version.id), replace(version, beside=image.id)]
    return [thing for thing in (image, version) if thing is not None]


async def _made(
    plan: ProductPlan, site: Site, ledger: Ledger, story: Story, waiting: Callable[[str], None], *, replacing: bool
) -> None:
    """Make one thing, written down before anything happens to it or to what it replaces."""
    old = await product_made(site.arm, plan) if replacing else None
    if old is not None:
        plan = replace(plan, replaces=old.mark)
    begun = False

    async def undo() -> None:
        if begun:  # before, there can only be what somebody else made, be it of a snapshot of the same name
            await delete_product(site.arm, plan, lambda made: made.of(plan.snapshot))

    def tell(regions: Sequence[RegionProgress]) -> None:
        story.say(replicated(regions))

    how = Release(kind_of(plan), plan.id.name, remedy_of(plan), undo, _DELETING, str(plan.id), plan_text(plan))
    async with undone_on_failure(ledger, how):
        if old is not None:
            await _make_room(plan, site, story)
        begun = True
        with _owning_up(story, f"what {plan.id} was before is gone, as -force asked" if old is not None else ""):
            await create_product(site.arm, plan, _noting(ledger, plan.id), tell, waiting)
        story.hourglass.image_made()


def replicated(regions: Sequence[RegionProgress]) -> str:
    """How far a replication is. What it waits for comes first: a board has no room for everything."""
    ordered = sorted(regions, key=lambda region: (region.percent, region.region))
    return "replicated " + ", ".join(
        f"{r.percent} % {r.region}" + ("" if r.state.lower() in _GOING_WELL else f" ({r.state.lower()})")
        for r in ordered
    )


async def _make_room(plan: ProductPlan, site: Site, story: Story) -> None:
    """Delete what `-force` replaces: as late as can be, so that a build which fails earlier costs nothing.

    The journal knows of the new one by now: after a crash in between, recovery publishes it from its snapshot.
    """
    story.say(f"replacing {plan.id}, as -force asks")
    with _owning_up(story, f"what {plan.id} was before may be gone, as -force asked"):
        await delete_product(site.arm, plan)


@contextmanager
def _owning_up(story: Story, loss: str) -> Iterator[None]:
    """Say what is lost when what is done inside does not end well; "" is nothing."""
    try:
        yield
    except BaseException as error:
        if loss and isinstance(error, GilderError):
            raise error.adding(f"; {loss}") from error
        if loss:
            story.say(loss)
        raise


def _noting(ledger: Ledger, resource: ArmId) -> Begun:
    """Writes the operation down: a replication takes up to an hour, and recovery follows it instead of beginning anew."""

    async def note(operation: Operation) -> None:
        await ledger.operation_begun(str(resource), operation.doing, operation.token())

    return note
