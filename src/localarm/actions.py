"""Everything a step of an operation can do, by name (steps are data, see `operations`)."""

from __future__ import annotations

from localarm import access, disks, groups, images, machines, plugging, versions, vms
from localarm.galleries import VERSION
from localarm.messages import Json
from localarm.operations import Operation
from localarm.replication import broken_off
from localarm.world import Action, World


def settled(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step where only the state changes."""
    found = world.find(disks.operation_kind(operation), operation.target)
    if found is not None:
        world.put(found.with_properties(provisioningState="Succeeded"))


def failed(world: World, operation: Operation, args: Json, at: float) -> None:
    """What a failed operation leaves: the resource, in state Failed.

    A disk, snapshot, image or version that it was to create is created anew by a PUT. A group that could not be deleted is as
    it was.
    """
    found = world.find(disks.operation_kind(operation), operation.target)
    if found is None:
        return
    if found.kind == VERSION and operation.kind != "version.delete":
        found = broken_off(found, at)
    found = found.with_properties(provisioningState="Succeeded" if found.kind == groups.KIND else "Failed")
    world.put(found.with_hidden(unmade=True) if ".create" in operation.kind else found)


ACTIONS: dict[str, Action] = {
    "settled": settled,
    "failed": failed,
    "removed": disks.removed,
    "disk.created": disks.created,
    "disk.resized": disks.resized,
    "disk.not-shrunk": disks.not_shrunk,
    "vm.device-here": plugging.device_here,
    "vm.device-gone": plugging.device_gone,
    "device.late": plugging.device_late,
    "vm.settled": vms.settled,
    "vm.made": machines.made,
    "vm.power": machines.powered,
    "vm.removed": machines.removed,
    "image.made": images.made,
    "version.made": versions.made,
    "access.granted": access.granted,
    "access.revoked": access.revoked,
    "group.removed": groups.removed,
}
