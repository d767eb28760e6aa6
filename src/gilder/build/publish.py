"""From a snapshot to what the user asked for."""

from __future__ import annotations

from gilder.azure.images import ImagePlan, create_image, delete_image
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.model.errors import UserError
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec
from gilder.runtime.release import Ledger, Release, undone_on_failure

_DELETING = 600.0
"""Seconds for removing what could not be finished."""


def image_plan(spec: BuildSpec, site: Site, snapshot: ArmId, image: ArmId) -> ImagePlan:
    """The managed image to make: pure."""
    return ImagePlan(
        id=image,
        location=site.machine.location,
        snapshot=snapshot,
        generation=spec.image_hyperv_generation,
        caching=spec.os_disk_cache_type,
        sku=spec.os_disk_storage_account_type,
        data_caching=spec.data_disk_cache_type,
        data_sku=spec.data_disk_storage_account_type,
        tags=spec.tags,
    )


async def publish(spec: BuildSpec, site: Site, snapshot: ArmId, ledger: Ledger, story: Story) -> tuple[ArmId, ...]:
    """Make the image; raises CloudError, and then leaves no half-made one."""
    if spec.shared_image_destination is not None:
        raise UserError("shared_image_destination is not supported yet", hint="use image_resource_id")
    if (image := spec.image_resource_id) is None:
        return ()
    plan = image_plan(spec, site, snapshot, image)
    remove = Release(
        "image", image.name, f"az image delete --ids {image}", lambda: delete_image(site.arm, image), _DELETING
    )
    with story.telling(Stage.PUBLISH, image.name):
        async with undone_on_failure(ledger, remove):
            await create_image(site.arm, plan)
    return (image,)
