"""What a world may hold before a build begins: disks, galleries, definitions, versions with data disks."""

from __future__ import annotations

from typing import Any

from azure.mgmt.compute import models
from tests.virtual.place import GROUP, Place

from gilder.azure.operations import Usual, looks
from gilder.model.ids import ArmId
from localarm.settings import SUBSCRIPTION

REGION = "westeurope"


def id_of(kind: str, name: str, subscription: str = SUBSCRIPTION) -> ArmId:
    """The id of a resource in the place's group; of a nested one by `galleries/images`, `gallery/linux`."""
    types, names = tuple(kind.split("/")), tuple(name.split("/"))
    return ArmId(subscription, GROUP, "Microsoft.Compute", types, names)


async def put(place: Place, collection: str, id_: ArmId, body: Any) -> ArmId:
    """Create a resource and wait until it is there."""
    begin = getattr(place.arm.client(id_.subscription), collection).begin_create_or_update
    operation = await place.arm.change(f"making {id_.name}", begin, id_.resource_group, *id_.names, body)
    await place.arm.finished(id_.subscription, operation, looks(Usual.CREATE_DISK))
    return id_


async def disk(
    place: Place, name: str, *, location: str = REGION, subscription: str = SUBSCRIPTION, **more: Any
) -> ArmId:
    """An empty disk of 2 GiB with the properties of a Linux disk, unless `more` says otherwise."""
    properties: dict[str, Any] = {"os_type": "Linux", "hyper_v_generation": "V2", "disk_size_gb": 2} | more
    body = models.Disk(
        location=location,
        properties=models.DiskProperties(creation_data=models.CreationData(create_option="Empty"), **properties),
    )
    return await put(place, "disks", id_of("disks", name, subscription), body)


async def gallery(place: Place, *, location: str = REGION, subscription: str = SUBSCRIPTION) -> ArmId:
    """The gallery `gallery`."""
    return await put(place, "galleries", id_of("galleries", "gallery", subscription), models.Gallery(location=location))


async def definition(
    place: Place, name: str = "linux", *, location: str = REGION, subscription: str = SUBSCRIPTION, **more: Any
) -> ArmId:
    """A definition in the gallery: generalized Linux, generation V2, x64, unless `more` says otherwise."""
    options: dict[str, Any] = {"os_type": "Linux", "os_state": "Generalized", "hyper_v_generation": "V2"} | more
    identifier = models.GalleryImageIdentifier(publisher="us", offer="linux", sku=name)
    body = models.GalleryImage(
        location=location, properties=models.GalleryImageProperties(identifier=identifier, **options)
    )
    return await put(place, "gallery_images", id_of("galleries/images", f"gallery/{name}", subscription), body)


async def image(place: Place, name: str, source: ArmId, *, tags: dict[str, str] | None = None) -> ArmId:
    """A managed image of a disk, as Packer's azure-arm and the portal make it, or of a snapshot."""
    of_disk, made_of = source.is_type("disks"), models.SubResource(id=str(source))
    os_disk = models.ImageOSDisk(
        os_type="Linux",
        os_state="Generalized",
        managed_disk=made_of if of_disk else None,
        snapshot=None if of_disk else made_of,
    )
    storage = models.ImageStorageProfile(os_disk=os_disk)
    properties = models.ImageProperties(hyper_v_generation="V2", storage_profile=storage)
    return await put(
        place, "images", id_of("images", name), models.Image(location=REGION, tags=tags, properties=properties)
    )


async def version(
    place: Place, name: str, source: ArmId, *, regions: tuple[str, ...] = (REGION,), data: dict[int, ArmId] | None = None,
    location: str = REGION, subscription: str = SUBSCRIPTION, hidden: bool = False, of: str = "linux",
) -> ArmId:  # fmt: skip
    """A version of a definition from disks: that of the system, and by LUN those with data."""
    parts = [
        models.GalleryDataDiskImage(lun=lun, source=models.GalleryDiskImageSource(id=str(disk)))
        for lun, disk in (data or {}).items()
    ]
    storage = models.GalleryImageVersionStorageProfile(
        os_disk_image=models.GalleryOSDiskImage(source=models.GalleryDiskImageSource(id=str(source))),
        data_disk_images=parts,
    )
    publishing = models.GalleryImageVersionPublishingProfile(
        target_regions=[models.TargetRegion(name=region) for region in regions], exclude_from_latest=hidden
    )
    properties = models.GalleryImageVersionProperties(storage_profile=storage, publishing_profile=publishing)
    body = models.GalleryImageVersion(location=location, properties=properties)
    id_ = id_of("galleries/images/versions", f"gallery/{of}/{name}", subscription)
    return await put(place, "gallery_image_versions", id_, body)
