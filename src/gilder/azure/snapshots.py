"""Snapshots of managed disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from azure.mgmt.compute import models

from gilder.azure.arm import Arm
from gilder.azure.creating import Creation, created
from gilder.azure.operations import Begun, Usual, unheard
from gilder.azure.settling import FOREIGN, Removal, removed
from gilder.azure.words import word
from gilder.model.errors import NotFound
from gilder.model.ids import ArmId
from gilder.model.tags import carries


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPlan:
    """A snapshot to take of `disk`."""

    id: ArmId
    disk: ArmId
    location: str
    incremental: bool = False
    encryption_set: ArmId | None = None
    tags: dict[str, str] = field(default_factory=dict)


async def take_snapshot(arm: Arm, plan: SnapshotPlan, begun: Begun = unheard) -> None:
    """Take a snapshot and wait until it is there; raises CloudError. `begun` hears of the operation."""
    snapshots = arm.client(plan.id.subscription).snapshots
    creation = models.CreationData(create_option="Copy", source_resource_id=str(plan.disk))
    properties = models.SnapshotProperties(creation_data=creation, incremental=plan.incremental)
    if plan.encryption_set is not None:
        properties.encryption = models.Encryption(disk_encryption_set_id=str(plan.encryption_set))
    body = models.Snapshot(location=plan.location, tags=dict(plan.tags), properties=properties)
    doing = f"taking the snapshot {plan.id.name}"
    what = Creation(
        id=plan.id,
        begin=snapshots.begin_create_or_update,
        body=body,
        state=lambda: snapshot_state(arm, plan.id, plan.tags),
        usual=Usual.TAKE_SNAPSHOT,
        doing=doing,
    )
    await created(arm, what, begun)


async def snapshot_state(arm: Arm, snapshot: ArmId, tags: Mapping[str, str] | None = None) -> str:
    """The provisioning state of a snapshot, such as Succeeded or Updating; "" when there is none.

    With `tags`, FOREIGN when it was made for another build than these name.
    """
    snapshots = arm.client(snapshot.subscription).snapshots
    try:
        found = await arm.ask(
            f"reading the snapshot {snapshot.name}",
            lambda: snapshots.get(snapshot.resource_group, snapshot.name),
        )
    except NotFound:
        return ""
    if tags is not None and not carries(found.tags or {}, tags):
        return FOREIGN
    return word(found.properties.provisioning_state if found.properties else None) or "Unknown"


async def snapshot_exists(arm: Arm, snapshot: ArmId) -> bool:
    """Whether there is such a snapshot."""
    return await snapshot_state(arm, snapshot) != ""


async def delete_snapshot(arm: Arm, snapshot: ArmId, tags: Mapping[str, str] | None = None) -> Removal:
    """Delete a snapshot if it is there; raises CloudError.

    With `tags`, only one that was made for the build that these name; without, whatever has the name, which must be nobody
    else's. One that is still being taken refuses that (409), so its end is waited for first.
    """
    snapshots = arm.client(snapshot.subscription).snapshots
    begin, usual = snapshots.begin_delete, Usual.TAKE_SNAPSHOT
    state = partial(snapshot_state, arm, snapshot, tags)
    return await removed(arm, snapshot, begin, state, usual, ours_by_name=tags is None)
