"""Tags of disks and snapshots that are there: finding them, changing them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.operations import Usual, looks
from gilder.model.errors import NotFound
from gilder.model.ids import ArmId


@dataclass(frozen=True, slots=True)
class Labelled:
    """A disk or snapshot with its tags. `attached_to` is the id of the VM that has it, "" when none; `size_gb` in GiB."""

    id: ArmId
    tags: Mapping[str, str]
    created: datetime | None
    attached_to: str
    size_gb: int


async def labelled(arm: Arm, subscription: str, group: str) -> list[Labelled]:
    """The disks and snapshots of a resource group, with or without tags; raises CloudError."""
    client = arm.client(subscription)

    async def disks() -> list[Labelled]:
        return await _listed(client.disks.list_by_resource_group(group))

    async def snapshots() -> list[Labelled]:
        return await _listed(client.snapshots.list_by_resource_group(group))

    found = await arm.ask(f"listing the disks of {group}", disks)
    return found + await arm.ask(f"listing the snapshots of {group}", snapshots)


async def _listed(pages: AsyncIterable[models.Disk | models.Snapshot]) -> list[Labelled]:
    return [_labelled(one) async for one in pages]


async def read_labelled(arm: Arm, resource: ArmId, *, patient: bool = True) -> Labelled | None:
    """A disk or snapshot as it is now, None when it is gone. Who is not `patient` hears of throttling at once."""
    client, at = arm.client(resource.subscription), (resource.resource_group, resource.name)

    async def read() -> models.Disk | models.Snapshot:
        return await (client.disks.get(*at) if resource.is_type("disks") else client.snapshots.get(*at))

    try:
        return _labelled(await arm.ask(f"reading {resource.name}", read, patient=patient))
    except NotFound:
        return None


def _labelled(found: models.Disk | models.Snapshot) -> Labelled:
    told = found.properties
    attached_to = (found.managed_by or "") if isinstance(found, models.Disk) else ""
    created, size = (told.time_created, told.disk_size_gb) if told else (None, None)
    return Labelled(ArmId.parse(found.id or ""), dict(found.tags or {}), created, attached_to, size or 0)


Where = Callable[[Mapping[str, str]], bool]
"""Whether a resource with these tags is meant."""


async def relabel(
    arm: Arm, resource: ArmId, changed: Mapping[str, str], where: Where = lambda tags: True, *, patient: bool = True
) -> None:
    """Set tags of a disk or snapshot and keep its others; raises CloudError.

    Nothing happens when it is gone, or when what has its name now is not meant. Who is not `patient` hears of throttling at
    once, as Throttled.
    """
    now = await read_labelled(arm, resource, patient=patient)
    if now is None or not where(now.tags):
        return
    # A PATCH replaces all tags (Azure: Disks - Update), also those that a policy has added meanwhile.
    tags = {**now.tags, **changed}
    client, at = arm.client(resource.subscription), (resource.resource_group, resource.name)
    begin, body = (
        (client.disks.begin_update, models.DiskUpdate(tags=tags))
        if resource.is_type("disks")
        else (client.snapshots.begin_update, models.SnapshotUpdate(tags=tags))
    )
    try:
        doing = f"renewing the lease of {resource.name}"
        operation = await arm.change(doing, begin, *at, body, patient=patient)
        await arm.finished(resource.subscription, operation, looks(Usual.DELETE))
    except NotFound:
        return
