"""Virtual machines: what they list as data disks, and how that changes."""

from __future__ import annotations

from localarm import disks, laws, plugging, sameness
from localarm.arm import key, name_of
from localarm.attachments import Change, planned
from localarm.calls import Call, accepted, listed
from localarm.capture import shared
from localarm.clock import timestamp
from localarm.errors import Refused, invalid
from localarm.machine_view import shown, shown_instance
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.resources import Resource, document
from localarm.settings import Machine
from localarm.world import World

KIND = "virtualmachines"
DEVICE_HERE = 0.5
"""When in an attach the device appears: the middle, well before the operation ends (azuredisk-csi-driver issue 269)."""
DEVICE_GONE = 0.4
"""When in a detach the device vanishes; assumed."""


def get(call: Call) -> Response:
    """Show a machine; `$expand=instanceView` adds its state."""
    found = call.resource(KIND)
    expand = {name.lower(): value.lower() for name, value in call.request.query.items()}.get("$expand", "")
    return shown(call, found, instance_view="instanceview" in expand)


def instance_view(call: Call) -> Response:
    """Show the state alone."""
    return Response(200, shown_instance(call.world, call.resource(KIND)))


def lists(call: Call) -> Response:
    """List the machines of a group or a subscription."""
    return listed([each.body for each in call.world.all(KIND, call.scope)])


def put(call: Call) -> Response:
    """Write a machine: its data disks become those of the request; absent ones are detached."""
    found = call.world.find(KIND, call.id)
    if found is None:
        raise Refused(
            501, "NotImplemented", "localarm does not create virtual machines by PUT; name them when it starts."
        )
    return _write(call, found, call.body(), "vm.put")


def patch(call: Call) -> Response:
    """Update a machine: only what the request names changes."""
    return _write(call, call.resource(KIND), call.body(), "vm.patch")


def attach_detach(call: Call) -> Response:
    """Attach and detach data disks by id, in one change; answers the storage profile."""
    found = call.resource(KIND)
    body = call.body()
    going = {key(str(each["diskId"])): each for each in body.get("dataDisksToDetach") or []}
    coming = body.get("dataDisksToAttach") or []
    if not going and not coming:
        raise invalid("dataDisksToAttach", "Either dataDisksToAttach or dataDisksToDetach must name a disk.")
    present: list[Json] = found.properties["storageProfile"].get("dataDisks", [])
    for disk_id in going:
        if not any(key(entry["managedDisk"]["id"]) == disk_id for entry in present):
            raise invalid("dataDisksToDetach", f"Disk '{name_of(disk_id)}' is not attached to VM '{found.name}'.")
    staying = [entry["managedDisk"]["id"] for entry in present if not entry.get("toBeDetached")]
    laws.named_once([*staying, *(str(each["diskId"]) for each in coming)])
    wanted: list[Json] = []
    for entry in present:
        option = going.get(key(entry["managedDisk"]["id"]), {}).get("detachOption")
        if key(entry["managedDisk"]["id"]) not in going:
            wanted.append(entry)
        elif option:
            wanted.append({**entry, "toBeDetached": True, "detachOption": option})
    taken = {int(entry["lun"]) for entry in present} | {
        int(each["lun"]) for each in coming if each.get("lun") is not None
    }
    for each in coming:
        lun = each.get("lun")
        if lun is None:
            lun = next(number for number in range(len(taken) + 1) if number not in taken)
            taken.add(lun)
        extra = {name: each[name] for name in ("caching", "deleteOption", "writeAcceleratorEnabled") if name in each}
        extra.setdefault(
            "writeAcceleratorEnabled", False
        )  # this call shows it always, others only when true (recorded)
        wanted.append({"lun": lun, "createOption": "Attach", **extra, "managedDisk": {"id": each["diskId"]}})
    changed, operation = _begin(call, found, planned(call, found, wanted), "vm.attachdetach")
    response = accepted(call, 200, changed.properties["storageProfile"], operation, location=False)
    return response.with_headers({"ETag": f'"{changed.etag}"'})


