"""Managed images."""

from __future__ import annotations

from localarm import laws, sameness, values
from localarm.calls import Call, accepted, listed
from localarm.capture import captured
from localarm.disks import source_of_copy
from localarm.errors import Refused, invalid
from localarm.latency import sized
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.resources import Resource, document
from localarm.works import several
from localarm.world import World

KIND = "images"
GENERATION_SINCE = "2019-03-01"
"""Older api-versions neither ask for a hyperVGeneration nor show one (recorded: 2017-03-30)."""


def put(call: Call) -> Response:
    """Make an image from a snapshot or disk, data disks included; or update the tags of one."""
    body = call.body()
    laws.name_fits(call.address.name, 80)
    location = laws.location_known(call.world, body)
    found = call.present(KIND)
    if found is not None:
        laws.same_place(found, location)
        return _update(call, found, body, whole=True)
    asked = body.get("properties") or {}
    machine = asked.get("sourceVirtualMachine")
    storage = asked.get("storageProfile") or {}
    generation = values.one_of(
        asked.get("hyperVGeneration") or _generation(call, asked), values.GENERATIONS, "hyperVGeneration"
    )
    if machine:
        kind, hidden, works, profile = _of_machine(call, str(machine.get("id", "")))
    elif storage.get("osDisk"):
        kind, hidden, works, profile = _disks(call, storage, location)
    else:
        raise invalid("storageProfile.osDisk", "Required parameter 'storageProfile.osDisk' is missing (null).")
    properties = {**({"sourceVirtualMachine": machine} if machine else {}), "storageProfile": profile}
    properties |= {"provisioningState": "Creating", "hyperVGeneration": generation}
    payload = document(call.id, call.address.type, location, tags=body.get("tags"), properties=properties)
    status = 201 if call.world.find(KIND, call.id) is None else 200  # in place of what a failed creation left
    resource = call.world.put(Resource(KIND, payload, hidden=hidden))
    kind = sized(kind, hidden["sizes"].values())
    operation = call.world.begin(
        "operations", kind, call.id, location=location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts(kind), "image.made")], work=several(works),
    )  # fmt: skip
    return accepted(call, status, shown(call, resource), operation, location=False)


def get(call: Call) -> Response:
    """Show an image."""
    return Response(200, shown(call, call.resource(KIND)))


def lists(call: Call) -> Response:
    """List the images of a group or a subscription."""
    return listed([shown(call, each) for each in call.world.all(KIND, call.scope)])


def patch(call: Call) -> Response:
    """Change the tags."""
    return _update(call, call.resource(KIND), call.body(), whole=False)


def delete(call: Call) -> Response:
    """Delete an image."""
    found = call.world.find(KIND, call.id)
    if found is None:
        return Response(204)
    laws.not_changing(call.world, found)
    call.world.put(found.with_properties(provisioningState="Deleting"))
    operation = call.world.begin(
        "operations", "image.delete", call.id, location=found.location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts("image.delete"), "removed")],
    )  # fmt: skip
    return accepted(call, 202, None, operation, location=True)


