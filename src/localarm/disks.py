"""Managed disks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from localarm import laws, offers, quotas, sameness, values
from localarm.arm import Address, key
from localarm.calls import Call, accepted, echoed, listed, patched
from localarm.capture import GIB, shared
from localarm.clock import timestamp
from localarm.errors import Refused, gateway, invalid
from localarm.latency import sized
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.platform_images import by_id
from localarm.regions import short
from localarm.replication import resolved
from localarm.resources import Resource, document
from localarm.world import World

KIND = "disks"

KEPT = ("maxShares", "burstingEnabled", "diskAccessId", "optimizedForFrequentAttach", "dataAccessAuthMode")
"""Properties that are kept and shown but change nothing here."""

PREMIUM_TIERS = (
    (4, "P1", 120, 25), (8, "P2", 120, 25), (16, "P3", 120, 25), (32, "P4", 120, 25), (64, "P6", 240, 50),
    (128, "P10", 500, 100), (256, "P15", 1100, 125), (512, "P20", 2300, 150), (1024, "P30", 5000, 200),
    (2048, "P40", 7500, 250), (4096, "P50", 7500, 250), (8192, "P60", 16000, 500), (16384, "P70", 18000, 750),
    (32767, "P80", 20000, 900),
)  # fmt: skip
"""GiB up to which a tier goes, its name, IO operations and MB per second (Azure's managed-disk types page)."""


def put(call: Call) -> Response:
    """Create a disk, or update it when it is there."""
    body = call.body()
    laws.name_fits(call.address.name, 80)
    laws.location_known(call.world, body)
    found = call.present(KIND)
    if found is not None:
        return _update(call, found, body)
    quotas.below_disk_quota(call.world, call.address)
    words_lawful(body.get("properties", {}))
    offers.zones_offered(call.address, short(str(body["location"])), body.get("zones") or ())
    offers.storage_offered("Disk", str(body["location"]), _sku(body))
    resource, kind, work = _made(call, body)
    call.world.put(resource)
    kind = sized(kind, [resource.properties.get("diskSizeGB") or 0])
    operation = _begin(call, kind, "disk.created", work)
    return accepted(call, 202, echoed(call, "Updating"), operation, location=True, retry_after=2)


def patch(call: Call) -> Response:
    """Change size (it may only grow), sku or tags."""
    return _update(call, call.resource(KIND), call.body(), patching=True)


def get(call: Call) -> Response:
    """Show a disk."""
    return Response(200, call.resource(KIND).body)


def lists(call: Call) -> Response:
    """List the disks of a group or a subscription."""
    return listed([each.body for each in call.world.all(KIND, call.scope)])


def delete(call: Call) -> Response:
    """Delete a disk that no machine has. While one is being attached, nothing holds Azure back (kubernetes issue 82714);
    here also not that its platform image is still being made."""
    found = call.world.find(KIND, call.id)
    if found is None:
        return Response(204)
    owner = laws.lister(call.world, found)
    if owner and not found.body.get("managedBy") and call.world.running(owner):
        call.world.violate("deleted-while-attaching", resource=found.id, machine=owner)
    else:
        laws.not_attached(call.world, found)
    laws.no_access_granted(found)
    for making in [each for each in call.world.running(found.id) if each.work and each.work["do"] == "platform"]:
        call.world.call_off(making)  # Azure never makes any; to wait a minute for one would be of no use to anybody
    found = call.resource(KIND)  # without content now, if its creation was called off
    laws.not_changing(call.world, found)
    call.world.put(found.with_properties(provisioningState="Deleting"))
    operation = _begin(call, "disk.delete", "removed", None, shows_output=False)
    return accepted(call, 202, None, operation, location=True)


def created(world: World, operation: Operation, args: Json, at: float) -> Json | None:
    """The last step of a create or update."""
    found = world.find(operation_kind(operation), operation.target)
    if found is None:
        return None
    return world.put(found.with_properties(provisioningState="Succeeded")).body


def resized(world: World, operation: Operation, args: Json, at: float) -> Json | None:
    """The last step of an update: the blob grows to the new size, which is shown from now on."""
    found = world.find(operation_kind(operation), operation.target)
    if found is None:
        return None
    size = args["sized"]["diskSizeGB"] * GIB
    if found.blob and world.blobs.path(found.blob).stat().st_size < size:
        world.blobs.thaw(found.blob)  # a snapshot may have been taken since the operation began
        world.blobs.resize(found.blob, size)
    return world.put(found.with_properties(**args["sized"], provisioningState="Succeeded")).body


def shrunk_in_vain(call: Call, found: Resource, kind: str, *, patching: bool) -> Response:
    """An update to a smaller size is accepted, and its operation fails (recorded)."""
    changed = call.world.put(found.with_properties(provisioningState="Updating"))
    operation = call.world.begin(
        "DiskOperations", kind, call.id, location=found.location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts(kind), "disk.not-shrunk")], shows_output=True,
    )  # fmt: skip
    payload = patched(changed) if patching else echoed(call, "Updating", found)
    return accepted(call, 202, payload, operation, location=True, retry_after=0 if patching else 2)


