"""Gallery image versions: what they are made of, where they are replicated."""

from __future__ import annotations

from dataclasses import dataclass, field

from localarm import laws, quotas, sameness, values
from localarm.arm import Address
from localarm.calls import Call, accepted, listed
from localarm.capture import GIB, captured
from localarm.clock import timestamp
from localarm.disks import find_disk, source_of_copy
from localarm.errors import Refused, invalid
from localarm.galleries import DEFINITION, VERSION, delete
from localarm.latency import sized
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.regions import display, short
from localarm.replication import replication
from localarm.resources import Resource, document
from localarm.works import several
from localarm.world import World

SAFETY_SINCE = "2022-03-03"
"""Older answers have no safetyProfile (recorded: none in 2021-10-01, there in 2022-03-03 and later)."""


@dataclass
class Content:
    """What a version is made of: blobs by place (`os` or a LUN), their sizes, and what is left to copy."""

    kind: str
    caching: str = "ReadWrite"
    blobs: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    cachings: dict[str, str] = field(default_factory=dict)
    works: list[Json] = field(default_factory=list)

    def take(self, world: World, place: str, source: Resource, gb: int, caching: str, blob: str = "") -> None:
        """Capture one disk."""
        name = f"version-{world.new_id()}"
        work = None
        if blob:
            world.share_blob(blob, name)
        elif source.blob or source.kind == "disks":
            work = captured(world, source, name)
        else:
            world.create_blob(name, gb * GIB)
        self.blobs[place] = name
        self.sizes[place] = gb
        self.cachings[place] = caching
        self.works += [work] if work else []


def put(call: Call) -> Response:
    """Create an image version, or change where it is replicated."""
    body = call.body()
    laws.version_name_fits(call.address.name)
    location = laws.location_known(call.world, body)
    definition = call.world.find(DEFINITION, call.address.parent.id)
    assert definition is not None  # routes check parents
    found = call.present(VERSION)
    if found is not None:
        return _update(call, found, body)
    quotas.below_gallery_quota(call.world, call.address, location)
    profile = _profile(call, body, location)
    storage = (body.get("properties") or {}).get("storageProfile") or {}
    content = _content(call, storage, location, definition)
    properties = {
        "publishingProfile": profile,
        "storageProfile": storage,
        "safetyProfile": _safety(body),
        "provisioningState": "Creating",
    }
    payload = document(call.id, call.address.type, location, tags=body.get("tags"), properties=properties)
    regions = [short(each["name"]) for each in profile["targetRegions"]]
    shallow = profile.get("replicationMode") == "Shallow"
    kind = sized(f"version.create.{content.kind}.{_mode(regions, shallow=shallow)}", content.sizes.values())
    hidden = {"blobs": content.blobs, "sizes": content.sizes, "cachings": content.cachings}
    resource = Resource(VERSION, payload, hidden=hidden)
    status = 201 if call.world.find(VERSION, call.id) is None else 200  # in place of what a failed creation left
    operation = _begin(call, resource, kind, regions, content.works)
    return accepted(call, status, shown(call, call.resource(VERSION)), operation, location=False)


def get(call: Call) -> Response:
    """Show a version; `$expand=ReplicationStatus` adds how far each region is."""
    found = call.resource(VERSION)
    body = shown(call, found)
    query = {name.lower(): value.lower() for name, value in call.request.query.items()}
    if "replicationstatus" in query.get("$expand", ""):
        status = replication(found, call.world.clock())
        body = {**body, "properties": {**body["properties"], "replicationStatus": status}}
    return Response(200, body)


def lists(call: Call) -> Response:
    """List the versions of a definition."""
    return listed([shown(call, each) for each in call.world.all(VERSION, call.id)])


def patch(call: Call) -> Response:
    """Change replication, end of life, `excludeFromLatest` or tags."""
    return _update(call, call.resource(VERSION), call.body())


def remove(call: Call) -> Response:
    """Delete a version; disks made of it stay."""
    return delete(call, VERSION, "", "version.delete")


