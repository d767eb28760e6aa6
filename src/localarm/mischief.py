"""What the faults do to the world that are more than a bad answer."""

from __future__ import annotations

from localarm import disks
from localarm.capture import GIB
from localarm.clock import timestamp
from localarm.errors import Refused
from localarm.faults import Fault
from localarm.laws import max_data_disks
from localarm.messages import Json, Response
from localarm.plugging import hidden_device, shown_device
from localarm.resources import Resource, document
from localarm.throttle import throttled
from localarm.vms import KIND
from localarm.world import World

FATES = {"fail": "Failed", "cancel": "Canceled", "preempt": "Canceled"}


def before(world: World, fault: Fault) -> None:
    """Strike before the request is handled.

    Raises:
        Refused: that is what the fault is.
    """
    if fault.what == "refuse":
        raise Refused(fault.status, fault.code, fault.message)
    if fault.what == "throttle":
        raise throttled("Injected", int(fault.seconds))
    if fault.what in FATES:
        preempted = fault.what == "preempt"
        code = "OperationPreempted" if preempted else fault.code
        text = "Operation execution has been preempted by a more recent operation." if preempted else fault.message
        world.next_fate = ("Failed" if fault.what == "fail" else "Canceled", code, text)
    elif fault.what in ("device-never", "device-late"):
        world.next_device = float("inf") if fault.what == "device-never" else fault.seconds
    elif fault.what == "stranger-attaches":
        stranger_attaches(world, fault.lun)
    elif fault.what == "stranger-detaches":
        stranger_detaches(world, fault.lun)


def after(fault: Fault, response: Response) -> Response:
    """Strike at the answer."""
    if fault.what == "delay":
        return Response(
            response.status, response.payload, response.headers, response.delay + fault.seconds, response.fate
        )
    if fault.what in ("lose", "drop"):
        return Response(response.status, response.payload, response.headers, response.delay, "reset")
    if fault.what == "hang":
        return Response(response.status, response.payload, response.headers, response.delay, "hang")
    return response


def stranger_attaches(world: World, lun: int) -> str:
    """Someone else attaches a disk of their own to the host machine, at this LUN or the next free one; returns its id.

    A VM without a free LUN stays as it is: Azure would refuse the stranger.
    """
    machine = _host(world)
    taken = {entry["lun"] for entry in _entries(machine)}
    free = sorted(set(range(max_data_disks(machine))) - taken)
    if not free:
        return ""
    lun = next((each for each in free if each >= lun), free[0])
    unique = world.new_id()
    disk_id = f"{machine.id.rpartition('/providers/')[0]}/providers/Microsoft.Compute/disks/stranger-{unique[:13]}"
    world.create_blob(f"disk-{unique}", GIB)
    now = world.clock()
    properties: Json = {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 1, "timeCreated": timestamp(now),
        "provisioningState": "Succeeded", "diskState": "Unattached", "diskSizeBytes": GIB, "uniqueId": unique,
    }  # fmt: skip
    body = document(
        disk_id, "Microsoft.Compute/disks", machine.location, sku={"name": "Standard_LRS", "tier": "Standard"},
        properties=properties,
    )  # fmt: skip
    disk = world.put(Resource(disks.KIND, body, f"disk-{unique}"))
    entry = {
        "lun": lun, "name": disk.name, "createOption": "Attach", "caching": "None",
        "managedDisk": {"storageAccountType": "Standard_LRS", "id": disk_id}, "deleteOption": "Detach", "diskSizeGB": 1,
        "toBeDetached": False,
    }  # fmt: skip
    _write(world, machine, [*_entries(machine), entry])
    shown_device(world, machine.id, lun, disk_id)
    disks.own(world, disk, machine.id, now)
    return disk_id


def stranger_detaches(world: World, lun: int) -> None:
    """Someone else detaches the disk at a LUN of the host machine."""
    machine = _host(world)
    for entry in _entries(machine):
        if entry["lun"] != lun:
            continue
        _write(world, machine, [each for each in _entries(machine) if each is not entry])
        hidden_device(world, machine.id, lun, entry["managedDisk"]["id"])
        disk = world.find(disks.KIND, entry["managedDisk"]["id"])
        if disk is not None:
            disks.own(world, disk, None, world.clock())


def _host(world: World) -> Resource:
    machine = world.find(KIND, world.settings.host_id)
    assert machine is not None  # it cannot be deleted
    return machine


def _entries(machine: Resource) -> list[Json]:
    found: list[Json] = machine.properties["storageProfile"].get("dataDisks", [])
    return found


def _write(world: World, machine: Resource, entries: list[Json]) -> None:
    storage = {**machine.properties["storageProfile"], "dataDisks": entries}
    world.put(machine.with_properties(storageProfile=storage).with_hidden(etag=machine.etag + 1))
