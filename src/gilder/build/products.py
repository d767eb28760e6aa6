"""What builds publish: managed images and gallery image versions, by one set of verbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import TypeAdapter, ValidationError

from gilder.azure.arm import Arm
from gilder.azure.galleries import RegionProgress, VersionPlan, delete_version, publish_version, version_made
from gilder.azure.images import ImagePlan, create_image, delete_image, image_made
from gilder.azure.operations import Begun
from gilder.azure.settling import Product, Removal, Which, anyone
from gilder.model.ids import ArmId

ProductPlan = ImagePlan | VersionPlan

_PLANS: TypeAdapter[ProductPlan] = TypeAdapter(ProductPlan)


def plan_text(plan: ProductPlan) -> str:
    """A plan as text, by which recovery can publish what a crash interrupted."""
    return _PLANS.dump_json(plan).decode()


def plan_from(text: str) -> ProductPlan:
    """The plan that a text describes; raises ValueError if it is none."""
    try:
        return _PLANS.validate_json(text)
    except ValidationError as error:
        raise ValueError("another version of gilder wrote it, so recover with that one") from error


def kind_of(plan: ProductPlan) -> str:
    """What it is, in words."""
    return "image" if isinstance(plan, ImagePlan) else "image version"


def remedy_of(plan: ProductPlan) -> str:
    """The command that removes it."""
    return f"az {'image' if isinstance(plan, ImagePlan) else 'sig image-version'} delete --ids {plan.id}"


def snapshots_of(plan: ProductPlan) -> tuple[ArmId, ...]:
    """What it is made of."""
    return plan.snapshot, *plan.data_snapshots.values()


async def product_made(arm: Arm, plan: ProductPlan) -> Product | None:
    """What there is now of that name, made by whomever; None when there is nothing. Raises CloudError."""
    return await (image_made if isinstance(plan, ImagePlan) else version_made)(arm, plan.id)


async def create_product(
    arm: Arm,
    plan: ProductPlan,
    begun: Begun,
    tell: Callable[[Sequence[RegionProgress]], None] = lambda regions: None,
    waiting: Callable[[str], None] = lambda what: None,
) -> None:
    """Make it and wait until it is there, and replicated; raises CloudError.

    `tell` hears of the replication, `waiting` of the time in which Azure lets a request wait.
    """
    match plan:
        case ImagePlan():
            await create_image(arm, plan, begun, waiting)
        case VersionPlan():
            await publish_version(arm, plan, tell, begun, waiting)


async def delete_product(arm: Arm, plan: ProductPlan, which: Which = anyone) -> Removal:
    """Delete what is there of that name, if it is the one that is meant. Raises CloudError."""
    return await (delete_image if isinstance(plan, ImagePlan) else delete_version)(arm, plan.id, which)
