"""Gallery image versions: reading what builds start from, publishing what they made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio
from azure.core.exceptions import AzureError
from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.creating import Creation, created
from gilder.azure.images import security_type
from gilder.azure.operations import Begun, Usual, unheard
from gilder.azure.settling import FOREIGN, OTHER, Product, Removal, Which, anyone, removed
from gilder.azure.words import word
from gilder.model.errors import CloudError, NotFound
from gilder.model.ids import ArmId
from gilder.model.spec import Caching, TargetRegion

_PROGRESS_EVERY = 30.0
"""Seconds between looks at the replication of the regions."""


@dataclass(frozen=True, slots=True)
class Definition:
    """An image definition, as far as an image must fit it."""

    id: ArmId
    location: str
    os_type: str
    os_state: str
    generation: str
    architecture: str
    security: str = ""
    """The feature `SecurityType`, such as `TrustedLaunchSupported`; "" for none."""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """A gallery image version: its exact id, where it is replicated to, its OS disk's size, its data disks' LUNs."""

    id: ArmId
    location: str
    regions: tuple[str, ...]
    data_luns: tuple[int, ...]
    state: str = "Succeeded"
    os_disk_gb: int = 0
    """GiB; 0 where Azure does not say."""

    def is_in(self, location: str) -> bool:
        """Whether disks of `location` can be made from it."""
        return any(same_region(region, location) for region in self.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """A gallery image version to publish from snapshots. `location` is the gallery's region of the definition."""

    id: ArmId
    location: str
    snapshot: ArmId
    regions: tuple[TargetRegion, ...]
    caching: Caching
    data_snapshots: dict[int, ArmId] = field(default_factory=dict)
    data_caching: Caching = Caching.READ_ONLY
    exclude_from_latest: bool = False
    shallow: bool = False
    end_of_life: datetime | None = None
    encryption_set: ArmId | None = None
    """Encrypts the replicas of `location`; a set serves one region only."""
    tags: dict[str, str] = field(default_factory=dict)
    beside: ArmId | None = None
    replaces: str = ""
    followed: bool = False
    """These three as of an image's plan."""

    @property
    def usual(self) -> Usual:
        """How long publishing it takes."""
        return Usual.PUBLISH_SHALLOW if self.shallow else Usual.PUBLISH_VERSION


@dataclass(frozen=True, slots=True)
class RegionProgress:
    """How far the replication to one region is."""

    region: str
    state: str
    percent: int


def same_region(one: str, other: str) -> bool:
    """`West Europe` and `westeurope` are one region."""
    return one.replace(" ", "").lower() == other.replace(" ", "").lower()


async def definition_facts(arm: Arm, definition: ArmId) -> Definition | None:
    """The image definition as it is, None when there is none."""
    definitions = arm.client(definition.subscription).gallery_images
    at = (definition.resource_group, *definition.names)
    try:
        found = await arm.ask(f"reading the image definition {definition.name}", lambda: definitions.get(*at))
    except NotFound:
        return None
    if (told := found.properties) is None:
        return None
    return Definition(
        definition,
        found.location,
        word(told.os_type),
        word(told.os_state),
        word(told.hyper_v_generation) or "V1",
        word(told.architecture) or "x64",
        security_type((feature.name, feature.value) for feature in told.features or []),
    )


async def version_facts(arm: Arm, version: ArmId) -> VersionFacts | None:
    """A version as it is (`latest` resolved: the newest that is not excluded from it), None when there is none."""
    if version.name.lower() == "latest":
        return await _newest(arm, version.parent())
    found = await _read(arm, version)
    return _facts(version, found) if found is not None else None


async def version_made(arm: Arm, version: ArmId) -> Product | None:
    """A version as it is now, None when there is none."""
    found = await _read(arm, version)
    if found is None:
        return None
    if (told := found.properties) is None:
        return Product("Unknown", "")
    source = _source(told.storage_profile) if told.storage_profile else ""
    moment = told.publishing_profile.published_date if told.publishing_profile else None
    return Product(word(told.provisioning_state) or "Unknown", source, moment.isoformat() if moment else "")


