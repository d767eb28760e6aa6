"""Odd recordings of calls that the given ones lack, worked up from the nearest that they have."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from tests.conformance.variants import Flow, Flows, Recorded, rewritten

Json = dict[str, Any]
GATEWAY = {"x-ms-failure-cause": "gateway"}
PLAIN = {"cache-control": "no-cache", "content-type": "application/json; charset=utf-8"}


def exchange(method: str, url: str, status: int, answer: Any = "", body: Any = None, **headers: str) -> Recorded:
    """One exchange; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = {"method": method, "url": url, **({} if body is None else {"body": body})}
    return {"request": request, "response": {"status": status, "headers": {**PLAIN, **named}, "body": answer}}


def refused(method: str, url: str, status: int, code: str, message: str, body: Any = None, **more: str) -> Recorded:
    """A refusal; `gateway=` marks one of Resource Manager itself."""
    error = {"code": code, "message": message, **{name: value for name, value in more.items() if name == "target"}}
    found = exchange(method, url, status, {"error": error}, body)
    found["response"]["headers"] |= GATEWAY if "gateway" in more else {}
    return found


def _path(recorded: Recorded) -> str:
    return str(recorded["request"]["url"].partition("?")[0])


def _storage(document: Json) -> Json:
    found: Json = document["properties"]["storageProfile"]
    return found


def _by_method(flow: Flow, method: str) -> list[Recorded]:
    return [each for each in flow if each["request"]["method"] == method]


def three_disks_at_once(flows: Flows) -> Flow:
    """A machine gets three new disks by one write."""
    flow = copy.deepcopy(flows["vm-put-attach-new-empty-disk"])
    for each in flow:
        for document in (each["request"].get("body"), each["response"]["body"]):
            if not isinstance(document, dict) or "properties" not in document:
                continue
            entries = _storage(document)["dataDisks"]
            for entry in [entry for entry in entries if entry["name"] == "d2"]:
                for number in (3, 4):
                    more = json.loads(json.dumps(entry).replace('/d2"', f'/d{number}"').replace('"d2"', f'"d{number}"'))
                    entries.append({**more, "lun": 4 - number if number == 3 else 3})
    return flow


def disk_of_a_machine(flows: Flows) -> Flow:
    """A disk while it is attached, and set aside with its machine."""
    flow = copy.deepcopy(flows["vm-put-attach-existing-disk"])
    disk = _storage(flow[1]["request"]["body"])["dataDisks"][1]["managedDisk"]["id"]
    machine = flow[0]["response"]["body"]["id"]
    shown = copy.deepcopy(flows["disk-get"][1]["response"]["body"])
    assert shown["properties"]["diskState"] == "Attached"
    properties = {
        name: value for name, value in shown["properties"].items() if name not in ("osType", "hyperVGeneration")
    }
    shown |= {"id": disk, "name": "d1", "managedBy": machine, "location": "westus", "properties": properties}
    shown |= {"sku": {"name": "Premium_LRS", "tier": "Premium"}, "properties": {**properties, "diskSizeGB": 1}}
    properties = shown["properties"]
    url = f"{disk}?api-version=2024-03-02"
    poll = {**_poll(flow[1], "9", monitor=True), "retry-after": "10"}
    stop = exchange("POST", f"{machine}/deallocate?api-version=2024-07-01", 202, "", **poll)
    done = copy.deepcopy(flow[3])
    done["request"]["url"] = re.sub("(perations/).", r"\g<1>9", done["request"]["url"])
    aside = {**shown, "properties": {**properties, "diskState": "Reserved"}}
    return [*flow, exchange("GET", url, 200, shown), stop, done, exchange("GET", url, 200, aside)]


