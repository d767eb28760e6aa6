"""What was there before a recording began: resources out of the answers of the flow itself, or made up to fit them."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.flows import Exchange, seconds

from localarm.arm import Address, key
from localarm.catalogue import PlatformImage
from localarm.operations import Operation
from localarm.regions import DISPLAY, short
from localarm.resources import Resource
from localarm.world import World

KINDS = (
    "disks",
    "snapshots",
    "images",
    "galleries",
    "galleries/images",
    "galleries/images/versions",
    "virtualmachines",
)
Names = tuple[str, str, str, str]


def bodies(flow: list[Exchange]) -> list[dict[str, Any]]:
    """Every resource document in the answers of a flow, in order (those of operations' outputs and lists too)."""
    found: list[dict[str, Any]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "id" in value and "type" in value and "properties" in value:
                found.append(value)
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    for exchange in flow:
        look(exchange.answer)
    return found


def regions(flow: list[Exchange]) -> tuple[str, ...]:
    """The regions a flow speaks of, beside the usual ones."""
    text = json.dumps([[each.path, each.body, each.answer] for each in flow])
    named = {each.path.split("/locations/")[1].split("/")[0].lower() for each in flow if "/locations/" in each.path}
    bodies_ = [each.get("location") for each in bodies(flow)]
    return tuple(dict.fromkeys([*DISPLAY, *named, *(short(each) for each in bodies_ if each)])) if text else ()


def platform_images(flow: list[Exchange]) -> list[PlatformImage]:
    """The platform images that a flow's references and listings name."""
    text = json.dumps([[each.path, each.body, each.answer] for each in flow])
    found: dict[Names, PlatformImage] = {}
    for document in bodies(flow):
        for reference in _references(document):
            address = Address.parse(reference)
            if address is not None and address.kind.endswith("skus/versions"):
                properties = document["properties"]
                names = (address.names[1], address.names[3], address.names[4], address.names[5])
                found[names] = PlatformImage(
                    *names, int(properties.get("diskSizeGB") or 30), properties.get("hyperVGeneration", "V1"),
                    (properties.get("supportedCapabilities") or {}).get("architecture", ""),
                    properties.get("osType", "Linux"),
                )  # fmt: skip
        image = (document["properties"].get("storageProfile") or {}).get("imageReference") or {}
        if "exactVersion" in image:
            names = (image["publisher"], image["offer"], image["sku"], image["exactVersion"])
            found.setdefault(names, PlatformImage(*names, 30, "V1", "x64", "Linux"))
    deepest_first = sorted(flow, key=lambda each: -len(each.path.split("/")))
    for exchange in deepest_first:
        _listed_images(exchange, found)
    return list(found.values()) if text else []


def _listed_images(exchange: Exchange, found: dict[Names, PlatformImage]) -> None:
    entries = exchange.answer if isinstance(exchange.answer, list) else [exchange.answer]
    for entry in entries:
        if not isinstance(entry, dict) or "/publishers" not in str(entry.get("id", "")).lower():
            continue
        address = Address.parse(entry["id"])
        assert address is not None
        parts = [name for index, name in enumerate(address.names) if index not in (0, 2)]
        named = [
            each for each in found if [part.lower() for part in each[: len(parts)]] == [part.lower() for part in parts]
        ]
        if named and len(parts) < 4:
            continue
        publisher, offer, sku, version = (*parts, *("x", "x", "x", "1.0.0")[len(parts) :])
        names = (publisher, offer, sku, version)
        properties = entry.get("properties") or {}
        if not properties and names in found:
            continue
        size = (properties.get("osDiskImage") or {}).get("sizeInBytes", 30 << 30) >> 30
        system = (properties.get("osDiskImage") or {}).get("operatingSystem", "Linux")
        found[names] = PlatformImage(
            *names, size, properties.get("hyperVGeneration", "V1"), properties.get("architecture", "x64"), system
        )  # fmt: skip


def _references(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.lower().startswith("/subscriptions/") else []
    if isinstance(value, dict):
        return [each for name, child in value.items() if name != "id" or len(value) < 3 for each in _references(child)]
    return [each for child in value for each in _references(child)] if isinstance(value, list) else []


def plant(world: World, body: dict[str, Any], etag: str = "", *, settled: bool = True) -> None:
    """Put a resource into the world as a recorded document shows it."""
    address = Address.parse(body["id"])
    assert address is not None
    plant_group(world, address, body.get("location", "westus"))
    for above in (address.parent, address.parent.parent):
        if above.kind in KINDS and len(above.names) == len(above.types) and world.find(above.kind, above.id) is None:
            parent = {
                "name": above.name,
                "id": above.id,
                "type": above.type,
                "location": body.get("location", "westus"),
            }
            generation = {
                "hyperVGeneration": "V1",
                "osType": "Linux",
                "osState": "Generalized",
                "architecture": "x64",
                "identifier": {"publisher": above.name, "offer": above.name, "sku": above.name},
            }
            world.put(Resource(above.kind, {**parent, "properties": {"provisioningState": "Succeeded", **generation}}))
    properties = dict(body["properties"])
    if settled and properties.get("provisioningState") in ("Creating", "Updating"):
        properties["provisioningState"] = "Succeeded"
    document = {name: value for name, value in body.items() if name != "etag"}
    document["properties"] = properties
    hidden = _hidden(address.kind, properties, body.get("location", ""))
    if etag or body.get("etag"):
        hidden["etag"] = int((etag or body["etag"]).strip('"'))
    world.put(Resource(address.kind, document, hidden=hidden))


def plant_group(world: World, address: Address, location: str) -> None:
    """The resource group, and the galleries and definitions above a nested resource."""
    group = f"/subscriptions/{address.subscription}/resourceGroups/{address.group}"
    if world.find("resourcegroups", group) is None:
        properties = {"provisioningState": "Succeeded"}
        world.put(
            Resource(
                "resourcegroups", {"id": group, "name": address.group, "location": location, "properties": properties}
            )
        )


def plant_missing(world: World, resource_id: str, flow: list[Exchange], location: str, hints: dict[str, Any]) -> None:
    """Put in what a request refers to: as some answer of the flow shows it, else made up out of what came of it."""
    address = Address.parse(resource_id)
    if address is None or address.kind not in KINDS:
        return
    present = world.find(address.kind, resource_id)
    if present is not None:
        for entry in _machine_disks(present.properties) if address.kind == "virtualmachines" else []:
            plant_missing(world, entry["managedDisk"]["id"], flow, location, {**hints, **entry})
        return
    hints = {**hints, **_entry_hints(flow, resource_id)}
    known = [each for each in bodies(flow) if key(str(each["id"])) == key(resource_id)]
    if known:
        plant(world, known[0])
        for entry in _machine_disks(known[0]["properties"]) if address.kind == "virtualmachines" else []:
            plant_missing(world, entry["managedDisk"]["id"], flow, location, {**hints, **entry})
        return
    properties = _made_up(address, hints, location)
    name = resource_id.rpartition("/")[2]
    body = {
        "name": name,
        "id": resource_id,
        "type": address.type,
        "location": location,
        "sku": {"name": hints.get("storageAccountType", "Standard_LRS"), "tier": "x"},
        "properties": properties,
    }
    plant(world, body)
    if address.kind.startswith("galleries/"):
        plant_missing(
            world, address.parent.id, flow, location, {"hyperVGeneration": hints.get("hyperVGeneration", "V1")}
        )
    for entry in _machine_disks(properties) if address.kind == "virtualmachines" else []:
        plant_missing(world, entry["managedDisk"]["id"], flow, location, entry)


TAKEN_OVER = ("osType", "hyperVGeneration", "supportedCapabilities", "incrementalSnapshotFamilyId")


def _made_up(address: Address, hints: dict[str, Any], location: str) -> dict[str, Any]:
    """Properties of a resource that no answer shows, so that what was made of it can come about."""
    properties: dict[str, Any] = {
        "provisioningState": "Succeeded", "diskSizeGB": hints.get("diskSizeGB") or hints.get("sizeInGB") or 30,
        "uniqueId": "00000000-0000-0000-0000-000000000001", "diskState": "Unattached",
        "creationData": {"createOption": "Empty"}, "incremental": True,
        **{name: hints[name] for name in TAKEN_OVER if name in hints},
    }  # fmt: skip
    if address.kind == "galleries/images":
        properties |= {
            "osType": "Linux",
            "osState": "Generalized",
            "architecture": "x64",
            "identifier": {"publisher": address.name, "offer": address.name, "sku": address.name},
            **hints,
        }
    if address.kind == "images":
        storage = hints.get("storageProfile") or {}
        os_disk = storage.get("osDiskImage") or {}
        entry = {
            "osType": "Linux",
            "osState": "Generalized",
            "diskSizeGB": os_disk.get("sizeInGB", 30),
            "caching": os_disk.get("hostCaching", "ReadWrite"),
        }
        data = [
            {"lun": each["lun"], "diskSizeGB": each.get("sizeInGB", 1), "caching": each.get("hostCaching", "None")}
            for each in storage.get("dataDiskImages") or []
        ]
        properties["storageProfile"] = {"osDisk": entry, "dataDisks": data}
    if address.kind == "galleries/images/versions":
        profile = {
            "targetRegions": [{"name": location, "regionalReplicaCount": 1}],
            "publishedDate": "2024-01-01T00:00:00+00:00",
        }
        storage = hints.get("storageProfile") or {"osDiskImage": {"sizeInGB": properties["diskSizeGB"]}}
        properties |= {"publishingProfile": profile, "storageProfile": storage}
    if address.kind == "virtualmachines":
        properties = {
            "provisioningState": "Succeeded",
            "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
            "timeCreated": "",
            "storageProfile": _machine_storage(hints, address),
        }
    return properties


def _entry_hints(flow: list[Exchange], disk_id: str) -> dict[str, Any]:
    """Size and account type of a disk as some machine or image lists it."""
    found: dict[str, Any] = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            disk = value.get("managedDisk") or value.get("snapshot") or {}
            if isinstance(disk, dict) and key(str(disk.get("id", ""))) == key(disk_id):
                found.update({name: value[name] for name in ("diskSizeGB", "storageAccountType") if value.get(name)})
                found.update({name: disk[name] for name in ("storageAccountType",) if name in disk})
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    for exchange in flow:
        look(exchange.answer)
    return found


def _machine_storage(hints: dict[str, Any], address: Address) -> dict[str, Any]:
    """A machine's disks, out of the image or version that was made of it."""
    base = f"{address.id.rpartition('/virtualMachines/')[0]}/disks/{address.name}"
    storage = hints.get("storageProfile") or {}
    os_disk = storage.get("osDisk") or {}
    os_image = storage.get("osDiskImage") or {}

    def entry(found: dict[str, Any], image: dict[str, Any], name: str) -> dict[str, Any]:
        disk = found.get("managedDisk") or {"id": f"{base}_{name}"}
        size = found.get("diskSizeGB") or image.get("sizeInGB") or 30
        caching = found.get("caching") or image.get("hostCaching") or "ReadWrite"
        return {"name": name, "createOption": "FromImage", "caching": caching, "managedDisk": disk, "diskSizeGB": size}

    data = [{"lun": each["lun"], **entry(each, {}, f"data{each['lun']}")} for each in storage.get("dataDisks") or []]
    data += [
        {"lun": each["lun"], **entry({}, each, f"data{each['lun']}")} for each in storage.get("dataDiskImages") or []
    ]
    return {"osDisk": {"osType": "Linux", **entry(os_disk, os_image, "os")}, "dataDisks": data}


def _machine_disks(properties: dict[str, Any]) -> list[dict[str, Any]]:
    storage = properties["storageProfile"]
    return [
        each for each in (storage["osDisk"], *storage.get("dataDisks", [])) if (each.get("managedDisk") or {}).get("id")
    ]


def plant_operation(world: World, exchange: Exchange) -> None:
    """An operation whose request is not in the flow, as its recorded status shows it."""
    status = exchange.answer if isinstance(exchange.answer, dict) else {}
    assert exchange.address is not None
    family = exchange.path.split("/")[-2]
    begun = seconds(status["startTime"]) if "startTime" in status else world.clock()
    output = status.get("properties", {}).get("output", exchange.answer)
    operation = Operation(
        exchange.guid, "capsOperations" if family.lower() == "capsoperations" else "operations", "seen",
        exchange.address.subscription, "x", exchange.query.get("api-version", ""), "/subscriptions/x",
        begun, shows_output="properties" in status, output=output,
    )  # fmt: skip
    state = status.get("status", "Succeeded" if exchange.status == 200 else "InProgress")
    if state != "InProgress":
        operation = operation.over(
            seconds(status["endTime"]) if "endTime" in status else begun, state, status.get("error"), output
        )
    world._operations[exchange.guid] = operation


def _hidden(kind: str, properties: dict[str, Any], location: str) -> dict[str, Any]:
    if kind == "virtualmachines":
        storage = properties["storageProfile"]
        bare = "diskSizeGB" not in storage.get("osDisk", {})
        disk_id = ((storage.get("osDisk") or {}).get("managedDisk") or {}).get("id", "")
        return {"etag": 1, "generalized": True, "os": disk_id, "power": "deallocated" if bare else "running"}
    if kind == "images":
        storage = properties.get("storageProfile") or {}
        places = {
            "os": storage.get("osDisk") or {},
            **{str(each["lun"]): each for each in storage.get("dataDisks") or []},
        }
        return {
            "blobs": dict.fromkeys(places, ""),
            "sizes": {place: each.get("diskSizeGB", 30) for place, each in places.items()},
        }
    if kind == "galleries/images/versions":
        storage = properties["storageProfile"]
        images = {
            "os": storage.get("osDiskImage") or {},
            **{str(each["lun"]): each for each in storage.get("dataDiskImages") or []},
        }
        targets = [short(each["name"]) for each in properties["publishingProfile"]["targetRegions"]]
        return {
            "blobs": dict.fromkeys(images, ""),
            "sizes": {place: each.get("sizeInGB", 30) for place, each in images.items()},
            "cachings": {place: each.get("hostCaching", "None") for place, each in images.items()},
            "regions": {region: [0.0, 1.0] for region in targets},
        }
    return {}
