"""What one build will create, as values: looked up and checked before anything is touched."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gilder.azure.disks import DiskPlan, DiskSource, Empty, FromDisk, FromGalleryVersion, FromPlatformImage, disk_facts
from gilder.azure.galleries import Definition, VersionPlan, definition_facts, misfit, regions_with, version_facts
from gilder.azure.images import ImagePlan, image_exists, platform_version
from gilder.azure.snapshots import SnapshotPlan, snapshot_exists
from gilder.build.site import Site
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, GalleryVersion, HyperVGeneration, ManagedDisk, PlatformImage

_LONGEST_NAME = 80
"""Characters in the name of a disk or snapshot (learn.microsoft.com, resource name rules)."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The resources of one build. `source` says exactly what it starts from, for people and provisioners."""

    disk: DiskPlan
    snapshot: SnapshotPlan
    image: ImagePlan | None
    version: VersionPlan | None
    source: str
    run: str
    remarks: tuple[str, ...] = field(default=())


async def planned(spec: BuildSpec, site: Site) -> BuildPlan:
    """Look up the source, check the destination, choose the names; raises Refused before anything is created."""
    _must_be_supported(spec)
    source, described, generation = await _source(spec, site)
    disk_id = spec.temporary_os_disk_id or site.machine.id.sibling("disks", _name(site, spec, "osdisk"))
    snapshot_id = spec.temporary_os_disk_snapshot_id or site.machine.id.sibling(
        "snapshots", _name(site, spec, "snapshot")
    )
    await _must_be_new(spec, site)
    disk = DiskPlan(
        id=disk_id,
        location=site.machine.location,
        zone=site.machine.zone,
        source=source,
        sku=spec.os_disk_storage_account_type,
        size_gb=spec.os_disk_size_gb,
        generation=spec.image_hyperv_generation if spec.from_scratch else None,
        encryption_set=spec.disk_encryption_set_id,
        tags=site.tags(spec.name),
    )
    snapshot = SnapshotPlan(
        id=snapshot_id,
        disk=disk_id,
        location=site.machine.location,
        incremental=spec.snapshot_incremental,
        tags=site.tags(spec.name),
    )
    image, version = _image(spec, site, snapshot_id), await _version(spec, site, snapshot_id, generation)
    return BuildPlan(disk, snapshot, image, version, described, site.run, _remarks(spec, generation))


async def _definition(site: Site, definition: ArmId) -> Definition | None:
    return await site.lookups.get(definition, lambda: definition_facts(site.arm, definition))


def _image(spec: BuildSpec, site: Site, snapshot: ArmId) -> ImagePlan | None:
    if spec.image_resource_id is None or spec.skip_create_image:
        return None
    return ImagePlan(
        id=spec.image_resource_id,
        location=site.machine.location,
        snapshot=snapshot,
        generation=spec.image_hyperv_generation,
        caching=spec.os_disk_cache_type,
        sku=spec.os_disk_storage_account_type,
        data_caching=spec.data_disk_cache_type,
        data_sku=spec.data_disk_storage_account_type,
        tags=spec.tags,
    )


async def _version(spec: BuildSpec, site: Site, snapshot: ArmId, generation: str) -> VersionPlan | None:
    wanted = spec.shared_image_destination
    if wanted is None or spec.skip_create_image:
        return None
    version = wanted.version_id(site.machine.id.subscription)
    definition = await _definition(site, version.parent())
    if definition is None:
        raise Refused(
            f"the image definition {version.parent()} does not exist",
            hint="create it first: az sig image-definition create",
        )
    if (why := misfit(definition, generation)) is not None:
        raise Refused(f"the image definition {definition.id.name} does not fit: {why}", hint="use another definition")
    if await version_facts(site.arm, version):
        raise Refused(f"the image version {version} exists already", hint="choose another image_version")
    return VersionPlan(
        id=version,
        location=site.machine.location,
        snapshot=snapshot,
        regions=regions_with(site.machine.location, wanted.target_regions),
        caching=spec.os_disk_cache_type,
        data_caching=spec.data_disk_cache_type,
        exclude_from_latest=wanted.exclude_from_latest,
        shallow=wanted.replication_mode == "Shallow",
        end_of_life=wanted.end_of_life_date,
        tags=spec.tags,
    )


