"""Snapshots of managed disks."""

from __future__ import annotations

from dataclasses import dataclass, field

from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.operations import Usual, looks
from gilder.model.errors import NotFound
from gilder.model.ids import ArmId


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPlan:
    """A snapshot to take of `disk`."""

    id: ArmId
    disk: ArmId
    location: str
    incremental: bool = False
    tags: dict[str, str] = field(default_factory=dict)


async def take_snapshot(arm: Arm, plan: SnapshotPlan) -> None:
    """Take a snapshot and wait until it is there; raises CloudError."""
    snapshots = arm.client(plan.id.subscription).snapshots
    creation = models.CreationData(create_option="Copy", source_resource_id=str(plan.disk))
    body = models.Snapshot(
        location=plan.location,
        tags=dict(plan.tags),
        properties=models.SnapshotProperties(creation_data=creation, incremental=plan.incremental),
    )
    doing = f"taking the snapshot {plan.id.name}"
    operation = await arm.change(doing, snapshots.begin_create_or_update, plan.id.resource_group, plan.id.name, body)
    await arm.finished(plan.id.subscription, operation, looks(Usual.TAKE_SNAPSHOT))


async def snapshot_exists(arm: Arm, snapshot: ArmId) -> bool:
    """Whether there is such a snapshot."""
    snapshots = arm.client(snapshot.subscription).snapshots
    try:
        await arm.ask(
            f"reading the snapshot {snapshot.name}",
            lambda: snapshots.get(snapshot.resource_group, snapshot.name),
        )
    except NotFound:
        return False
    return True


async def delete_snapshot(arm: Arm, snapshot: ArmId) -> None:
    """Delete a snapshot if it is there; raises CloudError."""
    snapshots = arm.client(snapshot.subscription).snapshots
    if not await snapshot_exists(arm, snapshot):
        return
    try:
        operation = await arm.change(
            f"deleting the snapshot {snapshot.name}",
            snapshots.begin_delete,
            snapshot.resource_group,
            snapshot.name,
        )
        await arm.finished(snapshot.subscription, operation, looks(Usual.DELETE))
    except NotFound:
        return
