"""Managed images."""

from __future__ import annotations

from localarm import laws
from localarm.calls import Call, accepted, listed
from localarm.capture import captured
from localarm.disks import source_of_copy
from localarm.errors import invalid
from localarm.messages import Json, Response
from localarm.operations import Step
from localarm.resources import Resource, document

KIND = "images"


def put(call: Call) -> Response:
    """Make an image from a snapshot or disk, data disks included; or update the tags of one."""
    body = call.body()
    laws.name_fits(call.address.name, 80)
    location = laws.location_known(call.world, body)
    found = call.world.find(KIND, call.id)
    if found is not None:
        return _update(call, found, body)
    storage = body.get("properties", {}).get("storageProfile") or {}
    if not storage.get("osDisk"):
        raise invalid("storageProfile.osDisk", "Required parameter 'storageProfile.osDisk' is missing (null).")
    kind, blobs, works, shown = _disks(call, storage, location)
    generation = body.get("properties", {}).get("hyperVGeneration", "V1")
    properties = {"provisioningState": "Creating", "storageProfile": shown, "hyperVGeneration": generation}
    payload = document(call.id, call.address.type, location, tags=body.get("tags"), properties=properties)
    call.world.put(Resource(KIND, payload, hidden={"blobs": blobs}))
    work = works[0] if works else None
    operation = call.world.begin(
        "operations", kind, call.id, location=location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts(kind), "settled")], work=work,
    )  # fmt: skip
    return accepted(call, 201, payload, operation, location=False)


def get(call: Call) -> Response:
    """Show an image."""
    return Response(200, call.resource(KIND).body)


def lists(call: Call) -> Response:
    """List the images of a group or a subscription."""
    return listed([each.body for each in call.world.all(KIND, call.address.parent.id)])


def patch(call: Call) -> Response:
    """Change the tags."""
    return _update(call, call.resource(KIND), call.body())


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


def _disks(call: Call, storage: Json, location: str) -> tuple[str, dict[str, str], list[Json], Json]:
    blobs: dict[str, str] = {}
    works: list[Json] = []
    kind = "image.create.disk"
    shown: Json = {}
    for where, entry in [
        ("os", storage["osDisk"]),
        *((str(each.get("lun")), each) for each in storage.get("dataDisks") or []),
    ]:
        member = "snapshot" if entry.get("snapshot") else "managedDisk"
        source = source_of_copy(call.world, str((entry.get(member) or {}).get("id", "")))
        laws.same_region(source, location)
        kind = "image.create.snapshot" if member == "snapshot" else kind
        blobs[where] = f"image-{call.world.new_id()}"
        work = captured(call.world, source, blobs[where])
        works += [work] if work else []
        facts = {
            "diskSizeGB": max(int(entry.get("diskSizeGB") or 0), source.properties["diskSizeGB"]),
            member: {"id": source.id},
            "caching": entry.get("caching", "None"),
            "storageAccountType": entry.get("storageAccountType", "Standard_LRS"),
        }
        if where == "os":
            if not entry.get("osType"):
                raise invalid("osDisk.osType", "Required parameter 'osDisk.osType' is missing (null).")
            shown["osDisk"] = {"osType": entry["osType"], "osState": entry.get("osState", "Generalized"), **facts}
            shown["dataDisks"] = []
        else:
            shown["dataDisks"].append({"lun": int(where), **facts})
    if "zoneResilient" in storage:
        shown["zoneResilient"] = storage["zoneResilient"]
    return kind, blobs, works, shown


def _update(call: Call, found: Resource, body: Json) -> Response:
    laws.not_changing(call.world, found)
    changed = found.with_properties(provisioningState="Updating").with_body(
        tags=body.get("tags", found.body.get("tags"))
    )
    call.world.put(changed)
    operation = call.world.begin(
        "operations", "image.update", call.id, location=found.location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts("image.update"), "settled")],
    )  # fmt: skip
    return accepted(call, 200, changed.body, operation, location=False)
