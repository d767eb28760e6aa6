"""Data disks appearing in and vanishing from the guest that this machine plays."""

from __future__ import annotations

import contextlib

from localarm import disks
from localarm.arm import key
from localarm.capture import shared
from localarm.devices import DeviceBusy
from localarm.messages import Json
from localarm.operations import Operation
from localarm.world import World

MACHINES = "virtualmachines"


def device_here(world: World, operation: Operation, args: Json, at: float) -> None:
    """A step of an attach: the guest sees the device, unless somebody detached the disk meanwhile."""
    machine = world.find(MACHINES, operation.target)
    entries = machine.properties["storageProfile"].get("dataDisks", []) if machine else []
    if any((entry["lun"], key(entry["managedDisk"]["id"])) == (args["lun"], key(args["disk"])) for entry in entries):
        shown_device(world, operation.target, args["lun"], args["disk"])


def device_gone(world: World, operation: Operation, args: Json, at: float) -> None:
    """A step of a detach: the guest sees the device no more."""
    hidden_device(world, operation.target, args["lun"], args["disk"])


def device_late(world: World, operation: Operation, args: Json, at: float) -> None:
    """What a fault held back appears, unless it is detached by now."""
    machine = world.find(MACHINES, args["machine"])
    for entry in machine.properties["storageProfile"].get("dataDisks", []) if machine else []:
        if key(entry["managedDisk"]["id"]) == key(args["disk"]) and not entry.get("toBeDetached"):
            shown_device(world, args["machine"], int(entry["lun"]), args["disk"])


def shown_device(world: World, machine_id: str, lun: int, disk_id: str) -> None:
    """Let the guest see a disk, if it is the guest of the host machine and no fault holds the device back."""
    blob = _to_be_shown(world, machine_id, lun, disk_id)
    if blob:
        if shared(world, blob):  # by a snapshot of a moment ago: what the guest writes is none of it
            world.blobs.thaw(blob)
        world.devices.attach(lun, world.blobs.path(blob))


def _to_be_shown(world: World, machine_id: str, lun: int, disk_id: str) -> str:
    disk = world.find(disks.KIND, disk_id)
    if key(machine_id) != key(world.settings.host_id) or disk is None:
        return ""
    held_back = world.withheld.get(disk.key, 0) > world.clock()
    return "" if held_back or lun in world.devices.attached() else disk.blob


def hidden_device(world: World, machine_id: str, lun: int, disk_id: str) -> None:
    """Take a disk from the guest. One that is in use goes all the same, as on Azure; that is noted."""
    world.withheld.pop(key(disk_id), None)
    if key(machine_id) != key(world.settings.host_id) or lun not in world.devices.attached():
        return
    if world.devices.in_use(lun):
        world.violate("detached-while-in-use", resource=disk_id, lun=lun)
    with contextlib.suppress(DeviceBusy):  # noted above; the detach went ahead
        unflushed = world.devices.detach(lun)
        if unflushed:
            world.violate("detached-unflushed", resource=disk_id, lun=lun, sectors=unflushed)


def restore_devices(world: World) -> None:
    """After a restart: show the disks that the host machine has attached, take away the rest."""
    machine = world.find(MACHINES, world.settings.host_id)
    if machine is not None:
        pending = {
            step.args.get("disk")
            for each in world.running(machine.id)
            for step in each.steps
            if step.do == "vm.device-here"
        }
        for entry in machine.properties["storageProfile"].get("dataDisks", []):
            lun, disk_id = int(entry["lun"]), entry["managedDisk"]["id"]
            blob = "" if disk_id in pending else _to_be_shown(world, machine.id, lun, disk_id)
            if blob:
                world.devices.attach(lun, world.blobs.path(blob))
                if shared(world, blob):  # captured while it was attached: it cannot be written any more (see capture)
                    world.devices.make_read_only(lun)
