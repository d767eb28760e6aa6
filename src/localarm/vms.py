"""Virtual machines: what they list as data disks, and how that changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from localarm import disks, laws
from localarm.arm import key, name_of
from localarm.calls import Call, accepted, listed
from localarm.capture import shared
from localarm.clock import timestamp
from localarm.devices import DeviceBusy
from localarm.errors import Refused, invalid
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.resources import Resource, document
from localarm.settings import Machine
from localarm.world import World

KIND = "virtualmachines"
ETAG_SINCE = "2024-03-01"
"""Older api-versions never show an etag (wire/README.md)."""

DEVICE_HERE = 0.5
"""When in an attach the device appears: the middle, well before the operation ends (azuredisk-csi-driver issue 269)."""
DEVICE_GONE = 0.4
"""When in a detach the device vanishes; assumed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a machine's data disks: the list as it will be shown at once, and what comes and goes."""

    entries: tuple[Json, ...]
    coming: tuple[Json, ...]
    going: tuple[Json, ...]

    @property
    def kind(self) -> str:
        """Which durations apply."""
        forced = [entry for entry in self.going if entry.get("detachOption") == "ForceDetach"]
        if self.coming:
            return "attach.detach" if len(forced) < len(self.going) else "attach"
        if not self.going:
            return "update"
        if len(forced) == len(self.going):
            return "detach.force"
        return "detach" if len(self.going) == 1 else "detach.several"


def get(call: Call) -> Response:
    """Show a machine; `$expand=instanceView` adds its state."""
    found = call.resource(KIND)
    expand = {name.lower(): value.lower() for name, value in call.request.query.items()}.get("$expand", "")
    return shown(call, found, instance_view="instanceview" in expand)


def instance_view(call: Call) -> Response:
    """Show the state alone."""
    return Response(200, _instance_view(call.world, call.resource(KIND)))


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
    return _write(call, call.resource(KIND), call.body(), "vm.put")


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


def planned(call: Call, machine: Resource, wanted: Iterable[Json]) -> Change:
    """What makes a machine's data disks those wanted.

    Raises:
        Refused: a law says no; then nothing changes.
    """
    present: list[Json] = machine.properties["storageProfile"].get("dataDisks", [])
    by_id = {key(entry["managedDisk"]["id"]): entry for entry in present}
    kept: dict[str, Json] = {}
    coming: list[Json] = []
    for entry in wanted:
        disk_id = key(str((entry.get("managedDisk") or {}).get("id", "")))
        if not disk_id and entry.get("createOption") == "Empty":
            coming.append(_new_empty(call, machine, entry))
        elif disk_id in by_id and not (by_id[disk_id].get("toBeDetached") and not entry.get("toBeDetached")):
            _unchanged(by_id[disk_id], entry)
            kept[disk_id] = entry
        else:
            coming.append(_entry(call.world, machine, entry, present))
    entries: list[Json] = []
    going: list[Json] = []
    for disk_id, entry in by_id.items():
        stays = disk_id in kept and not kept[disk_id].get("toBeDetached") and not entry.get("toBeDetached")
        if stays:
            entries.append({**entry, **{name: kept[disk_id][name] for name in ("caching",) if name in kept[disk_id]}})
        else:
            option = kept.get(disk_id, {}).get("detachOption")
            gone = {**entry, "toBeDetached": True, **({"detachOption": option} if option else {})}
            entries.append(gone)
            going += [] if entry.get("toBeDetached") else [gone]
    laws.named_once(each["managedDisk"]["id"] for each in [*entries, *coming])
    laws.disks_fit(machine, len(entries) + len(coming) - sum(bool(each.get("toBeDetached")) for each in entries))
    laws.luns_differ(machine, [int(each["lun"]) for each in [*entries, *coming]])
    return Change((*entries, *coming), tuple(coming), tuple(going))


def shown(call: Call, machine: Resource, *, instance_view: bool = False) -> Response:
    """A machine as GET answers it: with the etag where the api-version has one."""
    body = machine.body if machine.hidden.get("power") != "deallocated" else _without_hardware(machine).body
    if instance_view:
        properties = dict(body["properties"])
        created = properties.pop("timeCreated")
        properties |= {"instanceView": _instance_view(call.world, machine), "timeCreated": created}
        body = {**body, "properties": properties}
        return Response(
            200, body if call.api_version < ETAG_SINCE else with_etag(body, machine)
        )  # no header (recorded)
    if call.api_version < ETAG_SINCE:
        return Response(200, body)
    return Response(200, with_etag(body, machine), {"ETag": f'"{machine.etag}"'})


