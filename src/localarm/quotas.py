"""Laws of quantity: how many of a kind there may be, and how fast they may come."""

from __future__ import annotations

from localarm.arm import Address, key
from localarm.errors import not_allowed
from localarm.resources import Resource
from localarm.world import World


def below_disk_quota(world: World, address: Address) -> None:
    """A subscription has room for one more disk."""
    _room_for_one_more(len(_others(world, address)), world.settings.disk_quota, "Disks")


GALLERY_QUOTAS = {
    "galleries": (100, "Galleries"),
    "galleries/images": (1000, "GalleryImages"),
    "galleries/images/versions": (10_000, "GalleryImageVersions"),
}
"""How many a subscription may have in a region (Azure's page on galleries)."""


def below_gallery_quota(world: World, address: Address, location: str) -> None:
    """A subscription has room for one more gallery, definition or version in a region."""
    found = _others(world, address)
    most, what = GALLERY_QUOTAS[address.kind]
    _room_for_one_more(sum(each.location == location for each in found), most, what)


def _others(world: World, address: Address) -> list[Resource]:
    """What a subscription has of a kind, without what a failed creation left in the place of the new one."""
    found = world.all(address.kind, f"/subscriptions/{address.subscription}")
    return [each for each in found if each.key != key(address.id)]


def _room_for_one_more(present: int, most: int, what: str) -> None:
    if present >= most:
        raise not_allowed(
            f"Operation results in exceeding quota limits of {what}. Maximum allowed: {most}, Current in use: {present}, "
            "Additional requested: 1."
        )


INCREMENTAL_BURST, INCREMENTAL_WINDOW = 7, 300.0
MOST_INCREMENTAL = 500


def incremental_paced(world: World, disk: Resource, now: float) -> Resource:
    """A disk has at most 500 incremental snapshots, and 7 of 5 minutes. Returns it with one more noted."""
    recent = [at for at in disk.hidden.get("incremental", ()) if at > now - INCREMENTAL_WINDOW]
    if len(recent) >= INCREMENTAL_BURST:
        raise not_allowed(
            f"Disk '{disk.name}' has {len(recent)} incremental snapshots of the last 5 minutes; at most "
            f"{INCREMENTAL_BURST} are allowed. Please retry later."
        )
    present = [each for each in world.all("snapshots") if _incremental_of(each, disk)]
    _room_for_one_more(len(present), MOST_INCREMENTAL, "IncrementalSnapshots")
    return disk.with_hidden(incremental=[*recent, now])


def _incremental_of(snapshot: Resource, disk: Resource) -> bool:
    source = key(str(snapshot.properties["creationData"].get("sourceResourceId", "")))
    return bool(snapshot.properties.get("incremental")) and source == disk.key
