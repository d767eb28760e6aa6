"""Resources that no answer of a flow shows, made up so that what was made of them can come about."""

from __future__ import annotations

from typing import Any

from tests.conformance.story import GROUP, Json, Story, kind_of, target

from localarm.arm import Address, key

TAKEN_OVER = ("osType", "hyperVGeneration", "supportedCapabilities", "incrementalSnapshotFamilyId")


def made_up(address: Address, location: str, hints: Json) -> Json:
    """A document of what is addressed.

    Args:
        hints: properties of what was made of it, and how others list it.
    """
    kind = kind_of(address)
    body: Json = {"name": address.name, "id": address.id, "type": address.type, "location": location}
    if kind == GROUP:
        return {**body, "type": "Microsoft.Resources/resourceGroups", "properties": {"provisioningState": "Succeeded"}}
    if kind in ("disks", "snapshots"):
        body["sku"] = {"name": hints.get("storageAccountType") or "Standard_LRS", "tier": "Standard"}
    return {**body, "properties": {**PROPERTIES[kind](address, location, hints), "provisioningState": "Succeeded"}}


def entry_hints(story: Story, disk_id: str) -> Json:
    """Size and account type of a disk as some machine or image lists it."""
    found: Json = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            disk = value.get("managedDisk") or value.get("snapshot") or {}
            if isinstance(disk, dict) and key(str(disk.get("id", ""))) == key(disk_id):
                found.update({name: value[name] for name in ("diskSizeGB", "storageAccountType") if value.get(name)})
                found.update({name: disk[name] for name in ("storageAccountType",) if disk.get(name)})
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    for exchange in story.flow:
        look(exchange.answer)
    return found


def image_hints(story: Story, machine_id: str) -> Json:
    """The disks of a machine as an image that was made of it shows them."""
    for sights in story.sights.values():
        for sight in reversed(sights):
            properties = sight.document.get("properties") or {}
            if key(str((properties.get("sourceVirtualMachine") or {}).get("id"))) == key(machine_id):
                return {"storageProfile": properties["storageProfile"]}
    return {}


def written_hints(story: Story, machine_id: str) -> Json:
    """What a machine was made of as a write to it repeats it: that cannot be changed."""
    for exchange in story.flow:
        if exchange.address is None or key(target(exchange)) != key(machine_id) or not isinstance(exchange.body, dict):
            continue
        storage = (exchange.body.get("properties") or {}).get("storageProfile") or {}
        if (storage.get("osDisk") or {}).get("managedDisk", {}).get("id"):
            return {"storageProfile": {name: storage[name] for name in ("imageReference", "osDisk") if name in storage}}
    return {}


def _disk(address: Address, location: str, hints: Json) -> Json:
    return {
        "diskSizeGB": hints.get("diskSizeGB") or hints.get("sizeInGB") or 30,
        "uniqueId": "00000000-0000-0000-0000-000000000001", "diskState": "Unattached",
        "creationData": {"createOption": "Empty"}, "incremental": True,
        **{name: hints[name] for name in TAKEN_OVER if name in hints},
    }  # fmt: skip


def _gallery(address: Address, location: str, hints: Json) -> Json:
    return {"identifier": {"uniqueName": f"{address.subscription}-{address.name.upper()}"}}


def _definition(address: Address, location: str, hints: Json) -> Json:
    return {
        "hyperVGeneration": hints.get("hyperVGeneration", "V1"), "architecture": "x64", "osType": "Linux",
        "osState": "Generalized", "identifier": {"publisher": address.name, "offer": address.name, "sku": address.name},
    }  # fmt: skip


def _image(address: Address, location: str, hints: Json) -> Json:
    storage = hints.get("storageProfile") or {}
    os_disk = storage.get("osDiskImage") or {}
    entry = {
        "osType": "Linux", "osState": "Generalized", "diskSizeGB": os_disk.get("sizeInGB", 30),
        "caching": os_disk.get("hostCaching", "ReadWrite"),
    }  # fmt: skip
    data = [
        {"lun": each["lun"], "diskSizeGB": each.get("sizeInGB", 1), "caching": each.get("hostCaching", "None")}
        for each in storage.get("dataDiskImages") or []
    ]
    return {
        "storageProfile": {"osDisk": entry, "dataDisks": data},
        "hyperVGeneration": hints.get("hyperVGeneration", "V1"),
    }


def _version(address: Address, location: str, hints: Json) -> Json:
    profile = {
        "targetRegions": [{"name": location, "regionalReplicaCount": 1, "storageAccountType": "Standard_LRS"}],
        "replicaCount": 1, "excludeFromLatest": False, "publishedDate": "2024-01-01T00:00:00+00:00",
        "storageAccountType": "Standard_LRS",
    }  # fmt: skip
    size = hints.get("diskSizeGB") or hints.get("sizeInGB") or 30
    storage = hints.get("storageProfile") or {"osDiskImage": {"sizeInGB": size}}
    return {"publishingProfile": profile, "storageProfile": storage}


def _machine(address: Address, location: str, hints: Json) -> Json:
    return {
        "hardwareProfile": {"vmSize": "Standard_D8s_v3"}, "vmId": "00000000-0000-0000-0000-000000000002",
        "storageProfile": _machine_storage(hints, address), "timeCreated": "2024-01-01T00:00:00+00:00",
    }  # fmt: skip


def _machine_storage(hints: Json, address: Address) -> Json:
    """A machine's disks, out of the image or version that was made of it."""
    base = f"{address.id.rpartition('/virtualMachines/')[0]}/disks/{address.name}"
    storage = hints.get("storageProfile") or {}
    os_disk = storage.get("osDisk") or {}
    os_image = storage.get("osDiskImage") or {}

    def entry(found: Json, image: Json, name: str) -> Json:
        disk = found.get("managedDisk") or {"id": f"{base}_{name}"}
        size = found.get("diskSizeGB") or image.get("sizeInGB") or 30
        caching = found.get("caching") or image.get("hostCaching") or "ReadWrite"
        name = found.get("name") or name
        return {"name": name, "createOption": "FromImage", "caching": caching, "managedDisk": disk, "diskSizeGB": size}

    data = [{"lun": each["lun"], **entry(each, {}, f"data{each['lun']}")} for each in storage.get("dataDisks") or []]
    data += [
        {"lun": each["lun"], **entry({}, each, f"data{each['lun']}")} for each in storage.get("dataDiskImages") or []
    ]
    made = {"osDisk": {"osType": "Linux", **entry(os_disk, os_image, "os")}, "dataDisks": data}
    return {"imageReference": storage["imageReference"], **made} if "imageReference" in storage else made


PROPERTIES = {
    "disks": _disk,
    "snapshots": _disk,
    "galleries": _gallery,
    "galleries/images": _definition,
    "images": _image,
    "galleries/images/versions": _version,
    "virtualmachines": _machine,
}