def _must_be_supported(spec: BuildSpec) -> None:
    """What a template may say and gilder cannot do yet is refused, never left out silently."""
    if spec.post_processors:
        kinds = sorted({processor.type for chain in spec.post_processors for processor in chain})
        hint = "remove them from the template, and act on what `gilder build` prints"
        raise Refused(f"post-processors are not supported yet: {', '.join(kinds)}", hint=hint)


async def _source(spec: BuildSpec, site: Site) -> tuple[DiskSource, str, str]:
    """Where the disk comes from, that in words, and its Hyper-V generation where known."""
    here = site.machine
    match spec.source:
        case None:
            return Empty(), "scratch", ""
        case PlatformImage() as image:
            found = await site.lookups.get(
                image, lambda: platform_version(site.arm, here.id.subscription, here.location, image)
            )
            if found.os_type and found.os_type != "Linux":
                raise Refused(f"{image} is a {found.os_type} image", hint="gilder builds Linux images only")
            return FromPlatformImage(found.id), found.id, found.generation
        case ManagedDisk() as disk:
            facts = await disk_facts(site.arm, disk.id)
            if facts is None:
                raise Refused(f"the source disk {disk.id} does not exist", hint="correct `source`")
            if facts.location.lower() != here.location.lower():
                raise Refused(
                    f"the source disk {disk.id.name} is in {facts.location} and this VM in {here.location}",
                    hint="a disk can be copied only within its region: use a disk here, or a gallery image version",
                )
            return FromDisk(disk.id), str(disk.id), ""
        case GalleryVersion() as version:
            found_version = await site.lookups.get(version, lambda: version_facts(site.arm, version.id))
            if found_version is None:
                raise Refused(f"the source image version {version.id} does not exist", hint="correct `source`")
            if found_version.data_luns:
                raise Refused(
                    f"{version.id} has data disks, which are not supported yet", hint="use a version without data disks"
                )
            definition = await _definition(site, version.id.parent())
            generation = definition.generation if definition else ""
            return FromGalleryVersion(found_version.id), str(found_version.id), generation


async def _must_be_new(spec: BuildSpec, site: Site) -> None:
    """What the build will create must not be there: gilder never adopts or replaces what it did not make."""
    if spec.temporary_os_disk_id and await disk_facts(site.arm, spec.temporary_os_disk_id):
        raise Refused(
            f"temporary_os_disk_id names a disk that exists: {spec.temporary_os_disk_id}",
            hint="choose another name, or leave it out to have one made",
        )
    snapshot = spec.temporary_os_disk_snapshot_id
    if snapshot and await snapshot_exists(site.arm, snapshot):
        raise Refused(
            f"temporary_os_disk_snapshot_id names a snapshot that exists: {snapshot}",
            hint="choose another name, or leave it out to have one made",
        )
    if spec.image_resource_id and await image_exists(site.arm, spec.image_resource_id):
        raise Refused(
            f"the image {spec.image_resource_id} exists already",
            hint="choose another name, such as one with {{timestamp}}, or delete that image first",
        )


def _remarks(spec: BuildSpec, generation: str) -> tuple[str, ...]:
    wanted = spec.image_hyperv_generation
    if spec.image_resource_id and generation and generation != wanted:
        other = HyperVGeneration.V2 if wanted is HyperVGeneration.V1 else HyperVGeneration.V1
        told = f"the source is a generation {generation} image and the result will be {wanted}: it may not boot"
        return (f'{told}; consider "image_hyperv_generation": "{other}"',)
    return ()


def _name(site: Site, spec: BuildSpec, what: str) -> str:
    """A name no other build has: two builds of one second must not share a disk."""
    clean = re.sub(r"[^0-9A-Za-z_.-]+", "-", spec.name).strip("-_.")
    tail = f"-{site.serial(spec.name)}-{what}"
    return f"gilder-{site.run}-{clean}"[: _LONGEST_NAME - len(tail)].rstrip("-_.") + tail