def two_detached_at_once(flows: Flows) -> Flow:
    """A machine loses two disks by one write, then the last one: its list is empty."""
    read, write, *polls, shown = flows["vm-put-detach-disk"][:5]
    found: Flow = []
    etag = 4
    for last in (False, True):
        before = copy.deepcopy(read)
        first = copy.deepcopy(write)
        after = copy.deepcopy(shown)
        entries = [
            {**entry, "lun": lun, **_named_disk(entry, f"n{lun}")}
            for lun, entry in enumerate([_storage(read["response"]["body"])["dataDisks"][0]] * 3)
        ]
        staying = [entries[2]] if not last else []
        going = [entries[2]] if last else entries[:2]
        _storage(before["response"]["body"])["dataDisks"] = [*going, *staying]
        _storage(first["request"]["body"])["dataDisks"] = staying
        _storage(first["response"]["body"])["dataDisks"] = [{**each, "toBeDetached": True} for each in going] + staying
        _storage(after["response"]["body"])["dataDisks"] = staying
        for step, each in enumerate((before, first, after)):
            number = f'"{etag + step}"'
            each["response"]["headers"]["etag"] = each["response"]["body"]["etag"] = number
        etag += 2
        found += [before, *_again([first, *polls, after], last)]
    return found


def _named_disk(entry: Json, name: str) -> Json:
    disk = entry["managedDisk"]
    return {"name": name, "managedDisk": {**disk, "id": f"{disk['id'].rpartition('/')[0]}/{name}"}}


def _again(flow: Flow, again: bool) -> Flow:
    """The same with other operations, the second time."""
    guid = "03607493-51d7-434f-8969-796698a92f29"
    return rewritten(flow, lambda text: text.replace(guid, f"0360749{4 if again else 3}-51d7-434f-8969-796698a92f29"))


def copied_from_a_disk(flows: Flows) -> Flow:
    """A disk made of another one."""
    put, get = flows["disk-create-copy-from-snapshot"][5], flows["disk-create-copy-from-snapshot"][12]
    return rewritten([put, get], lambda text: text.replace("/snapshots/oSnapshot", "/disks/sSource"))


def image_of_disks(flows: Flows) -> Flow:
    """An image of disks, with one more disk of the same kind as data."""
    flow = flows["image-create-from-snapshot"][2:6]
    return rewritten(
        flow, lambda text: text.replace('"snapshot": {', '"managedDisk": {').replace("/snapshots/", "/disks/")
    )


def old_image(flows: Flows) -> Flow:
    """An image of a machine by an api-version that has no generations: created, listed, tagged, deleted."""
    made = [each for each in flows["image-create-from-vm"] if "/virtualMachines/" not in _path(each)]
    text = json.dumps(made).replace(', "hyperVGeneration": "V1"', "").replace('"hyperVGeneration": "V1", ', "")
    found: Flow = json.loads(text.replace("api-version=2024-07-01", "api-version=2017-03-30"))
    image, path = found[-1]["response"]["body"], _path(found[-1])
    listed = exchange("GET", f"{path.rpartition('/')[0]}?api-version=2017-03-30", 200, {"value": [image]})
    tagged = {**image, "tags": {"a": "b"}}
    changing = {**tagged, "properties": {**image["properties"], "provisioningState": "Updating"}}
    body = {"location": image["location"], "tags": {"a": "b"}, "properties": image["properties"]}
    update = exchange("PUT", f"{path}?api-version=2017-03-30", 200, changing, body, **_poll(found[0], "1"))
    shown = exchange("GET", f"{path}?api-version=2017-03-30", 200, tagged)
    delete = exchange("DELETE", f"{path}?api-version=2017-03-30", 202, "", **_poll(found[0], "2", monitor=True))
    empty = exchange("GET", f"{path.rpartition('/')[0]}?api-version=2017-03-30", 200, {"value": []})
    return [*found, listed, update, shown, delete, empty]


def _poll(recorded: Recorded, digit: str, *, monitor: bool = False) -> dict[str, str]:
    """Poll addresses of another operation than the recorded one."""
    url = re.sub("(perations/).", rf"\g<1>{digit}", recorded["response"]["headers"]["azure-asyncoperation"])
    found = {"azure-asyncoperation": url}
    return {**found, "location": url.replace("&api-version", "&monitor=true&api-version")} if monitor else found


def shallow_version(flows: Flows) -> Flow:
    """An image version that is not replicated in full."""
    flow = copy.deepcopy(
        [each for each in flows["gallery-image-version-create"][:8] if "/versions?" not in each["request"]["url"]]
    )
    flow[0]["request"]["body"]["properties"]["publishingProfile"]["replicationMode"] = "Shallow"
    for each in flow:
        body = each["response"]["body"]
        if isinstance(body, dict) and "properties" in body:
            body["properties"]["publishingProfile"]["replicationMode"] = "Shallow"
    return flow