def made(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a create: sizes appear."""
    found = world.find(VERSION, operation.target)
    if found is None:
        return
    sizes, cachings = found.hidden["sizes"], found.hidden["cachings"]
    storage = dict(found.properties["storageProfile"])
    source = (storage.get("osDiskImage") or {}).get("source", {})
    storage["osDiskImage"] = {"sizeInGB": sizes["os"], "hostCaching": cachings["os"], "source": source}
    asked = {str(each.get("lun")): each for each in storage.get("dataDiskImages") or []}
    data = []
    for place in sorted((place for place in sizes if place != "os"), key=int):
        entry: Json = {"lun": int(place), "sizeInGB": sizes[place], "hostCaching": cachings[place]}
        if asked.get(place, {}).get("source"):
            entry["source"] = asked[place]["source"]
        data.append(entry)
    if data:
        storage["dataDiskImages"] = data
    world.put(found.with_properties(storageProfile=storage, provisioningState="Succeeded"))


def shown(call: Call, found: Resource) -> Json:
    """A version as this api-version shows it."""
    if call.api_version >= SAFETY_SINCE:
        return found.body
    return found.with_properties(safetyProfile=None).body


def _safety(body: Json) -> Json:
    asked = (body.get("properties") or {}).get("safetyProfile") or {}
    allowed = bool(asked.get("allowDeletionOfReplicatedLocations", False))
    return {"reportedForPolicyViolation": False, "allowDeletionOfReplicatedLocations": allowed}


def _profile(call: Call, body: Json, location: str, present: Json | None = None) -> Json:
    """The publishing profile as the service fills it in."""
    asked = {**(present or {}), **((body.get("properties") or {}).get("publishingProfile") or {})}
    place = "galleryImageVersion.properties.publishingProfile"
    count = int(asked.get("replicaCount") or 1)
    account = asked.get("storageAccountType") or "Standard_LRS"
    mode = asked.get("replicationMode")
    values.replicas_lawful(count, f"{place}.replicaCount")
    values.date_lawful(asked.get("endOfLifeDate"), f"{place}.endOfLifeDate")
    values.one_of(account, values.VERSION_STORAGE, f"{place}.storageAccountType")
    values.one_of(mode or "Full", values.REPLICATION_MODES, f"{place}.replicationMode")
    targets = asked.get("targetRegions") or [{"name": location}]
    regions = []
    for target in targets:
        more = {name: value for name, value in target.items() if name in ("encryption", "excludeFromLatest")}
        replicas = target.get("regionalReplicaCount") or count
        values.replicas_lawful(replicas, f"{place}.targetRegions.regionalReplicaCount")
        kind = target.get("storageAccountType") or account
        values.one_of(kind, values.VERSION_STORAGE, f"{place}.targetRegions.storageAccountType")
        entry = {"name": display(target["name"]), "regionalReplicaCount": replicas, "storageAccountType": kind}
        regions.append({**entry, **more})
    laws.regions_lawful(call.world, [short(each["name"]) for each in regions], location)
    profile = {
        "targetRegions": regions,
        "replicaCount": count,
        "excludeFromLatest": bool(asked.get("excludeFromLatest", False)),
        "publishedDate": (present or {}).get("publishedDate") or timestamp(call.world.clock()),
        "endOfLifeDate": asked.get("endOfLifeDate"),
        "storageAccountType": account,
        "replicationMode": mode,
    }
    return {name: value for name, value in profile.items() if value is not None}


def _content(call: Call, storage: Json, location: str, definition: Resource) -> Content:
    source = storage.get("source") or {}
    disks = storage.get("osDiskImage") or {}
    whole = source.get("id") or source.get("virtualMachineId")
    part = (disks.get("source") or {}).get("id")
    if bool(whole) == bool(part):
        raise Refused(
            400,
            "InvalidParameter",
            "The gallery artifact version source can only be specified either directly under storageProfile or within "
            "individual OS or data disks. One and only one source type (user image, snapshot, disk, "
            "virtual machine) can be provided.",
            target="galleryImageVersion.properties.storageProfile" + (".source.id" if whole else ""),
        )
    if part:
        return _of_disks(call.world, storage, location, definition)
    if source.get("virtualMachineId"):
        return _of_machine(call.world, str(source["virtualMachineId"]))
    return _of_image(call.world, str(whole), location, definition)


def _of_disks(world: World, storage: Json, location: str, definition: Resource) -> Content:
    content = Content("snapshot")
    data_disks = storage.get("dataDiskImages") or []
    profile = "galleryImageVersion.properties.storageProfile"
    values.luns_lawful((each.get("lun") for each in data_disks), f"{profile}.dataDiskImages.lun")
    taken: list[tuple[str, Resource, str]] = []
    for place, entry in [("os", storage["osDiskImage"]), *((str(each["lun"]), each) for each in data_disks)]:
        source_id = str((entry.get("source") or {}).get("id", ""))
        address = Address.parse(source_id)
        if address is None or address.kind not in ("disks", "snapshots"):
            raise invalid(
                "galleryImageVersion.properties.storageProfile.osDiskImage.source",
                f"The source id: '{source_id}' must be a managed disk or snapshot.",
            )
        source = source_of_copy(world, source_id, of_image=True)
        laws.same_region(source, location)
        if place == "os":
            laws.definition_matches(
                definition, source.properties.get("osType"), source.properties.get("hyperVGeneration")
            )
            content.kind = "snapshot" if source.kind == "snapshots" else "disk"
        caching = entry.get("hostCaching") or ("ReadWrite" if place == "os" else "None")
        caching = values.one_of(caching, values.CACHINGS, f"{profile}.hostCaching")
        taken.append((place, source, caching))
    for place, source, caching in taken:  # when all is lawful: devices become read-only by it
        content.take(world, place, source, source.properties["diskSizeGB"], caching)
    return content


def _of_image(world: World, source_id: str, location: str, definition: Resource) -> Content:
    address = Address.parse(source_id)
    if address is None or address.kind not in ("images", VERSION):
        raise invalid(
            "galleryImageVersion.properties.storageProfile.source", f"The source id: '{source_id}' is invalid."
        )
    source = world.find(address.kind, source_id)
    if source is None:
        raise Refused(404, "NotFound", "The entity was not found in this Azure location.", target=source_id)
    if source.state != "Succeeded":
        message = f"The resource cannot be created from Image {source.name} until Image has been successfully created."
        raise Refused(409, "OperationNotAllowed", message)
    content = Content("image" if address.kind == "images" else "version")
    if address.kind == "images":
        laws.image_unused(world, source)
        storage = source.properties["storageProfile"]
        os_disk = storage["osDisk"]
        laws.definition_matches(
            definition, os_disk.get("osType"), source.properties.get("hyperVGeneration"), os_disk.get("osState")
        )
        laws.same_region(source, location)
        entries = [("os", os_disk), *((str(each["lun"]), each) for each in storage.get("dataDisks", []))]
        for place, entry in entries:
            blob = source.hidden["blobs"].get(place, "")
            content.take(world, place, source, int(entry.get("diskSizeGB") or 30), entry.get("caching", "None"), blob)
        return content
    for place, blob in source.hidden["blobs"].items():
        content.take(world, place, source, source.hidden["sizes"][place], source.hidden["cachings"][place], blob)
    return content


def _of_machine(world: World, machine_id: str) -> Content:
    machine = world.find("virtualmachines", machine_id)
    if machine is None:
        message = (
            f"Source Virtual Machine '{machine_id}' specified in the request does not exist in this Azure location."
        )
        raise Refused(404, "NotFound", message)
    laws.can_be_captured(machine, "Create Gallery Image Version")
    content = Content("vm")
    storage = machine.properties["storageProfile"]
    for place, entry in [
        ("os", storage["osDisk"]),
        *((str(each["lun"]), each) for each in storage.get("dataDisks", [])),
    ]:
        disk = find_disk(world, entry["managedDisk"]["id"])
        content.take(world, place, disk, disk.properties["diskSizeGB"], entry.get("caching", "None"))
    return content


def _mode(regions: list[str], *, shallow: bool = False) -> str:
    """What figures apply: one and two regions are recorded, shallow ones to one region."""
    if shallow:
        return "shallow" if len(regions) == 1 else "shallow.more"
    return str(len(regions)) if len(regions) < 3 else "more"


def _begin(call: Call, resource: Resource, kind: str, regions: list[str], works: list[Json]) -> Operation:
    """Start replication: regions become complete one after the other, the operation ends with the last."""
    world = call.world
    now, lasts = world.clock(), world.lasts(kind)
    failed = resource.hidden.get("failed", {})
    present = {region: times for region, times in resource.hidden.get("regions", {}).items() if region not in failed}
    fresh = [region for region in regions if region not in present]
    times = {region: present[region] for region in regions if region in present}
    for index, region in enumerate(fresh):
        times[region] = [now, now + lasts * (index + 1) / len(fresh)]
    world.put(resource.with_hidden(regions=times, replicating=fresh, failed={}))
    last = "version.made" if resource.state == "Creating" else "settled"
    return world.begin(
        "capsOperations",
        kind,
        resource.id,
        location=resource.location,
        api_version=call.api_version,
        steps=[Step(now + lasts, last)],
        work=several(works),
    )


def _update(call: Call, found: Resource, body: Json) -> Response:
    laws.not_changing(call.world, found)
    laws.same_place(found, str(body.get("location", "")))
    asked = body.get("properties") or {}
    sameness.same_version(found, asked)
    profile = _profile(call, body, found.location, found.properties["publishingProfile"])
    regions = [short(each["name"]) for each in profile["targetRegions"]]
    changed = found.with_properties(publishingProfile=profile, provisioningState="Updating").with_body(
        tags=body.get("tags", found.body.get("tags"))
    )
    operation = _begin(call, changed, f"version.update.{_mode(regions)}", regions, [])
    return accepted(call, 200, shown(call, changed), operation, location=False)