def _source(storage: models.GalleryImageVersionStorageProfile) -> str:
    """What a version is made of. One of an image, a VM or another version shows that as the source of the whole, and then
    its OS disk has a source without anything in it (recorded answers), which is why `is None` is asked for."""
    os_disk, whole = storage.os_disk_image, storage.source
    disk = os_disk.source if os_disk is not None else None
    if disk is not None and disk.id:
        return disk.id
    if whole is not None:
        return whole.id or whole.virtual_machine_id or whole.community_gallery_image_id or OTHER
    return "" if disk is None else disk.uri or OTHER


async def _read(arm: Arm, version: ArmId) -> models.GalleryImageVersion | None:
    versions = arm.client(version.subscription).gallery_image_versions
    at = (version.resource_group, *version.names)
    try:
        return await arm.ask(f"reading the image version {version.name}", lambda: versions.get(*at))
    except NotFound:
        return None


async def _state(arm: Arm, version: ArmId, which: Which) -> str:
    made = await version_made(arm, version)
    if made is None:
        return ""
    return made.state if which(made) else FOREIGN


def _facts(version: ArmId, found: models.GalleryImageVersion) -> VersionFacts:
    told = found.properties
    publishing = told.publishing_profile if told else None
    storage = told.storage_profile if told else None
    regions = tuple(region.name for region in (publishing.target_regions if publishing else None) or [])
    luns = tuple(sorted(disk.lun for disk in (storage.data_disk_images if storage else None) or []))
    os_disk = storage.os_disk_image if storage else None
    size = int(os_disk.size_in_gb or 0) if os_disk else 0
    return VersionFacts(version, found.location, regions, luns, word(told.provisioning_state if told else None), size)


async def _newest(arm: Arm, definition: ArmId) -> VersionFacts | None:
    versions = arm.client(definition.subscription).gallery_image_versions

    async def listed() -> list[models.GalleryImageVersion]:
        at = (definition.resource_group, *definition.names)
        return [found async for found in versions.list_by_gallery_image(*at)]

    try:
        found = await arm.ask(f"listing the versions of {definition.name}", listed)
    except NotFound:
        return None
    usable = [version for version in found if _in_latest(version)]
    if not usable:
        return None
    newest = max(usable, key=lambda version: _ordered(version.name or ""))
    types, names = (*definition.types, "versions"), (*definition.names, newest.name or "")
    exact = ArmId(definition.subscription, definition.resource_group, definition.provider, types, names)
    return _facts(exact, newest)


def _in_latest(version: models.GalleryImageVersion) -> bool:
    told = version.properties
    if told is None or told.provisioning_state != "Succeeded":
        return False
    return not (told.publishing_profile and told.publishing_profile.exclude_from_latest)


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in version.split("."))


def _body(plan: VersionPlan) -> models.GalleryImageVersion:
    regions = [
        models.TargetRegion(
            name=region.name,
            regional_replica_count=region.replicas,
            storage_account_type=region.storage_account_type.value,
            encryption=_encryption(plan, region),
        )
        for region in plan.regions
    ]
    publishing = models.GalleryImageVersionPublishingProfile(
        target_regions=regions, exclude_from_latest=plan.exclude_from_latest
    )
    if plan.shallow:
        publishing.replication_mode = models.ReplicationMode.SHALLOW
    if plan.end_of_life is not None:
        publishing.end_of_life_date = plan.end_of_life
    storage = models.GalleryImageVersionStorageProfile(
        os_disk_image=models.GalleryOSDiskImage(
            host_caching=plan.caching.value, source=models.GalleryDiskImageSource(id=str(plan.snapshot))
        ),
        data_disk_images=[
            models.GalleryDataDiskImage(
                lun=lun,
                host_caching=plan.data_caching.value,
                source=models.GalleryDiskImageSource(id=str(snapshot)),
            )
            for lun, snapshot in sorted(plan.data_snapshots.items())
        ],
    )
    properties = models.GalleryImageVersionProperties(publishing_profile=publishing, storage_profile=storage)
    return models.GalleryImageVersion(location=plan.location, tags=dict(plan.tags), properties=properties)