def all_disks_of_a_subscription(flows: Flows) -> Flow:
    """Two of them with one name, in two groups."""
    shown = [each["response"]["body"] for each in flows["disk-get"][:2]]
    double = {**shown[0], "id": shown[0]["id"].replace("TEST_DISK_TYPE_MODIFY", "ANOTHER_GROUP")}
    path = _path(flows["disk-get"][0]).partition("/resourceGroups/")[0]
    url = f"{path}/providers/Microsoft.Compute/disks?api-version=2024-03-02"
    return [exchange("GET", url, 200, {"value": [double, *shown]})]


def absent_things(flows: Flows) -> Flow:
    """What Azure says of things that are not there."""
    group = _path(flows["resource-group"][0])
    compute = f"{group}/providers/Microsoft.Compute"
    return [
        exchange("HEAD", f"{group}?api-version=2020-06-01", 204),
        exchange("DELETE", f"{compute}/disks/gone?api-version=2019-03-01", 204),
        exchange("HEAD", f"{group}-other?api-version=2020-06-01", 404),
        refused(
            "DELETE", f"{group}-other/providers/Microsoft.Compute/disks/d?api-version=2024-03-02", 404,
            "ResourceGroupNotFound", f"Resource group '{group.rpartition('/')[2]}-other' could not be found.", gateway="",
        ),
    ]  # fmt: skip