def settled(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a change: the model says what is so."""
    machine = world.find(KIND, operation.target)
    if machine is None:
        return
    staying: list[Json] = []
    etag = machine.etag
    for entry in machine.properties["storageProfile"].get("dataDisks", []):
        disk = world.find(disks.KIND, entry["managedDisk"]["id"])
        if entry.get("toBeDetached"):
            plugging.hidden_device(world, machine.id, int(entry["lun"]), entry["managedDisk"]["id"])
            if disk is not None:
                disks.own(world, disk, None, at)
            etag = machine.etag + 1
            continue
        staying.append(entry)
        plugging.shown_device(world, machine.id, int(entry["lun"]), entry["managedDisk"]["id"])
        if disk is not None and key(str(disk.body.get("managedBy") or "")) != machine.key:
            disks.own(world, disk, machine.id, at, aside=machine.hidden.get("power") == "deallocated")
    storage = {**machine.properties["storageProfile"], "dataDisks": staying}
    world.put(machine.with_properties(provisioningState="Succeeded", storageProfile=storage).with_hidden(etag=etag))


def made(world: World, machine: Machine, subscription: str) -> Resource:
    """A machine that exists from the start, with an OS disk."""
    group = f"/subscriptions/{machine.subscription or subscription}/resourceGroups/{machine.group}"
    machine_id = f"{group}/providers/Microsoft.Compute/virtualMachines/{machine.name}"
    disk_id = f"{group}/providers/Microsoft.Compute/disks/{machine.name}_OsDisk_1"
    now = timestamp(world.clock())
    principal = next((each for each in world.settings.all_principals if key(each.vm) == key(machine_id)), None)
    identity = (
        {"type": "SystemAssigned", "principalId": principal.object_id, "tenantId": world.settings.tenant}
        if principal
        else None
    )
    zones = [machine.zone] if machine.zone else None
    os_disk = {
        "osType": "Linux", "hyperVGeneration": "V2", "creationData": {"createOption": "Empty"}, "diskSizeGB": 30,
        "diskIOPSReadWrite": 120, "diskMBpsReadWrite": 25, "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "networkAccessPolicy": "AllowAll", "publicNetworkAccess": "Enabled", "timeCreated": now,
        "provisioningState": "Succeeded", "diskState": "Attached", "diskSizeBytes": 30 << 30, "uniqueId": world.new_id(),
        "tier": "P4",
    }  # fmt: skip
    world.put(
        Resource(
            disks.KIND,
            document(
                disk_id,
                "Microsoft.Compute/disks",
                machine.location,
                managedBy=machine_id,
                zones=zones,
                sku={"name": "Premium_LRS", "tier": "Premium"},
                properties=os_disk,
            ),
        )
    )
    storage = {
        "osDisk": {
            "osType": "Linux", "name": f"{machine.name}_OsDisk_1", "createOption": "FromImage", "caching": "ReadWrite",
            "managedDisk": {"storageAccountType": "Premium_LRS", "id": disk_id}, "deleteOption": "Detach", "diskSizeGB": 30,
        },
        "dataDisks": [],
    }  # fmt: skip
    network = f"{group}/providers/Microsoft.Network"
    properties = {
        "hardwareProfile": {"vmSize": machine.size},
        "provisioningState": "Succeeded",
        "vmId": world.new_id(),
        "storageProfile": storage,
        "osProfile": {"computerName": machine.name, "adminUsername": "azureuser", "secrets": []},
        "networkProfile": {"networkInterfaces": [{"id": f"{network}/networkInterfaces/{machine.name}-nic"}]},
        "timeCreated": now,
    }  # fmt: skip
    body = document(
        machine_id, "Microsoft.Compute/virtualMachines", machine.location, identity=identity, zones=zones, tags={},
        properties=properties,
    )  # fmt: skip
    return world.put(Resource(KIND, body, hidden={"etag": 1, "generation": "V2"}))


def _write(call: Call, found: Resource, body: Json, family: str) -> Response:
    laws.etag_matches(found, call.request.headers)
    laws.same_place(found, str(body.get("location", "")))
    sameness.same_machine(found, body)
    properties = body.get("properties") or {}
    storage = properties.get("storageProfile") or {}
    if "tags" in body:
        found = found.with_body(tags=body["tags"])
    size = (properties.get("hardwareProfile") or {}).get("vmSize")
    resized = bool(size) and size != found.properties["hardwareProfile"]["vmSize"]
    if resized:
        laws.size_known(str(size))
        found = found.with_properties(hardwareProfile={"vmSize": size})
    present = found.properties["storageProfile"].get("dataDisks", [])
    if "dataDisks" in storage:
        change = planned(call, found, storage["dataDisks"] or [])
    elif resized:
        change = planned(call, found, present)
    else:
        change = Change(tuple(present), (), ())
    if "diagnosticsProfile" in properties:
        created = found.properties["timeCreated"]
        found = found.with_properties(timeCreated=None)
        found = found.with_properties(diagnosticsProfile=properties["diagnosticsProfile"], timeCreated=created)
    changed, operation = _begin(call, found, change, family)
    answer = shown(call, _without_new_ids(changed, change))
    response = accepted(call, 200, answer.payload, operation, location=False)
    return response.with_headers(answer.headers)


def _without_new_ids(machine: Resource, change: Change) -> Resource:
    """The first answer shows no id of a disk that this very write makes (recorded)."""
    new = {int(entry["lun"]) for entry in change.coming if entry["createOption"] == "Empty"}
    storage = machine.properties["storageProfile"]
    entries = []
    for entry in storage.get("dataDisks", []):
        if int(entry["lun"]) in new:
            entry = {**entry, "managedDisk": {"storageAccountType": entry["managedDisk"]["storageAccountType"]}}
        entries.append(entry)
    return machine.with_properties(storageProfile={**storage, "dataDisks": entries})


def _begin(call: Call, machine: Resource, change: Change, family: str) -> tuple[Resource, Operation]:
    world = call.world
    laws.not_marked_for_deletion(machine, "Update VM")
    carried = _one_at_a_time(world, machine)
    storage = {**machine.properties["storageProfile"], "dataDisks": list(change.entries)}
    changed = machine.with_properties(provisioningState="Updating", storageProfile=storage)
    changed = world.put(changed.with_hidden(etag=machine.etag + 1))
    kind = f"{family}.{change.kind}"
    now, lasts = world.clock(), world.lasts(kind)
    steps = [
        *carried,
        *(_device_step(now + lasts * DEVICE_HERE, "vm.device-here", entry) for entry in change.coming),
        *(_device_step(now + lasts * DEVICE_GONE, "vm.device-gone", entry) for entry in change.going),
        Step(now + lasts, "vm.settled"),
    ]
    steps = [Step(min(step.at, now + lasts), step.do, step.args) for step in steps]
    arriving = [world.find(disks.KIND, step.args["disk"]) for step in steps if step.do == "vm.device-here"]
    thaw = [disk.blob for disk in arriving if disk is not None and shared(world, disk.blob)]
    operation = world.begin(
        "operations", kind, machine.id, location=machine.location, api_version=call.api_version, steps=steps,
        work={"do": "thaw", "names": thaw} if thaw else None,
    )  # fmt: skip
    _withhold(call, machine, change, now + lasts)
    return changed, operation


def _withhold(call: Call, machine: Resource, change: Change, until: float) -> None:
    """A fault asks that the devices of this change appear late or never."""
    world = call.world
    if world.next_device is None or not change.coming or machine.key != key(world.settings.host_id):
        return
    late, world.next_device = world.next_device, None
    for entry in change.coming:
        disk_id = entry["managedDisk"]["id"]
        world.withheld[key(disk_id)] = until + late
        if late != float("inf"):
            args = {"machine": machine.id, "disk": disk_id}
            world.begin(
                "operations", "device.late", f"{disk_id}/device", location=machine.location, api_version=call.api_version,
                steps=[Step(until + late, "device.late", args)],
            )  # fmt: skip


def _one_at_a_time(world: World, machine: Resource) -> list[Step]:
    """Refuse, or preempt the write that runs: then its steps go on in the new one."""
    carried: list[Step] = []
    for running in world.running(machine.id):
        if world.settings.concurrent_writes == "refuse":
            laws.not_changing(world, machine)
        message = "Operation execution has been preempted by a more recent operation."
        carried += [step for step in running.steps if step.do != "vm.settled"]
        world.end(running, "Canceled", {"code": "OperationPreempted", "message": message})
    return carried


def _device_step(at: float, do: str, entry: Json) -> Step:
    return Step(at, do, {"lun": int(entry["lun"]), "disk": entry["managedDisk"]["id"]})
