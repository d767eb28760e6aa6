"""An image (version) that a crash interrupted: followed while the cloud works on it, made from its snapshot, or removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from urllib.parse import urlsplit

import anyio

from gilder.azure.arm import Arm
from gilder.azure.galleries import VersionPlan, delete_version, publish_version, version_made
from gilder.azure.images import ImagePlan, create_image, delete_image, image_made
from gilder.azure.operations import Begun, Operation, Usual, looks
from gilder.azure.settling import Product
from gilder.azure.snapshots import snapshot_state
from gilder.model.errors import CloudError, Conflict, Denied, OperationFailed, Throttled, Unreachable

_MAY_PASS = (Throttled, Unreachable, Denied, Conflict)
"""Refusals after which another recovery may succeed; any other is the cloud's last word."""

_LOOK_EVERY = 60.0
"""Seconds between looks at a resource while its operation is followed."""


class End(Enum):
    """How an interrupted publication ended."""

    PUBLISHED = auto()
    REMOVED = auto()
    NOT_OURS = auto()
    """Somebody else made a thing of that name: it is neither counted nor touched."""


async def finish(
    arm: Arm, plan: ImagePlan | VersionPlan, operations: Sequence[Operation], begun: Begun, say: Callable[[str], None]
) -> End:
    """Finish an image (version), or remove what of it there is; `operations` are those known to have begun.

    Raises CloudError when neither can be done now: then another call may do it, as long as the snapshot is there.
    """
    await _followed(arm, plan, operations, say)
    product = await _settled(arm, plan)
    if product is not None and not product.of(plan.snapshot):
        return End.NOT_OURS
    if product is not None and product.state == "Succeeded":
        return End.PUBLISHED
    await _removed(arm, plan)
    if not await _snapshots_there(arm, plan):
        return End.REMOVED
    say(f"publishing {plan.id.name} from its snapshot")
    try:
        await _made(arm, plan, begun)
    except _MAY_PASS:
        raise
    except CloudError as error:
        say(f"{plan.id.name} cannot be published: {error.message}")
        await _removed(arm, plan)
        return End.REMOVED
    return End.PUBLISHED


async def _followed(
    arm: Arm, plan: ImagePlan | VersionPlan, operations: Sequence[Operation], say: Callable[[str], None]
) -> None:
    """Wait for what has begun. How it ended is seen on the resource: the record of an operation is kept for a day only."""
    if operations:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, arm, plan, scope)
                await _ends(arm, plan, operations, say)
                group.cancel_scope.cancel()


async def _watch(arm: Arm, plan: ImagePlan | VersionPlan, following: anyio.CancelScope) -> None:
    """End the following when the cloud works on the resource no more: an address that does not answer would hold it up."""
    while True:
        await anyio.sleep(_LOOK_EVERY)
        with suppress(CloudError):
            product = await _product(arm, plan)
            if product is None or product.settled:
                following.cancel()


async def _ends(
    arm: Arm, plan: ImagePlan | VersionPlan, operations: Sequence[Operation], say: Callable[[str], None]
) -> None:
    usual = Usual.CREATE_IMAGE if isinstance(plan, ImagePlan) else Usual.PUBLISH_VERSION
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
    home, host = urlsplit(arm.cloud.resource_manager).hostname or "", urlsplit(operation.url).hostname or ""
    return host == home or host.endswith(f".{home}")


async def _settled(arm: Arm, plan: ImagePlan | VersionPlan) -> Product | None:
    """What was being published, once the cloud works on it no more; None when there is nothing."""
    while True:
        product = await _product(arm, plan)
        if product is None or product.settled:
            return product
        await anyio.sleep(5 if isinstance(plan, ImagePlan) else 20)


async def _product(arm: Arm, plan: ImagePlan | VersionPlan) -> Product | None:
    return await (image_made if isinstance(plan, ImagePlan) else version_made)(arm, plan.id)


async def _snapshots_there(arm: Arm, plan: ImagePlan | VersionPlan) -> bool:
    for snapshot in (plan.snapshot, *plan.data_snapshots.values()):
        if await snapshot_state(arm, snapshot) != "Succeeded":
            return False
    return True


async def _made(arm: Arm, plan: ImagePlan | VersionPlan, begun: Begun) -> None:
    match plan:
        case ImagePlan():
            await create_image(arm, plan, begun)
        case VersionPlan():
            await publish_version(arm, plan, begun=begun)


async def _removed(arm: Arm, plan: ImagePlan | VersionPlan) -> None:
    await (delete_image if isinstance(plan, ImagePlan) else delete_version)(arm, plan.id, plan.snapshot)
