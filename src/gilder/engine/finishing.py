"""An image (version) that a crash interrupted: followed while the cloud works on it, made from its snapshot, or removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from urllib.parse import urlsplit

import anyio

from gilder.azure.arm import Arm
from gilder.azure.images import ImagePlan
from gilder.azure.operations import Begun, Operation, Usual, looks
from gilder.azure.settling import LOOK_AGAIN, Product, Removal, surely
from gilder.azure.snapshots import snapshot_state
from gilder.build.products import ProductPlan, create_product, delete_product, product_made, snapshots_of
from gilder.engine.patience import PATIENCE, in_time
from gilder.model.errors import CloudError, Conflict, Denied, OperationFailed, Throttled, Unreachable, Untold

_MAY_PASS = (Throttled, Unreachable, Untold, Denied, Conflict)
"""Refusals after which another recovery may succeed; any other is the cloud's last word."""

_LOOK_EVERY = 60.0
"""Seconds between looks at a resource while its operation is followed."""


class End(Enum):
    """How an interrupted publication ended."""

    PUBLISHED = auto()
    REMOVED = auto()
    ABSENT = auto()
    """Neither it nor anything that it could be made of was there."""
    NOT_OURS = auto()
    """Somebody else made a thing of that name: it is neither counted nor touched."""


async def finish(
    arm: Arm,
    plan: ProductPlan,
    tags: Mapping[str, str],
    operations: Sequence[Operation],
    begun: Begun,
    say: Callable[[str], None],
) -> End:
    """Finish an image (version), or remove what of it there is.

    `tags` are those of the build's snapshots; `operations` are those known to have begun.

    Raises CloudError when neither can be done now: then another call may do it, as long as the snapshot is there.
    """
    deadline = anyio.current_time() + PATIENCE
    with anyio.move_on_after(PATIENCE):
        await _followed(arm, plan, operations, say)
    product = await _settled(arm, plan, deadline)
    # What is begun here may never end either.
    return await in_time(_ended(arm, plan, tags, product, operations, begun, say))


async def _ended(
    arm: Arm,
    plan: ProductPlan,
    tags: Mapping[str, str],
    product: Product | None,
    operations: Sequence[Operation],
    begun: Begun,
    say: Callable[[str], None],
) -> End:
    """Do what is left to be done about `product`, which is what there is now of that name."""
    gone = End.ABSENT
    old = product is not None and not operations and product.mark == plan.replaces
    if product is not None and not old:
        if not product.of(plan.snapshot):
            return End.NOT_OURS
        if product.state == "Succeeded":
            return End.PUBLISHED
        gone = await _removed(arm, plan)
    if not await _snapshots_there(arm, plan, tags):
        if plan.replaces and not old:
            say(f"what {plan.id} was before is gone, as -force asked, and so is the snapshot of what was to replace it")
        return End.NOT_OURS if old else gone
    if old:
        say(f"replacing {plan.id.name}, as -force asked")
        await delete_product(arm, plan, lambda made: made.mark == plan.replaces)
    say(f"publishing {plan.id.name} from its snapshot")
    try:
        await create_product(arm, plan, begun)
    except _MAY_PASS:
        raise
    except CloudError as error:
        say(f"{plan.id.name} cannot be published: {error.message}")
        if plan.replaces:
            say(f"what {plan.id} was before is gone, as -force asked")
        again = await _removed(arm, plan)
        return gone if again is End.ABSENT else again
    return End.PUBLISHED


async def _followed(arm: Arm, plan: ProductPlan, operations: Sequence[Operation], say: Callable[[str], None]) -> None:
    """Wait for what has begun. How it ended is seen on the resource: the record of an operation is kept for a day only."""
    if operations:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, arm, plan, scope)
                await _ends(arm, plan, operations, say)
                group.cancel_scope.cancel()


async def _watch(arm: Arm, plan: ProductPlan, following: anyio.CancelScope) -> None:
    """End the following when the cloud works on the resource no more: an address that does not answer would hold it up.

    Two looks must show it, for one may be stale.
    """
    ended = 0
    while True:
        await anyio.sleep(_LOOK_EVERY)
        with suppress(CloudError):
            product = await product_made(arm, plan)
            ended = ended + 1 if product is None or product.settled else 0
            if ended > 1:
                following.cancel()


async def _ends(arm: Arm, plan: ProductPlan, operations: Sequence[Operation], say: Callable[[str], None]) -> None:
    usual = Usual.CREATE_IMAGE if isinstance(plan, ImagePlan) else plan.usual
    for operation in operations:
        if not _at_home(arm, operation):
            continue
        say(f"following: {operation.doing}")
        try:
            await arm.finished(plan.id.subscription, operation, looks(usual))
        except OperationFailed as error:
            say(f"it failed: {error.message}")
        except CloudError as error:
            say(f"it cannot be followed: {error.message}")


def _at_home(arm: Arm, operation: Operation) -> bool:
    """Whether an address from the journal is the cloud's: gilder's token goes along, and a file may be tampered with."""
    home = urlsplit(arm.cloud.resource_manager).hostname or ""
    try:
        host = urlsplit(operation.url).hostname or ""
    except ValueError:  # it is none
        return False
    return host == home or host.endswith(f".{home}")


async def _settled(arm: Arm, plan: ProductPlan, deadline: float) -> Product | None:
    """What was being published, once the cloud works on it no more; None when there is nothing.

    Nothing must be seen more than once: the request for it may have come right before the crash, and not show yet.
    """
    again = iter(LOOK_AGAIN)
    while True:
        product = await product_made(arm, plan)
        if product is not None and product.settled:
            return product
        pause = next(again, None) if product is None else 5.0 if isinstance(plan, ImagePlan) else 20.0
        if pause is None:
            return None
        if product is not None and anyio.current_time() > deadline:
            raise Conflict(f"the cloud still works on {plan.id.name} ({product.state}); recover it when that has ended")
        await anyio.sleep(pause)


async def _snapshots_there(arm: Arm, plan: ProductPlan, tags: Mapping[str, str]) -> bool:
    """Whether all that it is made of is there and whole, and is this build's: names that users chose come again.

    What is not there is looked for again: after one stale look the image would be given up, and its snapshot deleted.
    """
    for snapshot in snapshots_of(plan):
        if await surely(partial(snapshot_state, arm, snapshot, tags), Usual.TAKE_SNAPSHOT) != "Succeeded":
            return False
    return True


async def _removed(arm: Arm, plan: ProductPlan) -> End:
    done = await delete_product(arm, plan, lambda made: made.of(plan.snapshot))
    return End.REMOVED if done is Removal.DONE else End.ABSENT
