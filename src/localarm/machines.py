"""The life of virtual machines other than their data disks: create, delete, power, generalize."""

from __future__ import annotations

from localarm import disks, laws, offers, values, vms
from localarm.arm import Address, key
from localarm.attachments import planned
from localarm.calls import Call, accepted
from localarm.clock import timestamp
from localarm.errors import Refused, invalid
from localarm.machine_disks import entries
from localarm.machine_view import shown
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.platform_images import version_key
from localarm.resources import Resource, document
from localarm.vms import KIND
from localarm.world import World

LINUX = {
    "disablePasswordAuthentication": False,
    "provisionVMAgent": True,
    "patchSettings": {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"},
}


def put(call: Call) -> Response:
    """Create a machine, or write one that is there."""
    return vms.put(call) if call.world.find(KIND, call.id) is not None else create(call)


def create(call: Call) -> Response:
    """Create a machine: its OS disk is made with it; network interfaces are taken as given."""
    body = call.body()
    laws.nothing_to_match(call.request.headers, call.address.name)
    laws.name_fits(call.address.name, 64)
    location = laws.location_known(call.world, body)
    asked = body.get("properties") or {}
    size = str((asked.get("hardwareProfile") or {}).get("vmSize", ""))
    laws.size_known(size)
    offers.zones_offered(call.address, location, body.get("zones") or ())
    storage = asked.get("storageProfile") or {}
    os_disk, image = _os_disk(call, storage)
    properties = {
        **asked,
        "hardwareProfile": {"vmSize": size},
        "provisioningState": "Creating",
        "vmId": call.world.new_id(),
        "storageProfile": {**({"imageReference": image} if image else {}), "osDisk": os_disk, "dataDisks": []},
        "timeCreated": timestamp(call.world.clock()),
    }
    if "osProfile" in asked:
        properties["osProfile"] = _os_profile(asked["osProfile"])
    order = (
        "hardwareProfile", "provisioningState", "vmId", "additionalCapabilities", "storageProfile", "securityProfile",
        "osProfile", "networkProfile", "diagnosticsProfile",
    )  # fmt: skip
    ordered = {name: properties[name] for name in order if name in properties}
    ordered = {**ordered, **{name: value for name, value in properties.items() if name not in ordered}}
    ordered["timeCreated"] = ordered.pop("timeCreated")
    identity = body.get("identity")
    if identity:
        identity = {**identity, "principalId": call.world.new_id(), "tenantId": call.world.settings.tenant}
    payload = document(
        call.id, call.address.type, location, tags=body.get("tags"), identity=identity, zones=body.get("zones"),
        properties=ordered,
    )  # fmt: skip
    machine = Resource(KIND, payload, hidden={"etag": 1})
    if os_disk["createOption"] == "Attach":
        laws.attachable(call.world, machine, disks.find_disk(call.world, os_disk["managedDisk"]["id"]))
    change = planned(call, machine, storage.get("dataDisks") or [])
    machine = machine.with_properties(storageProfile={**ordered["storageProfile"], "dataDisks": list(change.entries)})
    call.world.put(machine)
    operation = _begin(call, machine, "vm.create", "vm.made", {})
    answer = shown(call, machine)
    return accepted(call, 201, answer.payload, operation, location=False, retry_after=10).with_headers(answer.headers)


def delete(call: Call) -> Response:
    """Delete a machine; its disks stay, unattached."""
    machine = call.world.find(KIND, call.id)
    if machine is None:
        return Response(204)
    _not_the_host(call.world, machine, "delete")
    laws.not_changing(call.world, machine)
    call.world.put(machine.with_properties(provisioningState="Deleting"))
    return accepted(
        call, 202, None, _begin(call, machine, "vm.delete", "vm.removed", {}), location=True, retry_after=10
    )


def deallocate(call: Call) -> Response:
    """Stop a machine and give its hardware back."""
    return _power(call, "deallocate", "deallocated", retry_after=10)


def power_off(call: Call) -> Response:
    """Stop a machine."""
    return _power(call, "powerOff", "stopped")


def start(call: Call) -> Response:
    """Start a machine."""
    return _power(call, "start", "running", retry_after=10)


def restart(call: Call) -> Response:
    """Restart a machine."""
    return _power(call, "restart", "running")


def generalize(call: Call) -> Response:
    """Mark a machine as generalized: images may be made of it."""
    machine = call.resource(KIND)
    _not_the_host(call.world, machine, "generalize")
    laws.not_running(machine, "generalize")
    call.world.put(machine.with_hidden(generalized=True))
    return Response(200)


def made(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a create: the OS disk is there, data disks are attached."""
    machine = world.find(KIND, operation.target)
    if machine is None:
        return
    storage = machine.properties["storageProfile"]
    entry = dict(storage["osDisk"])
    name = entry.get("name") or f"{machine.name}_OsDisk_1_{world.new_id().replace('-', '')}"
    disk_id = (entry.get("managedDisk") or {}).get("id")
    if not disk_id:
        disk_id = f"{machine.id.rpartition('/providers/')[0]}/providers/Microsoft.Compute/disks/{name}"
        sku = str((entry.get("managedDisk") or {}).get("storageAccountType", "Standard_LRS"))
        world.put(_new_os_disk(world, disk_id, machine, sku, entry, at))
    ordered = {
        "osType": entry["osType"],
        "name": name,
        **{n: v for n, v in entry.items() if n not in ("osType", "name")},
    }
    ordered["managedDisk"] = {**(entry.get("managedDisk") or {}), "id": disk_id}
    storage = {**storage, "osDisk": ordered}
    machine = world.put(machine.with_properties(provisioningState="Succeeded", storageProfile=storage))
    for attached in [ordered, *storage.get("dataDisks", [])]:
        disk = world.find(disks.KIND, attached["managedDisk"]["id"])
        if disk is not None:
            disks.own(world, disk, machine.id, at)


def powered(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a change of power."""
    machine = world.find(KIND, operation.target)
    if machine is None:
        return
    world.put(machine.with_properties(provisioningState="Succeeded").with_hidden(power=args["power"]))
    state = "Reserved" if args["power"] == "deallocated" else "Attached"
    for entry in entries(machine):
        disk = world.find(disks.KIND, entry["managedDisk"]["id"])
        if disk is not None:
            world.put(disk.with_properties(diskState=state))


def removed(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a delete."""
    machine = world.find(KIND, operation.target)
    if machine is not None:
        remove(world, machine, at)


def remove(world: World, machine: Resource, at: float) -> None:
    """Take a machine away; its disks are free then."""
    for entry in entries(machine):
        disk = world.find(disks.KIND, entry["managedDisk"]["id"])
        if disk is not None and key(str(disk.body.get("managedBy") or "")) == machine.key:
            disks.own(world, disk, None, at)
    world.remove(machine)


def _power(call: Call, verb: str, power: str, retry_after: int = 0) -> Response:
    machine = call.resource(KIND)
    _not_the_host(call.world, machine, verb)
    laws.not_changing(call.world, machine)
    call.world.put(machine.with_properties(provisioningState="Updating"))
    operation = _begin(call, machine, f"vm.{verb}", "vm.power", {"power": power})
    return accepted(call, 202, None, operation, location=True, retry_after=retry_after)


def _begin(call: Call, machine: Resource, kind: str, last: str, args: Json) -> Operation:
    world = call.world
    return world.begin(
        "operations",
        kind,
        machine.id,
        location=machine.location,
        api_version=call.api_version,
        steps=[Step(world.clock() + world.lasts(kind), last, args)],
    )


def _not_the_host(world: World, machine: Resource, verb: str) -> None:
    if machine.key == key(world.settings.host_id):
        message = f"Operation '{verb}' is not allowed on VM '{machine.name}': it is this machine itself (localarm)."
        raise Refused(409, "OperationNotAllowed", message)


def _os_disk(call: Call, storage: Json) -> tuple[Json, Json | None]:
    """The OS disk's entry as the first answer shows it, and the image reference with the exact version."""
    asked = storage.get("osDisk") or {}
    caching = asked.get("caching") and values.one_of(asked["caching"], values.CACHINGS, "osDisk.caching")
    delete_option = values.one_of(asked.get("deleteOption") or "Detach", values.DELETE_OPTIONS, "osDisk.deleteOption")
    if asked.get("createOption") == "Attach":
        disk = disks.find_disk(call.world, str((asked.get("managedDisk") or {}).get("id", "")))
        laws.no_access_granted(disk)  # one that is still to be uploaded has no size
        entry = {
            "osType": asked.get("osType") or disk.properties.get("osType", "Linux"), "name": disk.name,
            "createOption": "Attach", "caching": caching or "None",
            "managedDisk": {"storageAccountType": disk.body["sku"]["name"], "id": disk.id},
            "deleteOption": delete_option, "diskSizeGB": disk.properties["diskSizeGB"],
        }  # fmt: skip
        return entry, None
    reference = storage.get("imageReference")
    if not reference:
        raise invalid(
            "storageProfile.imageReference", "Required parameter 'storageProfile.imageReference' is missing (null)."
        )
    image, gb, os_type = _image(call, reference)
    sku = str((asked.get("managedDisk") or {}).get("storageAccountType", "Standard_LRS"))
    entry = {
        "osType": asked.get("osType", os_type), "name": asked.get("name"), "createOption": "FromImage",
        "caching": caching or "ReadWrite", "managedDisk": {"storageAccountType": sku},
        "deleteOption": delete_option, "diskSizeGB": asked.get("diskSizeGB") or gb,
    }  # fmt: skip
    return {name: value for name, value in entry.items() if value is not None}, image


def _image(call: Call, reference: Json) -> tuple[Json, int, str]:
    if "id" in reference:
        address = Address.parse(str(reference["id"]))
        if address is None or call.world.find(address.kind, address.id) is None:
            raise Refused(404, "NotFound", f"The Image {reference['id']} cannot be found.", target="imageReference")
        return {"id": reference["id"]}, 30, "Linux"
    wanted = [str(reference.get(name, "")).lower() for name in ("publisher", "offer", "sku")]
    images = [
        each
        for each in call.world.catalogue.images()
        if [each.publisher.lower(), each.offer.lower(), each.sku.lower()] == wanted
    ]
    version = str(reference.get("version", ""))
    if version != "latest":
        images = [each for each in images if each.version == version]
    if not images:
        raise Refused(
            404,
            "PlatformImageNotFound",
            f"The platform image '{':'.join(wanted)}:{version}' is not available. Verify that all fields in "
            "the storage profile are correct.",
            target="imageReference",
        )
    newest = max(images, key=lambda each: version_key(each.version))
    ordered = {name: reference[name] for name in ("publisher", "offer", "sku", "version")}
    return {**ordered, "exactVersion": newest.version}, newest.size_gb, newest.os_type


def _os_profile(asked: Json) -> Json:
    shown: Json = {name: asked[name] for name in ("computerName", "adminUsername") if name in asked}
    shown["linuxConfiguration"] = {**LINUX, **(asked.get("linuxConfiguration") or {})}
    return {**shown, "secrets": [], "allowExtensionOperations": True, "requireGuestProvisionSignal": True}


def _new_os_disk(world: World, disk_id: str, machine: Resource, sku: str, entry: Json, at: float) -> Resource:
    """An OS disk. It has no content here: only the machine that localarm plays reads disks."""
    gb = int(entry["diskSizeGB"])
    iops, rate, tier = disks.performance(sku, gb)
    image = machine.properties["storageProfile"].get("imageReference")
    properties: Json = {
        "osType": entry["osType"], "hyperVGeneration": "V1", "supportedCapabilities": {"architecture": "x64"},
        "creationData": {"createOption": "FromImage", "imageReference": image},
        "diskSizeGB": gb, "diskIOPSReadWrite": iops, "diskMBpsReadWrite": rate,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"}, "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled", "timeCreated": timestamp(at), "provisioningState": "Succeeded",
        "diskState": "Unattached", "diskSizeBytes": gb << 30, "uniqueId": world.new_id(), "tier": tier,
    }  # fmt: skip
    body = document(
        disk_id, "Microsoft.Compute/disks", machine.location, zones=machine.body.get("zones"), tags=machine.body.get("tags"),
        sku={"name": sku, "tier": sku.partition("_")[0]},
        properties={name: value for name, value in properties.items() if value is not None},
    )  # fmt: skip
    return Resource(disks.KIND, body)