def not_shrunk(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of an update to a smaller size: all stays as it was, and the operation fails."""
    found = world.find(operation_kind(operation), operation.target)
    if found is not None:
        world.put(found.with_properties(provisioningState="Succeeded"))
    world.end(operation, "Failed", {"code": "InvalidParameter", "message": "Disks or snapshot cannot be resized down."})


def thawing(world: World, found: Resource, gb: int) -> Json | None:
    """The work before a blob can grow: one of its own, if it shares its file."""
    grows = gb > found.properties["diskSizeGB"]
    return {"do": "thaw", "names": [found.blob]} if grows and shared(world, found.blob) else None


def removed(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of any delete."""
    found = world.find(operation_kind(operation), operation.target)
    if found is not None:
        world.remove(found)


def operation_kind(operation: Operation) -> str:
    """The kind of resource that an operation changes."""
    address = Address.parse(operation.target)
    assert address is not None
    return address.kind


def _begin(call: Call, kind: str, last: str, work: Json | None, *, shows_output: bool = True, **args: Any) -> Operation:
    world = call.world
    resource = world.find(KIND, call.id)
    assert resource is not None
    return world.begin(
        "DiskOperations", kind, call.id, location=resource.location, api_version=call.api_version,
        steps=[Step(world.clock() + world.lasts(kind), last, args)], work=work, shows_output=shows_output,
    )  # fmt: skip


def _made(call: Call, body: Json) -> tuple[Resource, str, Json | None]:
    """The new disk, the kind of its operation, and the copying to do."""
    properties = body.get("properties", {})
    data = properties.get("creationData") or {}
    option = data.get("createOption", "")
    unique = call.world.new_id()
    blob = f"disk-{unique}"
    asked_gb = properties.get("diskSizeGB")
    if option == "Empty":
        gb = laws.size_given(asked_gb)
        call.world.create_blob(blob, gb * GIB)
        return _resource(call, body, gb, unique, blob, {}, data), "disk.create.empty", None
    if option == "FromImage":
        return _from_image(call, body, data, unique, blob)
    if option == "Copy":
        return _copy(call, body, data, unique, blob)
    if option == "Upload":
        return _upload(call, body, data, unique, blob)
    raise invalid(
        "creationData.createOption",
        f"The value '{option}' of parameter 'creationData.createOption' is not supported here.",
    )


def _from_image(call: Call, body: Json, data: Json, unique: str, blob: str) -> tuple[Resource, str, Json | None]:
    if data.get("galleryImageReference"):
        return _from_gallery(call, body, data, unique, blob)
    reference = data.get("imageReference") or {}
    image = by_id(call.world, str(reference.get("id", "")))
    gb = max(int(body.get("properties", {}).get("diskSizeGB") or 0), image.size_gb)
    laws.grows(body.get("properties", {}).get("diskSizeGB"), image.size_gb)
    facts: Json = {"osType": image.os_type, "hyperVGeneration": image.hyperv_generation}
    if image.architecture:
        facts["supportedCapabilities"] = {"architecture": image.architecture}
    creation = {"createOption": "FromImage", "imageReference": {"id": reference["id"]}}
    work = {
        "do": "platform", "image": [image.publisher, image.offer, image.sku, image.version],
        "name": blob, "size": gb * GIB,
    }  # fmt: skip
    return _resource(call, body, gb, unique, blob, facts, creation), "disk.create.platform", work


def _from_gallery(call: Call, body: Json, data: Json, unique: str, blob: str) -> tuple[Resource, str, Json | None]:
    reference = data["galleryImageReference"]
    if "id" not in reference:
        raise Refused(
            404,
            "GalleryImageNotFound",
            "localarm has no shared or community galleries.",
            target="galleryImageReference",
        )
    version = resolved(call.world, str(reference["id"]), str(body["location"]))
    place = "os" if reference.get("lun") is None else str(reference["lun"])
    source = version.hidden["blobs"].get(place)
    if source is None:
        raise invalid("galleryImageReference.lun", f"The gallery image version has no data disk at LUN {place}.")
    size = version.hidden["sizes"][place]
    asked = body.get("properties", {}).get("diskSizeGB")
    laws.grows(asked, size)
    gb = max(int(asked or 0), size)
    definition = call.world.find("galleries/images", version.id.rpartition("/versions/")[0])
    facts: Json = {}
    if place == "os" and definition is not None:
        facts = {
            "osType": definition.properties["osType"],
            "hyperVGeneration": definition.properties["hyperVGeneration"],
        }
        facts["supportedCapabilities"] = {"architecture": definition.properties["architecture"]}
    reference = {**reference, "id": version.id}
    creation = {"createOption": "FromImage", "imageReference": dict(reference), "galleryImageReference": reference}
    work = copying(call.world, source, blob, gb)
    return _resource(call, body, gb, unique, blob, facts, creation), "disk.create.version", work


def _upload(call: Call, body: Json, data: Json, unique: str, blob: str) -> tuple[Resource, str, Json | None]:
    size = data.get("uploadSizeBytes")
    if not isinstance(size, int) or size < 20 << 20 or size % 512:
        raise invalid(
            "creationData.uploadSizeBytes",
            f"The value '{size}' of parameter 'creationData.uploadSizeBytes' is invalid.",
        )
    gb = -(-(size - 512) // GIB)
    call.world.create_blob(blob, gb * GIB)
    found = _resource(call, body, gb, unique, blob, {}, data)
    found = found.with_properties(diskState="ReadyToUpload", diskSizeGB=None, diskSizeBytes=None)
    return found, "disk.create.empty", None


def copying(world: World, source: str, blob: str, gb: int) -> Json | None:
    """The work of copying one blob to another; a source without content (another machine's disk) gives an empty blob."""
    if not source:
        world.create_blob(blob, gb * GIB)
        return None
    return {"do": "copy", "sources": [source], "name": blob, "size": gb * GIB}


def _copy(call: Call, body: Json, data: Json, unique: str, blob: str) -> tuple[Resource, str, Json | None]:
    source = source_of_copy(call.world, str(data.get("sourceResourceId") or data.get("sourceUri") or ""))
    laws.same_region(source, str(body.get("location", "")))
    size = source.properties["diskSizeGB"]
    gb = max(int(body.get("properties", {}).get("diskSizeGB") or 0), size)
    laws.grows(body.get("properties", {}).get("diskSizeGB"), size)
    facts: Json = {
        name: source.properties[name]
        for name in ("osType", "hyperVGeneration", "supportedCapabilities")
        if name in source.properties
    }
    creation = {
        "createOption": "Copy",
        "sourceResourceId": source.id,
        "sourceUniqueId": source.properties.get("uniqueId"),
    }
    work = copying(call.world, source.blob, blob, gb)
    kind = "disk.create.snapshot" if source.kind == "snapshots" else "disk.create.disk"
    return _resource(call, body, gb, unique, blob, facts, creation), kind, work


def source_of_copy(world: World, resource_id: str, *, of_image: bool = False) -> Resource:
    """The disk or snapshot that an id names.

    Args:
        of_image: whether an image is made of it: then another provider tells that it is missing, in other words (recorded).

    Raises:
        Refused: 404 when it is missing, 400 when the id is of something else.
    """
    address = Address.parse(resource_id)
    if address is None or address.kind not in (KIND, "snapshots"):
        raise invalid("sourceResourceId", f"The value '{resource_id}' of parameter 'sourceResourceId' is invalid.")
    found = world.find(address.kind, resource_id)
    if found is None and of_image:
        raise Refused(404, "NotFound", "The entity was not found in this Azure location.", target=resource_id)
    if found is None:
        raise Refused(404, "NotFound", f"Resource {address.name} is not found.")
    if found.state == "Deleting":
        raise Refused(409, "Conflict", f"The resource '{found.name}' is being deleted.")
    laws.uploaded(found)
    laws.made(found)
    return found


def _resource(call: Call, body: Json, gb: int, unique: str, blob: str, facts: Json, creation: Json) -> Resource:
    sku = _sku(body)
    iops, rate, tier = performance(sku, gb)
    asked = body.get("properties", {})
    properties: Json = {
        "osType": asked.get("osType") or facts.get("osType"),
        "hyperVGeneration": asked.get("hyperVGeneration") or facts.get("hyperVGeneration"),
        "supportsHibernation": asked.get("supportsHibernation"),
        "supportedCapabilities": facts.get("supportedCapabilities") or asked.get("supportedCapabilities"),
        "creationData": creation,
        "diskSizeGB": gb,
        "diskIOPSReadWrite": iops,
        "diskMBpsReadWrite": rate,
        "encryption": asked.get("encryption") or {"type": "EncryptionAtRestWithPlatformKey"},
        "networkAccessPolicy": asked.get("networkAccessPolicy", "AllowAll"),
        "securityProfile": asked.get("securityProfile"),
        "publicNetworkAccess": asked.get("publicNetworkAccess", "Enabled"),
        "timeCreated": timestamp(call.world.clock()),
        "provisioningState": "Creating",
        "diskState": "Unattached",
        "diskSizeBytes": gb * GIB,
        "uniqueId": unique,
        "tier": tier,
    }
    properties |= {name: asked[name] for name in KEPT if name in asked}
    return Resource(
        KIND,
        document(
            call.id, call.address.type, str(body["location"]).lower().replace(" ", ""),
            zones=body.get("zones"), tags=body.get("tags"), sku={"name": sku, "tier": sku.partition("_")[0]},
            properties={name: value for name, value in properties.items() if value is not None},
        ),
        blob,
    )  # fmt: skip


def _sku(body: Json) -> str:
    return str((body.get("sku") or {}).get("name", "Standard_LRS"))


def performance(sku: str, gb: int) -> tuple[int, int, str | None]:
    """IO operations and MB per second, and the performance tier (premium disks have one)."""
    if not sku.startswith("Premium_"):
        return 500, 60 if sku.startswith("Standard_") else 100, None
    for up_to, tier, iops, rate in PREMIUM_TIERS:
        if gb <= up_to:
            return iops, rate, tier
    return 20000, 900, "P80"


def _update(call: Call, found: Resource, body: Json, *, patching: bool = False) -> Response:
    asked = body.get("properties", {})
    laws.not_changing(call.world, found)
    laws.uploaded(found)
    laws.made(found)
    gb = laws.size_given(asked.get("diskSizeGB") or found.properties["diskSizeGB"])
    if not patching:
        sameness.same_creation(found, {**asked, "creationData": _exact(call, asked.get("creationData") or {}, found)})
        sameness.same_zones(found, body)
        laws.same_place(found, str(body.get("location", "")))
    words_lawful(asked)
    if gb != found.properties["diskSizeGB"]:
        laws.not_attached_for_resize(call.world, found)
    sku = str((body.get("sku") or found.body["sku"])["name"])
    offers.storage_offered("Disk", found.location, sku)
    if gb < found.properties["diskSizeGB"]:
        return shrunk_in_vain(call, found, "disk.update.resize", patching=patching)
    iops, rate, tier = performance(sku, gb)
    sized = {
        "diskSizeGB": gb, "diskSizeBytes": gb * GIB, "diskIOPSReadWrite": iops, "diskMBpsReadWrite": rate, "tier": tier,
    }  # fmt: skip
    tags = body.get("tags", found.body.get("tags"))
    changed = retyped(found, asked).with_properties(provisioningState="Updating")
    changed = changed.with_body(sku={"name": sku, "tier": sku.partition("_")[0]}, tags=tags)
    call.world.put(changed)
    kind = "disk.update.resize" if gb != found.properties["diskSizeGB"] else "disk.update"
    operation = _begin(call, kind, "disk.resized", thawing(call.world, found, gb), sized=sized)
    payload = patched(changed.with_properties(**sized)) if patching else echoed(call, "Updating", found)
    return accepted(call, 202, payload, operation, location=True, retry_after=0 if patching else 2)


def _exact(call: Call, creation: Json, found: Resource) -> Json:
    """What a second write says of a disk's creation, with the version that a gallery reference means now."""
    reference = creation.get("galleryImageReference") or {}
    present = found.properties["creationData"].get("galleryImageReference") or {}
    if "id" not in reference or not present or key(str(reference["id"])) == key(str(present.get("id", ""))):
        return creation
    version = resolved(call.world, str(reference["id"]), found.location)
    return {**creation, "galleryImageReference": {**reference, "id": version.id}}


def retyped(found: Resource, asked: Json) -> Resource:
    """A disk or snapshot with the operating system that a write gives it."""
    if "osType" not in asked:
        return found
    first = {"osType": asked["osType"]}
    return found.with_body(properties={**first, **found.properties, **first})


def words_lawful(asked: Json) -> None:
    """A disk's or snapshot's operating system and generation are such as there are."""
    for name, words in (("osType", values.OS_TYPES), ("hyperVGeneration", values.GENERATIONS)):
        if name in asked:
            values.one_of(asked[name], words, name)


def own(world: World, disk: Resource, machine_id: str | None, at: float, *, aside: bool = False) -> None:
    """Note on a disk who has it attached; None is nobody. `aside`: that machine is deallocated."""
    state = ("Reserved" if aside else "Attached") if machine_id else "Unattached"
    changed = disk.with_properties(diskState=state)
    properties = {name: value for name, value in changed.properties.items() if name != "LastOwnershipUpdateTime"}
    if machine_id:
        ordered: Json = {}
        for name, value in properties.items():
            ordered[name] = value
            if name == "diskState":
                ordered["LastOwnershipUpdateTime"] = timestamp(at)
        properties = ordered
    body = {name: value for name, value in changed.body.items() if name != "managedBy"}
    if machine_id:
        body = {**{n: body[n] for n in ("name", "id", "type", "location")}, "managedBy": machine_id, **body}
    world.put(replace(changed, body={**body, "properties": properties}))


def find_disk(world: World, disk_id: str) -> Resource:
    """The disk with this id.

    Raises:
        Refused: 404 NotFound, as the disk provider says it.
    """
    found = world.find(KIND, disk_id)
    if found is None or found.state == "Deleting":
        name = key(disk_id).rpartition("/")[2]
        raise (
            gateway(404, "ResourceNotFound", f"Disk {name} is not found.")
            if not name
            else Refused(404, "NotFound", f"Disk {disk_id.rpartition('/')[2]} is not found.")
        )
    return found


def made_empty(call: Call, disk_id: str, machine: Resource, gb: int, sku: str) -> Resource:
    """An empty disk that a virtual machine's write brings along; it is there at once."""
    unique = call.world.new_id()
    call.world.create_blob(f"disk-{unique}", gb * GIB)
    address = Address.parse(disk_id)
    assert address is not None
    inner = replace(call, address=address)
    body: Json = {"location": machine.location, "zones": machine.body.get("zones"), "sku": {"name": sku}}
    found = _resource(inner, body, gb, unique, f"disk-{unique}", {}, {"createOption": "Empty"})
    return call.world.put(found.with_properties(provisioningState="Succeeded"))
