"""What one build will create, as values: looked up and checked before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gilder.azure.arm import Arm
from gilder.azure.disks import DiskPlan, FromGalleryVersion, disk_facts
from gilder.azure.galleries import VersionPlan, regions_with
from gilder.azure.images import ImagePlan
from gilder.azure.snapshots import SnapshotPlan, snapshot_exists
from gilder.build.destination import checked_image, checked_version
from gilder.build.origin import Origin, origin
from gilder.build.room import checked_room
from gilder.build.site import Site
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, HyperVGeneration

_LONGEST_NAME = 80
"""Characters in the name of a disk or snapshot (learn.microsoft.com, resource name rules)."""


@dataclass(frozen=True, slots=True)
class DataDiskPlan:
    """A data disk of the source, which goes into the new image at its LUN; it is never attached."""

    lun: int
    disk: DiskPlan
    snapshot: SnapshotPlan


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The resources of one build. `source` says exactly what it starts from, for people and provisioners."""

    disk: DiskPlan
    snapshot: SnapshotPlan
    data: tuple[DataDiskPlan, ...]
    image: ImagePlan | None
    version: VersionPlan | None
    source: str
    run: str
    replaces: frozenset[ArmId] = frozenset()
    """What is deleted before it is made anew."""
    remarks: tuple[str, ...] = field(default=())


async def planned(spec: BuildSpec, site: Site) -> BuildPlan:
    """Look up the source, check the destination, choose the names; raises Refused before anything is created."""
    _must_be_attachable(spec, site)
    found = await origin(spec, site)
    disk = _disk(spec, site, found)
    snapshot = _snapshot(spec, site, _snapshot_id(spec, site), disk.id)
    data = () if spec.skip_create_image else tuple(_data_disk(spec, site, found, lun) for lun in found.data_luns)
    await _must_be_new(spec, site, data)
    snapshots = {one.lun: one.snapshot.id for one in data}
    image, replaced = await _image(spec, site, snapshot.id, snapshots, found)
    version, replaced_too = await _version(spec, site, snapshot.id, snapshots, found)
    await checked_room(site)  # last: what it asks about is being fetched since the run began
    return BuildPlan(
        disk, snapshot, data, image, version, found.words, site.run, replaced | replaced_too, _remarks(spec, found)
    )


def _disk(spec: BuildSpec, site: Site, found: Origin) -> DiskPlan:
    return DiskPlan(
        id=spec.temporary_os_disk_id or site.machine.id.sibling("disks", _name(site, spec, "osdisk")),
        location=site.machine.location,
        zone=site.machine.zone,
        source=found.source,
        sku=spec.os_disk_storage_account_type,
        size_gb=spec.os_disk_size_gb,
        # A disk from a source has these from there.
        generation=spec.image_hyperv_generation if spec.from_scratch else None,
        architecture=site.architecture if spec.from_scratch else "",
        encryption_set=spec.disk_encryption_set_id,
        tags=site.tags(spec.name),
    )


def _snapshot_id(spec: BuildSpec, site: Site) -> ArmId:
    chosen = spec.temporary_os_disk_snapshot_id
    return chosen or site.machine.id.sibling("snapshots", _name(site, spec, "snapshot"))


def _snapshot(spec: BuildSpec, site: Site, id_: ArmId, disk: ArmId) -> SnapshotPlan:
    return SnapshotPlan(
        id=id_,
        disk=disk,
        location=site.machine.location,
        incremental=spec.snapshot_incremental,
        encryption_set=spec.disk_encryption_set_id,
        tags=site.tags(spec.name),
    )


def _data_disk(spec: BuildSpec, site: Site, found: Origin, lun: int) -> DataDiskPlan:
    assert isinstance(found.source, FromGalleryVersion), "only image versions have data disks"
    disk = DiskPlan(
        id=_numbered(spec.temporary_data_disk_id_prefix, lun)
        or site.machine.id.sibling("disks", _name(site, spec, f"datadisk-{lun}")),
        location=site.machine.location,
        zone=site.machine.zone,
        source=FromGalleryVersion(found.source.version, lun),
        sku=spec.data_disk_storage_account_type,
        os_disk=False,
        encryption_set=spec.disk_encryption_set_id,
        tags=site.tags(spec.name),
    )
    snapshot = _numbered(spec.temporary_data_disk_snapshot_id, lun) or site.machine.id.sibling(
        "snapshots", _name(site, spec, f"datasnapshot-{lun}")
    )
    return DataDiskPlan(lun, disk, _snapshot(spec, site, snapshot, disk.id))


def _numbered(prefix: str | None, lun: int) -> ArmId | None:
    return ArmId.parse(f"{prefix}{lun}") if prefix else None