def made(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a create: the sizes of the disks appear, before the ids of their sources."""
    found = world.find(KIND, operation.target)
    if found is None:
        return
    storage, sizes = found.properties["storageProfile"], found.hidden["sizes"]

    def sized(entry: Json, where: str) -> Json:
        place = {"osType", "osState", "lun"} & set(entry)
        head = {name: value for name, value in entry.items() if name in place}
        rest = {name: value for name, value in entry.items() if name not in place}
        return {**head, "diskSizeGB": sizes[where], **{n: v for n, v in rest.items() if n != "diskSizeGB"}}

    shown = {**storage, "osDisk": sized(storage["osDisk"], "os")}
    shown["dataDisks"] = [sized(entry, str(entry["lun"])) for entry in storage["dataDisks"]]
    world.put(found.with_properties(storageProfile=shown, provisioningState="Succeeded"))


def _generation(call: Call, asked: Json) -> str:
    """The generation of an image that does not say it: its source's, which must say it then (Azure REST reference)."""
    machine = call.world.find("virtualmachines", str((asked.get("sourceVirtualMachine") or {}).get("id", "")))
    storage = machine.properties["storageProfile"] if machine else asked.get("storageProfile") or {}
    os_disk = storage.get("osDisk") or {}
    source_id = str((os_disk.get("snapshot") or os_disk.get("managedDisk") or {}).get("id", ""))
    source = call.world.find("snapshots", source_id) or call.world.find("disks", source_id)
    found = str(source.properties.get("hyperVGeneration", "")) if source is not None else ""
    if source is not None and not found and call.api_version >= GENERATION_SINCE:
        raise invalid("hyperVGeneration", "Required parameter 'hyperVGeneration' is missing (null).")
    return found or "V1"


def shown(call: Call, found: Resource) -> Json:
    """An image as this api-version shows it."""
    if call.api_version >= GENERATION_SINCE:
        return found.body
    return found.with_properties(hyperVGeneration=None).body


def _disks(call: Call, storage: Json, location: str) -> tuple[str, Json, list[Json], Json]:
    blobs: dict[str, str] = {}
    sources: list[tuple[Resource, str]] = []
    sizes: dict[str, int] = {}
    kind = "image.create.disk"
    shown: Json = {}
    data_disks = storage.get("dataDisks") or []
    values.luns_lawful((each.get("lun") for each in data_disks), "dataDisks.lun")
    for where, entry in [("os", storage["osDisk"]), *((str(each["lun"]), each) for each in data_disks)]:
        member = "snapshot" if entry.get("snapshot") else "managedDisk"
        source = source_of_copy(call.world, str((entry.get(member) or {}).get("id", "")), of_image=True)
        laws.same_region(source, location)
        kind = "image.create.snapshot" if member == "snapshot" else kind
        blobs[where] = f"image-{call.world.new_id()}"
        sources.append((source, blobs[where]))
        facts = {
            "diskSizeGB": entry.get("diskSizeGB"),
            member: {"id": source.id},
            "caching": values.one_of(entry.get("caching") or "None", values.CACHINGS, "caching"),
            "storageAccountType": values.one_of(
                entry.get("storageAccountType") or "Standard_LRS", values.IMAGE_STORAGE, "storageAccountType"
            ),
            "diskEncryptionSet": entry.get("diskEncryptionSet"),
        }
        sizes[where] = max(int(entry.get("diskSizeGB") or 0), source.properties["diskSizeGB"])
        facts = {name: value for name, value in facts.items() if value is not None}
        if where == "os":
            if not entry.get("osType"):
                raise invalid("osDisk.osType", "Required parameter 'osDisk.osType' is missing (null).")
            os_type = values.one_of(entry["osType"], values.OS_TYPES, "osDisk.osType")
            os_state = values.one_of(entry.get("osState") or "Generalized", values.OS_STATES, "osDisk.osState")
            shown["osDisk"] = {"osType": os_type, "osState": os_state, **facts}
            shown["dataDisks"] = []
        else:
            shown["dataDisks"].append({"lun": int(where), **facts})
    if "zoneResilient" in storage:
        shown["zoneResilient"] = storage["zoneResilient"]
    works = [captured(call.world, *each) for each in sources]  # when all is lawful: devices become read-only by it
    return kind, {"blobs": blobs, "sizes": sizes}, [work for work in works if work], shown


def _of_machine(call: Call, machine_id: str) -> tuple[str, Json, list[Json], Json]:
    """The disks of a generalized machine."""
    machine = call.world.find("virtualmachines", machine_id)
    if machine is None:
        message = (
            f"Source Virtual Machine '{machine_id}' specified in the request does not exist in this Azure location."
        )
        raise Refused(404, "NotFound", message)
    laws.can_be_captured(machine, "Create Image")
    laws.generalized(machine, "Create Image")
    storage = machine.properties["storageProfile"]
    blobs: dict[str, str] = {}
    works: list[Json] = []
    sizes: dict[str, int] = {}
    shown: Json = {"dataDisks": []}
    for where, entry in [
        ("os", storage["osDisk"]),
        *((str(each["lun"]), each) for each in storage.get("dataDisks", [])),
    ]:
        disk = source_of_copy(call.world, entry["managedDisk"]["id"], of_image=True)
        blobs[where] = f"image-{call.world.new_id()}"
        work = captured(call.world, disk, blobs[where])
        works += [work] if work else []
        facts = {
            "managedDisk": {"id": disk.id},
            "caching": entry.get("caching", "None"),
            "storageAccountType": disk.body["sku"]["name"],
        }
        sizes[where] = disk.properties["diskSizeGB"]
        if where == "os":
            shown = {"osDisk": {"osType": entry["osType"], "osState": "Generalized", **facts}, **shown}
        else:
            shown["dataDisks"].append({"lun": int(where), **facts})
    return "image.create.vm", {"blobs": blobs, "sizes": sizes}, works, shown


def _update(call: Call, found: Resource, body: Json, *, whole: bool) -> Response:
    laws.not_changing(call.world, found)
    sameness.same_image(found, body.get("properties") or {}, whole=whole)
    changed = found.with_properties(provisioningState="Updating").with_body(
        tags=body.get("tags", found.body.get("tags"))
    )
    call.world.put(changed)
    operation = call.world.begin(
        "operations", "image.update", call.id, location=found.location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts("image.update"), "settled")],
    )  # fmt: skip
    return accepted(call, 200, shown(call, changed), operation, location=False)