def with_etag(body: Json, machine: Resource) -> Json:
    """A machine's document with its etag, right after the properties."""
    found: Json = {}
    for name, value in body.items():
        found[name] = value
        if name == "properties":
            found["etag"] = f'"{machine.etag}"'
    return found


def device_here(world: World, operation: Operation, args: Json, at: float) -> None:
    """A step of an attach: the guest sees the device."""
    shown_device(world, operation.target, args["lun"], args["disk"])


def device_gone(world: World, operation: Operation, args: Json, at: float) -> None:
    """A step of a detach: the guest sees the device no more."""
    hidden_device(world, operation.target, args["lun"], args["disk"])


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
            hidden_device(world, machine.id, int(entry["lun"]), entry["managedDisk"]["id"])
            if disk is not None:
                disks.own(world, disk, None, at)
            etag = machine.etag + 1
            continue
        staying.append(entry)
        shown_device(world, machine.id, int(entry["lun"]), entry["managedDisk"]["id"])
        if disk is not None and key(str(disk.body.get("managedBy") or "")) != machine.key:
            disks.own(world, disk, machine.id, at)
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


def restore_devices(world: World) -> None:
    """After a restart: show the disks that the host machine has attached, take away the rest."""
    machine = world.find(KIND, world.settings.host_id)
    if machine is not None:
        pending = {
            step.args.get("disk")
            for each in world.running(machine.id)
            for step in each.steps
            if step.do == "vm.device-here"
        }
        for entry in machine.properties["storageProfile"].get("dataDisks", []):
            if entry["managedDisk"]["id"] not in pending:
                shown_device(world, machine.id, int(entry["lun"]), entry["managedDisk"]["id"])


def _write(call: Call, found: Resource, body: Json, family: str) -> Response:
    laws.etag_matches(found, call.request.headers)
    laws.same_place(found, str(body.get("location", "")))
    properties = body.get("properties") or {}
    storage = properties.get("storageProfile") or {}
    if "dataDisks" in storage:
        change = planned(call, found, storage["dataDisks"] or [])
    else:
        present = tuple(found.properties["storageProfile"].get("dataDisks", []))
        change = Change(present, (), ())
    if "tags" in body:
        found = found.with_body(tags=body["tags"])
    size = (properties.get("hardwareProfile") or {}).get("vmSize")
    if size and size != found.properties["hardwareProfile"]["vmSize"]:
        laws.size_known(str(size))
        found = found.with_properties(hardwareProfile={"vmSize": size})
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
    names = [disks.find_disk(world, entry["managedDisk"]["id"]).blob for entry in change.coming]
    thaw = [name for name in names if shared(world, name)]
    _withhold(call, machine, change, now + lasts)
    operation = world.begin(
        "operations", kind, machine.id, location=machine.location, api_version=call.api_version, steps=steps,
        work={"do": "thaw", "names": thaw} if thaw else None,
    )  # fmt: skip
    return changed, operation


def _withhold(call: Call, machine: Resource, change: Change, until: float) -> None:
    """A fault asks that the devices of this change appear late or never."""
    world = call.world
    late, world.next_device = world.next_device, None
    if late is None:
        return
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


def _entry(world: World, machine: Resource, entry: Json, present: list[Json]) -> Json:
    """A new entry as the service shows it: what the request left out is filled in."""
    disk = disks.find_disk(world, str((entry.get("managedDisk") or {}).get("id", "")))
    laws.being_detached(machine, disk, present)
    laws.attachable(world, machine, disk)
    if entry.get("lun") is None:
        raise invalid("dataDisk.lun", "Required parameter 'dataDisk.lun' is missing (null).")
    shown: Json = {
        "lun": int(entry["lun"]), "name": disk.name, "createOption": "Attach", "caching": entry.get("caching") or "None",
        **({"writeAcceleratorEnabled": bool(entry["writeAcceleratorEnabled"])} if "writeAcceleratorEnabled" in entry else {}),
        "managedDisk": {"storageAccountType": disk.body["sku"]["name"], "id": disk.id},
        "deleteOption": entry.get("deleteOption") or "Detach", "diskSizeGB": disk.properties["diskSizeGB"],
        "toBeDetached": False,
    }  # fmt: skip
    return shown