def _encryption(plan: VersionPlan, region: TargetRegion) -> models.EncryptionImages | None:
    chosen = region.disk_encryption_set_id
    if chosen is None and same_region(region.name, plan.location):
        chosen = plan.encryption_set
    if chosen is None:
        return None
    return models.EncryptionImages(
        os_disk_image=models.OSDiskImageEncryption(disk_encryption_set_id=str(chosen)),
        data_disk_images=[
            models.DataDiskImageEncryption(lun=lun, disk_encryption_set_id=str(chosen))
            for lun in sorted(plan.data_snapshots)
        ],
    )


async def publish_version(
    arm: Arm,
    plan: VersionPlan,
    tell: Callable[[Sequence[RegionProgress]], None] = lambda regions: None,
    begun: Begun = unheard,
    waiting: Callable[[str], None] = lambda what: None,
) -> None:
    """Publish a version and wait until it is replicated to every region; raises CloudError.

    `tell` hears of the replication from time to time, `begun` of the operation, `waiting` of the time in which Azure lets it
    wait.
    """
    versions = arm.client(plan.id.subscription).gallery_image_versions
    what = Creation(
        id=plan.id,
        begin=versions.begin_create_or_update,
        body=_body(plan),
        state=lambda: _state(arm, plan.id, lambda made: made.of(plan.snapshot)),
        usual=plan.usual,
        doing=f"publishing the image version {'/'.join(plan.id.names)}",
    )
    failure: CloudError | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, arm, plan.id, tell)
        try:
            await created(arm, what, begun, waiting)
        except CloudError as error:
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _watch(arm: Arm, version: ArmId, tell: Callable[[Sequence[RegionProgress]], None]) -> None:
    versions = arm.client(version.subscription).gallery_image_versions
    at = (version.resource_group, *version.names)
    last: list[RegionProgress] = []
    while True:
        await arm.pause(_PROGRESS_EVERY, arm.curious)
        try:
            found = await versions.get(*at, expand="ReplicationStatus")
        except AzureError:
            continue  # a look that fails costs a line of progress, never the publishing
        status = found.properties.replication_status if found.properties else None
        now = [
            RegionProgress(word(region.region), word(region.state), int(region.progress or 0))
            for region in (status.summary if status else None) or []
        ]
        if now != last:
            tell(now)
            last = now


async def delete_version(arm: Arm, version: ArmId, which: Which = anyone) -> Removal:
    """Delete a version if it is there and is the one that is meant. Raises CloudError.

    One that is still being replicated refuses that (409), so its end is waited for first.
    """
    begin = arm.client(version.subscription).gallery_image_versions.begin_delete

    async def state() -> str:
        return await _state(arm, version, which)

    return await removed(arm, version, begin, state, Usual.PUBLISH_VERSION, lasts=Usual.DELETE_VERSION)


def misfit(definition: Definition, generation: str, architecture: str = "") -> str | None:
    """Why a generalized Linux image of this Hyper-V generation and CPU architecture ("": unknown) does not fit.

    None if it does.
    """
    if definition.os_type.lower() != "linux":
        return f"it is for {definition.os_type}"
    if definition.os_state.lower() != "generalized":
        return f"it is for {definition.os_state} images"
    if generation and definition.generation.lower() != generation.lower():
        return f"it is for generation {definition.generation} and the source is {generation}"
    if architecture and definition.architecture.lower() != architecture.lower():
        return f"it is for {definition.architecture} and the source is {architecture}"
    if definition.security.lower() == "confidentialvm":
        return "it is for confidential VMs, whose guest state a snapshot of a disk does not have"
    return None


def regions_with(location: str, regions: tuple[TargetRegion, ...]) -> tuple[TargetRegion, ...]:
    """The target regions, with the source's own region added where it is missing: Azure demands it."""
    if any(same_region(region.name, location) for region in regions):
        return regions
    return (TargetRegion(name=location), *regions)