def missing_sources(flows: Flows) -> Flow:
    """What is made of things that are not there: two providers say it in two ways."""
    compute = _path(flows["resource-group"][0]) + "/providers/Microsoft.Compute"
    copied = {
        "creationData": {"createOption": "Copy", "sourceResourceId": f"{compute}/disks/gone"},
        "incremental": False,
    }
    storage = {"osDisk": {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": f"{compute}/snapshots/gone"}}}
    image = {"hyperVGeneration": "V2", "storageProfile": storage}
    body = {"location": "westus2", "tags": {}}
    return [
        refused(
            "PUT", f"{compute}/snapshots/s?api-version=2023-10-02", 404, "NotFound", "Resource gone is not found.",
            {**body, "properties": copied},
        ),
        refused(
            "PUT", f"{compute}/images/i?api-version=2022-03-01", 404, "NotFound",
            "The entity was not found in this Azure location.", {**body, "properties": image},
            target=f"{compute}/snapshots/gone",
        ),
    ]  # fmt: skip


def shrunk_disk(flows: Flows) -> Flow:
    """A disk that is to become smaller: accepted, and then it fails."""
    _, write, poll, shown = copy.deepcopy(flows["disk-resize"][:4])
    size = shown["response"]["body"]["properties"]["diskSizeGB"] - 1
    for body in (write["request"]["body"], write["response"]["body"]):
        body["properties"]["diskSizeGB"] = size
    del poll["response"]["body"]["properties"]
    name = poll["response"]["body"].pop("name")
    error = {"code": "InvalidParameter", "message": "Disks or snapshot cannot be resized down."}
    poll["response"]["body"] |= {"status": "Failed", "error": error, "name": name}
    return [shown, write, poll, shown]


def other_offers(flows: Flows) -> Flow:
    """Zones and storage that a region has not."""
    group = _path(flows["resource-group"][0])
    url = f"{group}/providers/Microsoft.Compute/disks/d1?api-version=2022-03-02"
    body: Json = {"location": "westus", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}
    place = "The resource 'Microsoft.Compute/disks/d1' does not support availability zones at location 'westus'."
    storage = (
        "SKU StandardSSD_ZRS is not supported for resource type Disk in this region. Supported SKUs for this region are "
        "Premium_LRS,StandardSSD_LRS,Standard_LRS,UltraSSD_LRS"
    )
    return [
        refused("PUT", url, 400, "LocationNotSupportAvailabilityZones", place, {**body, "zones": ["1"]}, gateway=""),
        refused(
            "PUT", url, 400, "InvalidParameter", storage, {**body, "sku": {"name": "StandardSSD_ZRS"}}, target="sku"
        ),
    ]


def incomplete_images(flows: Flows) -> Flow:
    """A version of two sources, and an image that does not say its generation, nor does its source."""
    version = copy.deepcopy(flows["gallery-image-version-create"][0])
    compute = _path(version).partition("/galleries/")[0]
    storage = version["request"]["body"]["properties"]["storageProfile"]
    storage["osDiskImage"] = {"source": {"id": f"{compute}/snapshots/s"}}
    several = (
        "The gallery artifact version source can only be specified either directly under storageProfile or within individual "
        "OS or data disks. One and only one source type (user image, snapshot, disk, virtual machine) can be provided."
    )
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": f"{compute}/snapshots/s"}}
    image = {"location": "eastus2", "properties": {"storageProfile": {"osDisk": disk}}}
    return [
        refused(
            "PUT", version["request"]["url"], 400, "InvalidParameter", several, version["request"]["body"],
            target="galleryImageVersion.properties.storageProfile.source.id",
        ),
        refused(
            "PUT", f"{compute}/images/i?api-version=2019-03-01", 400, "InvalidParameter",
            "Required parameter 'hyperVGeneration' is missing (null).", image, target="hyperVGeneration",
        ),
    ]  # fmt: skip


def tagged_gallery(flows: Flows) -> Flow:
    """A gallery that gets its first tags: they come to their place, and its state is that at the end."""
    shown = copy.deepcopy(flows["gallery-create-get-list"][2])
    gallery = {name: value for name, value in shown["response"]["body"].items() if name != "tags"}
    shown["response"]["body"] = gallery
    tagged: Json = {}
    for name, value in gallery.items():
        tagged |= {"tags": {"a": "b"}, name: value} if name == "properties" else {name: value}
    url = shown["request"]["url"]
    poll = _poll(flows["gallery-create-get-list"][0], "8")
    return [shown, exchange("PATCH", url, 200, tagged, {"tags": {"a": "b"}}, **poll), exchange("GET", url, 200, tagged)]


def refused_callers(flows: Flows) -> Flow:
    """Who has no good token, and who has no right."""
    poll = next(each for each in flows["gallery-image-version-create"] if "perations/" in each["request"]["url"])
    disk = next(each for each in flows["disk-get"])
    over = (
        "The access token expiry UTC time '1/2/2020 7:01:08 AM' is earlier than current UTC time '1/2/2020 7:01:52 AM'."
    )
    scope = _path(disk)
    client = "15a1f5ca-ffb9-4bb6-a1ba-6f2b0c0d2e9f"
    unable = (
        f"The client '{client}' with object id '{client}' does not have authorization to perform action "
        f"'Microsoft.Compute/disks/read' over scope '{scope}' or the scope is invalid. If access was recently granted, "
        "please refresh your credentials."
    )
    return [
        refused("GET", poll["request"]["url"], 401, "ExpiredAuthenticationToken", over, gateway=""),
        refused("GET", disk["request"]["url"], 403, "AuthorizationFailed", unable, gateway=""),
        disk,
    ]


def taken_disks(flows: Flows) -> Flow:
    """Refusals that tell of a state that no answer shows."""
    write = flows["vm-put-attach-existing-disk"][1]
    disk = _storage(write["request"]["body"])["dataDisks"][1]["managedDisk"]["id"]
    machine, name = _path(write).rpartition("/")[::2]
    url = f"{disk}?api-version=2023-04-02"
    leaving = (
        f"Cannot attach data disk 'd1' to VM '{name}' because the disk is currently being detached or the last detach "
        "operation failed. Please wait until the disk is completely detached and then try again or delete/detach the disk "
        "explicitly again."
    )
    return [
        refused("PUT", write["request"]["url"], 409, "AttachDiskWhileBeingDetached", leaving, write["request"]["body"]),
        refused("DELETE", url, 409, "OperationNotAllowed", f"Disk d1 is attached to VM {machine}/{name}."),
    ]


HAND_MADE = (
    three_disks_at_once, disk_of_a_machine, two_detached_at_once, copied_from_a_disk, image_of_disks, old_image,
    shallow_version, all_disks_of_a_subscription, absent_things, missing_sources, shrunk_disk, other_offers,
    incomplete_images, tagged_gallery, refused_callers, taken_disks,
)  # fmt: skip