def _new_empty(call: Call, machine: Resource, entry: Json) -> Json:
    """An entry that makes its disk: an empty one in the machine's group."""
    name = str(entry.get("name") or f"{machine.name}_disk_{call.world.new_id()[:8]}")
    disk_id = f"{machine.id.rpartition('/providers/')[0]}/providers/Microsoft.Compute/disks/{name}"
    if call.world.find(disks.KIND, disk_id) is not None:
        raise Refused(409, "ConflictingUserInput", f"Disk '{name}' already exists in resource group.")
    gb = laws.size_given(entry.get("diskSizeGB"))
    sku = str((entry.get("managedDisk") or {}).get("storageAccountType") or "Premium_LRS")
    disks.made_empty(call, disk_id, machine, gb, sku)
    return {
        "lun": int(entry["lun"]), "name": name, "createOption": "Empty", "caching": entry.get("caching") or "None",
        "managedDisk": {"storageAccountType": sku, "id": disk_id},
        "deleteOption": entry.get("deleteOption") or "Detach", "diskSizeGB": gb, "toBeDetached": False,
    }  # fmt: skip


def _unchanged(present: Json, asked: Json) -> None:
    for name in ("lun", "name"):
        if asked.get(name) is not None and str(asked[name]).lower() != str(present[name]).lower():
            raise Refused(
                409,
                "PropertyChangeNotAllowed",
                f"Changing property 'dataDisk.{name}' is not allowed.",
                target=f"dataDisk.{name}",
            )


def shown_device(world: World, machine_id: str, lun: int, disk_id: str) -> None:
    """Let the guest see a disk, if it is the guest of the host machine and no fault holds the device back."""
    disk = world.find(disks.KIND, disk_id)
    if key(machine_id) != key(world.settings.host_id) or disk is None or not disk.blob:
        return
    if world.withheld.get(disk.key, 0) > world.clock() or lun in world.devices.attached():
        return
    world.devices.attach(lun, world.blobs.path(disk.blob))


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


def device_late(world: World, operation: Operation, args: Json, at: float) -> None:
    """What a fault held back appears, unless it is detached by now."""
    machine = world.find(KIND, args["machine"])
    for entry in machine.properties["storageProfile"].get("dataDisks", []) if machine else []:
        if key(entry["managedDisk"]["id"]) == key(args["disk"]) and not entry.get("toBeDetached"):
            shown_device(world, args["machine"], int(entry["lun"]), args["disk"])


def _without_hardware(machine: Resource) -> Resource:
    """A deallocated machine: its disks' entries lose size and account type (recorded)."""
    storage = machine.properties["storageProfile"]

    def bare(entry: Json) -> Json:
        kept = {name: value for name, value in entry.items() if name != "diskSizeGB"}
        return {**kept, "managedDisk": {"id": entry["managedDisk"]["id"]}}

    data_disks = [bare(entry) for entry in storage.get("dataDisks", [])]
    return machine.with_properties(
        storageProfile={**storage, "osDisk": bare(storage["osDisk"]), "dataDisks": data_disks}
    )


def _instance_view(world: World, machine: Resource) -> Json:
    def status(code: str, text: str, **more: Any) -> Json:
        return {"code": code, "level": "Info", "displayStatus": text, **more}

    time = machine.properties["timeCreated"]
    power = str(machine.hidden.get("power", "running"))
    storage = machine.properties["storageProfile"]
    names = [entry["name"] for entry in [storage["osDisk"], *storage.get("dataDisks", [])]]
    ready = status("ProvisioningState/succeeded", "Provisioning succeeded", time=time)
    generation = str(machine.hidden.get("generation", "V1"))
    agent = status(
        "ProvisioningState/succeeded", "Ready", message="Guest Agent is running", time=timestamp(world.clock())
    )
    power_status = status(f"PowerState/{power}", f"VM {power}")
    if machine.state == "Creating":
        creating = {"code": "ProvisioningState/creating", "level": "Info", "displayStatus": "Creating"}
        return {
            "disks": [{"name": name, "statuses": [ready]} for name in names],
            "hyperVGeneration": generation,
            "statuses": [creating, power_status],
        }
    return {
        "computerName": machine.name,
        "osName": "debian",
        "osVersion": "13",
        "vmAgent": {"vmAgentVersion": "2.11.1.4", "statuses": [agent], "extensionHandlers": []},
        "disks": [{"name": name, "statuses": [ready]} for name in names],
        "hyperVGeneration": generation,
        "statuses": [ready, power_status],
    }  # fmt: skip
