"""Snapshots of managed disks."""

from __future__ import annotations

from localarm import laws, offers, quotas, sameness
from localarm.calls import Call, accepted, echoed, listed, patched
from localarm.capture import GIB, captured
from localarm.clock import timestamp
from localarm.disks import retyped, shrunk_in_vain, source_of_copy, thawing, words_lawful
from localarm.errors import invalid
from localarm.latency import sized
from localarm.messages import Json, Response
from localarm.operations import Step
from localarm.resources import Resource, document

KIND = "snapshots"


def put(call: Call) -> Response:
    """Take a snapshot of a disk (`creationData.createOption: Copy`), or update sku and tags of one."""
    body = call.body()
    laws.name_fits(call.address.name, 80)
    location = laws.location_known(call.world, body)
    found = call.present(KIND)
    if found is not None:
        return _update(call, found, body)
    offers.storage_offered("Snapshot", location, str((body.get("sku") or {}).get("name", "Standard_LRS")))
    properties = body.get("properties", {})
    words_lawful(properties)
    data = properties.get("creationData") or {}
    unique = call.world.new_id()
    blob = f"snapshot-{unique}"
    if data.get("createOption") == "Empty":
        gb = laws.size_given(properties.get("diskSizeGB"))
        call.world.create_blob(blob, gb * GIB)
        kind, work, creation, facts = "snapshot.create.empty", None, dict(data), Json()
    elif data.get("createOption") in ("Copy", "CopyStart"):
        source = source_of_copy(call.world, str(data.get("sourceResourceId") or data.get("sourceUri") or ""))
        across = data["createOption"] == "CopyStart"
        if across:
            laws.copy_start_lawful(source, properties)
        else:
            laws.same_region(source, location)
        if properties.get("incremental") and source.kind == "disks":
            source = call.world.put(quotas.incremental_paced(call.world, source, call.world.clock()))
        gb = source.properties["diskSizeGB"]
        work = captured(call.world, source, blob)
        kind = "snapshot.create.incremental" if properties.get("incremental") else "snapshot.create.full"
        kind = sized("snapshot.create.copystart" if across else kind, [gb])
        creation = {
            "createOption": data["createOption"],
            "sourceResourceId": source.id,
            "sourceUniqueId": source.properties.get("uniqueId"),
        }
        facts = source.properties
    else:
        raise invalid(
            "creationData.createOption",
            f"The value '{data.get('createOption')}' of parameter 'creationData.createOption' is invalid.",
        )
    resource = Resource(KIND, _document(call, body, location, gb, creation, facts, unique), blob)
    if creation["createOption"] == "CopyStart":
        ends = call.world.clock() + call.world.lasts("snapshot.background-copy")
        resource = resource.with_hidden(copied=[call.world.clock(), ends])
    if resource.properties["incremental"]:
        family = facts.get("incrementalSnapshotFamilyId") or call.world.new_id()
        resource = resource.with_properties(incrementalSnapshotFamilyId=family)
    call.world.put(resource)
    operation = call.world.begin(
        "DiskOperations", kind, call.id, location=location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts(kind), "disk.created")], work=work, shows_output=True,
    )  # fmt: skip
    return accepted(call, 202, echoed(call, "Updating"), operation, location=True, retry_after=2)


def get(call: Call) -> Response:
    """Show a snapshot; one that is copied from another region says how far it is."""
    found = call.resource(KIND)
    if "copied" in found.hidden:
        since, until = found.hidden["copied"]
        now = call.world.clock()
        share = 1.0 if now >= until else (now - since) / (until - since)
        family = found.properties.get("incrementalSnapshotFamilyId")
        found = found.with_properties(incrementalSnapshotFamilyId=None)
        found = found.with_properties(completionPercent=round(share * 100, 1), incrementalSnapshotFamilyId=family)
    return Response(200, found.body)


def lists(call: Call) -> Response:
    """List the snapshots of a group or a subscription."""
    return listed([each.body for each in call.world.all(KIND, call.scope)])


def patch(call: Call) -> Response:
    """Change sku or tags."""
    return _update(call, call.resource(KIND), call.body(), patching=True)


def delete(call: Call) -> Response:
    """Delete a snapshot; what was made of it stays."""
    found = call.world.find(KIND, call.id)
    if found is None:
        return Response(204)
    laws.no_access_granted(found)
    laws.not_changing(call.world, found)
    call.world.put(found.with_properties(provisioningState="Deleting"))
    operation = call.world.begin(
        "DiskOperations", "snapshot.delete", call.id, location=found.location, api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts("snapshot.delete"), "removed")],
    )  # fmt: skip
    return accepted(call, 202, None, operation, location=True)


def _update(call: Call, found: Resource, body: Json, *, patching: bool = False) -> Response:
    laws.not_changing(call.world, found)
    laws.made(found)
    asked = body.get("properties") or {}
    words_lawful(asked)
    if not patching:
        laws.same_place(found, str(body.get("location", "")))
        sameness.same_creation(found, asked)
    sku = str((body.get("sku") or found.body["sku"])["name"])
    gb = laws.size_given(asked.get("diskSizeGB") or found.properties["diskSizeGB"])
    offers.storage_offered("Snapshot", found.location, sku)
    if gb < found.properties["diskSizeGB"]:
        return shrunk_in_vain(call, found, "snapshot.update", patching=patching)
    changed = (
        retyped(found, asked)
        .with_properties(provisioningState="Updating")
        .with_body(sku={"name": sku, "tier": sku.partition("_")[0]}, tags=body.get("tags", found.body.get("tags")))
    )
    call.world.put(changed)
    sized = {"diskSizeGB": gb, "diskSizeBytes": gb * GIB}
    ends = call.world.clock() + call.world.lasts("snapshot.update")
    operation = call.world.begin(
        "DiskOperations", "snapshot.update", call.id, location=found.location, api_version=call.api_version,
        steps=[Step(ends, "disk.resized", {"sized": sized})], shows_output=True, work=thawing(call.world, found, gb),
    )  # fmt: skip
    payload = patched(changed.with_properties(**sized)) if patching else echoed(call, "Updating", found)
    return accepted(call, 202, payload, operation, location=True, retry_after=0 if patching else 2)


def _document(call: Call, body: Json, location: str, gb: int, creation: Json, facts: Json, unique: str) -> Json:
    asked = body.get("properties", {})
    sku = str((body.get("sku") or {}).get("name", "Standard_LRS"))
    properties: Json = {
        "osType": asked.get("osType") or facts.get("osType"),
        "hyperVGeneration": asked.get("hyperVGeneration") or facts.get("hyperVGeneration"),
        "supportedCapabilities": facts.get("supportedCapabilities"),
        "creationData": creation,
        "diskSizeGB": gb,
        "encryption": asked.get("encryption") or {"type": "EncryptionAtRestWithPlatformKey"},
        "incremental": bool(asked.get("incremental", False)),
        "networkAccessPolicy": asked.get("networkAccessPolicy", "AllowAll"),
        "publicNetworkAccess": asked.get("publicNetworkAccess", "Enabled"),
        "timeCreated": timestamp(call.world.clock()),
        "provisioningState": "Creating",
        "diskState": "Unattached",
        "diskSizeBytes": gb * GIB,
        "uniqueId": unique,
    }
    return document(
        call.id, call.address.type, location, tags=body.get("tags"), sku={"name": sku, "tier": sku.partition("_")[0]},
        properties={name: value for name, value in properties.items() if value is not None},
    )  # fmt: skip
