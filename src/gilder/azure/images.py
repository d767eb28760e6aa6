"""Managed images, and the platform images that builds start from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.creating import Creation, created
from gilder.azure.operations import Begun, Usual, unheard
from gilder.azure.settling import FOREIGN, OTHER, Product, Removal, Which, anyone, removed
from gilder.azure.words import word
from gilder.model.errors import NotFound, Refused
from gilder.model.ids import ArmId
from gilder.model.spec import Caching, DiskSku, HyperVGeneration, PlatformImage


@dataclass(frozen=True, slots=True)
class PlatformVersion:
    """One exact version of a platform image. `id` is spelled as the service gave it."""

    id: str
    version: str
    os_type: str
    generation: str
    architecture: str
    security: str = ""
    """The feature `SecurityType`, such as `TrustedLaunchSupported`; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """A managed image to make from a snapshot of its OS disk, and of its data disks by LUN."""

    id: ArmId
    location: str
    snapshot: ArmId
    generation: HyperVGeneration
    caching: Caching
    sku: DiskSku
    data_snapshots: dict[int, ArmId] = field(default_factory=dict)
    data_caching: Caching = Caching.READ_ONLY
    data_sku: DiskSku = DiskSku.STANDARD_LRS
    encryption_set: ArmId | None = None
    tags: dict[str, str] = field(default_factory=dict)
    beside: ArmId | None = None
    """What the same build makes of the same snapshots besides, so that a recovery that knows of one knows of both."""
    replaces: str = ""
    """The mark of what is deleted to make room for it, so that a recovery knows that from what others make meanwhile."""
    followed: bool = False
    """Whether post-processors come after it, which a recovery does not run: it must not call the build built."""


async def platform_version(arm: Arm, subscription: str, location: str, image: PlatformImage) -> PlatformVersion:
    """The exact version that `image` names, `latest` resolved; raises Refused when there is none."""
    images = arm.client(subscription).virtual_machine_images
    doing = f"looking up {image}"
    missing = Refused(
        f"there is no platform image {image} in {location}",
        hint="list them with: az vm image list --all --publisher PUBLISHER",
    )
    at = (location, image.publisher, image.offer, image.sku)
    version = image.version
    try:
        if version.lower() == "latest":
            newest = await arm.ask(doing, lambda: images.list(*at, top=1, orderby="name desc"))
            if not newest:
                raise missing
            version = newest[0].name
        found = await arm.ask(doing, lambda: images.get(*at, version))
    except NotFound as error:
        raise missing from error
    told = found.properties
    os_type = told.os_disk_image.operating_system if told and told.os_disk_image else ""
    generation = told.hyper_v_generation if told else ""
    architecture = told.architecture if told else ""
    security = security_type((feature.name, feature.value) for feature in (told.features if told else None) or [])
    return PlatformVersion(found.id or "", version, word(os_type), word(generation), word(architecture), security)


def security_type(features: Iterable[tuple[str | None, str | None]]) -> str:
    """The value of the feature `SecurityType` among (name, value) pairs; "" when it is not there."""
    return next((value or "" for name, value in features if name == "SecurityType"), "")


def _body(plan: ImagePlan) -> models.Image:
    encryption = models.DiskEncryptionSetParameters(id=str(plan.encryption_set)) if plan.encryption_set else None
    os_disk = models.ImageOSDisk(
        os_type=models.OperatingSystemTypes.LINUX,
        os_state=models.OperatingSystemStateTypes.GENERALIZED,
        snapshot=models.SubResource(id=str(plan.snapshot)),
        caching=plan.caching.value,
        storage_account_type=plan.sku.value,
        disk_encryption_set=encryption,
    )
    data_disks = [
        models.ImageDataDisk(
            lun=lun,
            snapshot=models.SubResource(id=str(snapshot)),
            caching=plan.data_caching.value,
            storage_account_type=plan.data_sku.value,
            disk_encryption_set=encryption,
        )
        for lun, snapshot in sorted(plan.data_snapshots.items())
    ]
    storage = models.ImageStorageProfile(os_disk=os_disk, data_disks=data_disks)
    properties = models.ImageProperties(storage_profile=storage, hyper_v_generation=plan.generation.value)
    return models.Image(location=plan.location, tags=dict(plan.tags), properties=properties)


async def create_image(
    arm: Arm, plan: ImagePlan, begun: Begun = unheard, waiting: Callable[[str], None] = lambda what: None
) -> None:
    """Make a managed image and wait until it is there; raises CloudError.

    `begun` hears of the operation, `waiting` of the time in which Azure lets it wait.
    """
    images = arm.client(plan.id.subscription).images
    what = Creation(
        id=plan.id,
        begin=images.begin_create_or_update,
        body=_body(plan),
        state=lambda: _state(arm, plan.id, lambda made: made.of(plan.snapshot)),
        usual=Usual.CREATE_IMAGE,
        doing=f"creating the image {plan.id.name}",
    )
    await created(arm, what, begun, waiting)


async def image_made(arm: Arm, image: ArmId) -> Product | None:
    """A managed image as it is now, None when there is none."""
    images = arm.client(image.subscription).images
    try:
        found = await arm.ask(f"reading the image {image.name}", lambda: images.get(image.resource_group, image.name))
    except NotFound:
        return None
    told = found.properties
    return Product(word(told.provisioning_state if told else None) or "Unknown", _source(told) if told else "")


def _source(told: models.ImageProperties) -> str:
    """What an image is made of. One that was captured from a disk or a VM shows that, and no snapshot (recorded answers)."""
    os_disk = told.storage_profile.os_disk if told.storage_profile else None
    machine = told.source_virtual_machine
    if os_disk is None:
        return "" if machine is None else machine.id or OTHER
    made_of = os_disk.snapshot or os_disk.managed_disk or machine
    return (made_of.id if made_of else os_disk.blob_uri) or OTHER


async def _state(arm: Arm, image: ArmId, which: Which) -> str:
    made = await image_made(arm, image)
    if made is None:
        return ""
    return made.state if which(made) else FOREIGN


async def delete_image(arm: Arm, image: ArmId, which: Which = anyone) -> Removal:
    """Delete a managed image if it is there and is the one that is meant. Raises CloudError.

    One that is still being created refuses that (409), so its end is waited for first.
    """
    begin = arm.client(image.subscription).images.begin_delete

    async def state() -> str:
        return await _state(arm, image, which)

    return await removed(arm, image, begin, state, Usual.CREATE_IMAGE, lasts=Usual.DELETE_IMAGE)
