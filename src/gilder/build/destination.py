"""What a build shall make: found possible before anything is created."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from gilder.azure.galleries import definition_facts, misfit, same_region, version_made
from gilder.azure.images import image_made
from gilder.azure.settling import Product, sought
from gilder.build.origin import Origin
from gilder.build.site import Site
from gilder.model.errors import Refused
from gilder.model.ids import ArmId

_NO_TRUSTED_LAUNCH = "a managed image can be neither for Trusted Launch nor for Arm64 (Azure's limit)"


async def checked_image(image: ArmId, origin: Origin, site: Site) -> bool:
    """Check that a managed image can be made; whether one is there that must be replaced. Raises Refused."""
    # The word alone: what is merely `…Supported` serves machines without it too.
    if origin.architecture.lower() == "arm64" or origin.security.lower() == "trustedlaunch":
        what = "for Arm64" if origin.architecture.lower() == "arm64" else f"of the security type {origin.security}"
        raise Refused(
            f"image_resource_id: the source is {what}, and no managed image can be",
            hint=f"{_NO_TRUSTED_LAUNCH}: use shared_image_destination",
        )
    if await _made(partial(image_made, site.arm, image), site) is None:
        return False
    if not site.force:
        raise Refused(
            f"the image {image} exists already",
            hint="choose another name, such as one with {{timestamp}}, or replace it with -force",
        )
    return True


async def checked_version(version: ArmId, origin: Origin, site: Site) -> bool:
    """Check that an image version can be made; whether one is there that must be replaced. Raises Refused."""
    where = version.parent()
    definition = await site.lookups.get(where, lambda: definition_facts(site.arm, where))
    if definition is None:
        raise Refused(
            f"the image definition {where} does not exist",
            hint="create it first (az sig image-definition create), or correct shared_image_destination",
        )
    if (why := misfit(definition, origin.generation, origin.architecture)) is not None:
        raise Refused(f"the image definition {definition.id.name} does not fit: {why}", hint="use another definition")
    if not same_region(definition.location, site.machine.location):
        raise Refused(
            f"the image definition {definition.id.name} is in {definition.location} and this VM in "
            f"{site.machine.location}: a version is made from a snapshot in its own region",
            hint="use a gallery of this region, and target_regions to replicate its images",
        )
    if await _made(partial(version_made, site.arm, version), site) is None:
        return False
    if not site.force:
        raise Refused(
            f"the image version {version} exists already",
            hint="choose another image_version, or replace it with -force",
        )
    return True


async def _made(look: Callable[[], Awaitable[Product | None]], site: Site) -> Product | None:
    """What is there of a name. With -force it is looked for again: what one look missed could not be replaced, and after a
    crash would count as made by somebody else meanwhile."""
    return await (sought(look) if site.force else look())