async def _image(
    spec: BuildSpec, site: Site, snapshot: ArmId, data: dict[int, ArmId], found: Origin
) -> tuple[ImagePlan | None, frozenset[ArmId]]:
    wanted = spec.image_resource_id
    if wanted is None or spec.skip_create_image:
        return None, frozenset()
    replaced = await checked_image(wanted, found, site)
    plan = ImagePlan(
        id=wanted,
        location=site.machine.location,
        snapshot=snapshot,
        generation=spec.image_hyperv_generation,
        caching=spec.os_disk_cache_type,
        sku=spec.os_disk_storage_account_type,
        data_snapshots=data,
        data_caching=spec.data_disk_cache_type,
        data_sku=spec.data_disk_storage_account_type,
        encryption_set=spec.disk_encryption_set_id,
        tags=spec.tags,
        followed=bool(spec.post_processors),
    )
    return plan, frozenset([wanted] if replaced else [])


async def _version(
    spec: BuildSpec, site: Site, snapshot: ArmId, data: dict[int, ArmId], found: Origin
) -> tuple[VersionPlan | None, frozenset[ArmId]]:
    wanted = spec.shared_image_destination
    if wanted is None or spec.skip_create_image:
        return None, frozenset()
    version = wanted.version_id(site.gallery_subscription(spec))
    replaced = await checked_version(version, found, site)
    regions = regions_with(site.machine.location, wanted.target_regions)
    if wanted.replication_mode == "Shallow" and len(regions) > 1:
        raise Refused(
            f"with replication_mode Shallow there is a replica in {site.machine.location}, where this VM is, and no other",
            hint="leave target_regions out, or replication_mode",
        )
    plan = VersionPlan(
        id=version,
        location=site.machine.location,
        snapshot=snapshot,
        regions=regions,
        caching=spec.os_disk_cache_type,
        data_snapshots=data,
        data_caching=spec.data_disk_cache_type,
        exclude_from_latest=wanted.exclude_from_latest,
        shallow=wanted.replication_mode == "Shallow",
        end_of_life=wanted.end_of_life,
        encryption_set=spec.disk_encryption_set_id,
        tags=spec.tags,
        followed=bool(spec.post_processors),
    )
    return plan, frozenset([version] if replaced else [])


def _must_be_attachable(spec: BuildSpec, site: Site) -> None:
    disk, mine = spec.temporary_os_disk_id, site.machine.id.subscription
    if disk is not None and disk.subscription.lower() != mine.lower():
        raise Refused(
            f"temporary_os_disk_id: a disk of the subscription {disk.subscription} cannot be attached to this VM",
            hint=f"name one of this VM's subscription, {mine}",
        )


async def _must_be_new(spec: BuildSpec, site: Site, data: tuple[DataDiskPlan, ...]) -> None:
    """Names that a user chose must not be taken: gilder never adopts or replaces what it did not make."""
    chosen: list[tuple[str, str, ArmId | None, Callable[[Arm, ArmId], Awaitable[object]]]] = [
        ("temporary_os_disk_id", "disk", spec.temporary_os_disk_id, disk_facts),
        ("temporary_os_disk_snapshot_id", "snapshot", spec.temporary_os_disk_snapshot_id, snapshot_exists),
    ]
    if spec.temporary_data_disk_id_prefix:
        chosen += [("temporary_data_disk_id_prefix", "disk", one.disk.id, disk_facts) for one in data]
    if spec.temporary_data_disk_snapshot_id:
        chosen += [("temporary_data_disk_snapshot_id", "snapshot", one.snapshot.id, snapshot_exists) for one in data]
    for option, what, id_, look in chosen:
        if id_ is not None and await look(site.arm, id_):
            raise Refused(
                f"{option} names a {what} that exists: {id_}",
                hint="choose another name, or leave it out to have one made",
            )


def _remarks(spec: BuildSpec, found: Origin) -> tuple[str, ...]:
    remarks = []
    wanted = spec.image_hyperv_generation
    if spec.image_resource_id and found.generation and found.generation != wanted:
        other = HyperVGeneration.V2 if wanted is HyperVGeneration.V1 else HyperVGeneration.V1
        told = f"the source is a generation {found.generation} image and the result will be {wanted}: it may not boot"
        remarks.append(f'{told}; consider "image_hyperv_generation": "{other}"')
    if found.specialized:
        remarks.append(
            "the source is a specialized image and the result will be generalized: remove host keys, machine id and users"
        )
    if spec.temporary_data_disk_id_prefix and not found.data_luns:
        remarks.append("the source has no data disks: the options for them mean nothing")
    return tuple(remarks)


def _name(site: Site, spec: BuildSpec, what: str) -> str:
    """A name no other build has: two builds of one second must not share a disk."""
    clean = re.sub(r"[^0-9A-Za-z_.-]+", "-", spec.name).strip("-_.")
    tail = f"-{site.serial(spec.name)}-{what}"
    return f"{site.prefix}{clean}"[: _LONGEST_NAME - len(tail)].rstrip("-_.") + tail
