"""What each kind of resource does when nothing goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.localarm.conftest import TINY, Local, Maker

from localarm.messages import Response

REGIONS = [{"name": "westeurope"}, {"name": "North Europe"}]


def platform(local: Local) -> str:
    subscription = local.world.settings.subscription
    return (
        f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/westeurope/Publishers/{TINY.publisher}"
        f"/ArtifactTypes/VMImage/Offers/{TINY.offer}/Skus/{TINY.sku}/Versions/{TINY.version}"
    )


def from_image(local: Local, name: str, reference: dict[str, Any], **properties: Any) -> Response:
    body = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "FromImage", **reference}, **properties},
    }
    return local.ask("PUT", f"{local.compute}/disks/{name}", body)


def snapshot(local: Local, name: str, source: str, **properties: Any) -> str:
    body = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": source}, **properties},
    }
    snapshot_id = f"{local.compute}/snapshots/{name}"
    assert local.done(local.ask("PUT", snapshot_id, body))["status"] == "Succeeded"
    return snapshot_id


def beginning(blob: Path) -> bytes:
    with blob.open("rb") as file:
        return file.read(10)


def definition(local: Local, name: str = "def", **properties: Any) -> str:
    gallery = f"{local.compute}/galleries/gal"
    if local.ask("GET", gallery).status == 404:
        assert local.done(local.ask("PUT", gallery, {"location": "westeurope"}))["status"] == "Succeeded"
    body = {
        "location": "westeurope",
        "properties": {
            "osType": "Linux",
            "osState": "Generalized",
            "identifier": {"publisher": "p", "offer": "o", "sku": name},
            "hyperVGeneration": "V2",
            **properties,
        },
    }
    assert local.done(local.ask("PUT", f"{gallery}/images/{name}", body))["status"] == "Succeeded"
    return f"{gallery}/images/{name}"


def version_body(source: str, regions: Any = None, **profile: Any) -> dict[str, Any]:
    kind = (
        {"osDiskImage": {"source": {"id": source}}}
        if "/snapshots/" in source or "/disks/" in source
        else {"source": {"id": source}}
    )
    targets = {"targetRegions": regions or REGIONS[:1], **profile}
    return {"location": "westeurope", "properties": {"publishingProfile": targets, "storageProfile": kind}}


def test_a_disk_of_a_platform_image_has_its_content(local: Local) -> None:
    status = local.done(from_image(local, "d", {"imageReference": {"id": platform(local)}}, diskSizeGB=2))
    properties = status["properties"]["output"]["properties"]
    assert (properties["diskSizeGB"], properties["osType"], properties["hyperVGeneration"]) == (2, "Linux", "V2")
    blob = local.world.blobs.path(local.world.find("disks", f"{local.compute}/disks/d").blob)
    assert blob.stat().st_size == 2 << 30
    assert beginning(blob) == b"tiny image"


def test_platform_images_are_listed_by_every_level(local: Local) -> None:
    base = f"/subscriptions/{local.world.settings.subscription}/providers/Microsoft.Compute/locations/westeurope/publishers"
    assert [each["name"] for each in local.ask("GET", base).payload] == ["localarm"]
    offers = f"{base}/localarm/artifacttypes/vmimage/offers"
    assert [each["name"] for each in local.ask("GET", offers).payload] == ["busybox"]
    versions = f"{offers}/busybox/skus/1/versions"
    assert [each["name"] for each in local.ask("GET", versions).payload] == ["0.9.10", "1.0.0"]
    newest = local.ask("GET", f"{versions}?$top=1&$orderby=name desc").payload
    assert [each["name"] for each in newest] == ["1.0.0"]
    shown = local.ask("GET", newest[0]["id"]).payload
    assert shown["properties"]["osDiskImage"] == {"operatingSystem": "Linux", "sizeInBytes": 1 << 30}
    assert local.ask("GET", f"{versions}/9.9.9").status == 404


def test_snapshots_images_and_versions_share_the_bytes_of_the_disk(local: Local) -> None:
    local.done(from_image(local, "d", {"imageReference": {"id": platform(local)}}))
    taken = snapshot(local, "s", f"{local.compute}/disks/d")
    image = f"{local.compute}/images/i"
    body = {
        "location": "westeurope",
        "properties": {
            "storageProfile": {"osDisk": {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": taken}}},
            "hyperVGeneration": "V2",
        },
    }
    first = local.ask("PUT", image, body)
    assert (first.status, first.payload["properties"]["provisioningState"]) == (201, "Creating")
    assert "Location" not in first.headers
    local.done(first)
    version = f"{definition(local)}/versions/1.0.0"
    local.done(local.ask("PUT", version, version_body(image)))
    inodes = {each.stat().st_ino for each in local.world.blobs.root.iterdir()}
    assert len(inodes) == 1
    local.done(from_image(local, "again", {"galleryImageReference": {"id": version}}))
    again = local.world.blobs.path(local.world.find("disks", f"{local.compute}/disks/again").blob)
    assert beginning(again) == b"tiny image"
    assert again.stat().st_nlink == 1
    for each in (version, image, taken, f"{local.compute}/disks/d"):
        assert local.done(local.ask("DELETE", each))["status"] == "Succeeded"
    assert [each.name for each in local.world.blobs.root.iterdir()] == [again.name]


def test_a_version_replicates_region_by_region(make_local: Maker) -> None:
    local = make_local()
    local.world.lasts = lambda kind: 400.0 if kind.startswith("version.create") else 0.0
    disk = local.disk("d")
    version = f"{definition(local)}/versions/1.0.0"
    started = local.ask("PUT", version, version_body(snapshot(local, "s", disk), REGIONS))
    assert started.status == 201
    shown = started.payload["properties"]
    assert [each["name"] for each in shown["publishingProfile"]["targetRegions"]] == ["West Europe", "North Europe"]
    assert "sizeInGB" not in shown["storageProfile"]["osDiskImage"]

    def progress() -> list[tuple[str, int]]:
        status = local.ask("GET", f"{version}?$expand=ReplicationStatus").payload["properties"]["replicationStatus"]
        return [(each["state"], each["progress"]) for each in status["summary"]]

    local.clock.now += 100
    assert progress() == [("Replicating", 50), ("Replicating", 25)]
    early = from_image(local, "early", {"galleryImageReference": {"id": version}})
    assert (early.status, early.payload["error"]["code"]) == (404, "GalleryImageNotFound")
    local.clock.now += 150
    assert progress() == [("Completed", 100), ("Replicating", 62)]
    local.clock.now += 151
    assert local.done(started)["status"] == "Succeeded"
    assert local.ask("GET", version).payload["properties"]["storageProfile"]["osDiskImage"]["sizeInGB"] == 1


def test_latest_is_the_newest_version_that_is_not_excluded(local: Local) -> None:
    taken = snapshot(local, "s", local.disk("d"))
    found = definition(local)
    for name, excluded in (("1.2.0", False), ("1.10.0", False), ("2.0.0", True)):
        local.done(local.ask("PUT", f"{found}/versions/{name}", version_body(taken, excludeFromLatest=excluded)))
    for reference in (found, f"{found}/versions/latest"):
        name = f"d{len(reference)}"
        body = local.done(from_image(local, name, {"galleryImageReference": {"id": reference}}))
        assert body["properties"]["output"]["properties"]["creationData"]["imageReference"]["id"].endswith("/1.10.0")


def test_access_is_granted_and_revoked(local: Local) -> None:
    disk = local.disk("d")
    granted = local.ask("POST", f"{disk}/beginGetAccess", {"access": "Read", "durationInSeconds": 60})
    assert granted.status == 202
    status = local.done(granted)
    address = status["properties"]["output"]["accessSAS"]
    assert local.ask("GET", granted.headers["Location"]).payload == {"accessSAS": address}
    assert local.ask("GET", disk).payload["properties"]["diskState"] == "ActiveSAS"
    assert local.ask("DELETE", disk).status == 409
    assert "properties" not in local.done(local.ask("POST", f"{disk}/endGetAccess"))
    assert local.done(local.ask("DELETE", disk))["status"] == "Succeeded"


def test_machines_are_created_stopped_captured_and_deleted(local: Local) -> None:
    machine = f"{local.compute}/virtualMachines/vm2"
    body = {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"},
                "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 4}],
            },
            "networkProfile": {"networkInterfaces": []},
        },
    }
    made = local.ask("PUT", machine, body)
    assert (made.status, made.headers["Retry-After"]) == (201, "10")
    assert made.payload["properties"]["storageProfile"]["imageReference"]["exactVersion"] == "1.0.0"
    local.done(made)
    os_disk = local.ask("GET", machine).payload["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    assert local.ask("GET", os_disk).payload["properties"]["diskState"] == "Attached"
    local.done(local.ask("POST", f"{machine}/deallocate"))
    assert local.ask("GET", os_disk).payload["properties"]["diskState"] == "Reserved"
    image = {"location": "westeurope", "properties": {"sourceVirtualMachine": {"id": machine}}}
    assert local.ask("PUT", f"{local.compute}/images/i", image).status == 409
    assert local.ask("POST", f"{machine}/generalize").status == 200
    local.done(local.ask("PUT", f"{local.compute}/images/i", image))
    local.done(local.ask("DELETE", machine))
    assert local.ask("GET", machine).payload["error"]["code"] == "NotFound"
    local.clock.now += 60
    assert local.ask("GET", machine).payload["error"]["code"] == "ResourceNotFound"
    assert local.ask("GET", os_disk).payload["properties"]["diskState"] == "Unattached"


def test_a_group_goes_with_everything_in_it(local: Local) -> None:
    group = f"/subscriptions/{local.world.settings.subscription}/resourceGroups/other"
    assert local.ask("PUT", group, {"location": "westeurope", "tags": {"a": "b"}}).status == 201
    body = {"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}}
    local.done(local.ask("PUT", f"{group}/providers/Microsoft.Compute/disks/d", body))
    local.world.lasts = lambda kind: 20.0
    gone = local.ask("DELETE", group)
    assert (gone.status, gone.headers["Retry-After"]) == (202, "15")
    assert local.ask("GET", gone.headers["Location"]).status == 202
    local.clock.now += 30
    assert local.ask("GET", gone.headers["Location"]).status == 200
    assert local.ask("GET", group).payload["error"]["code"] == "ResourceGroupNotFound"
    assert not list(local.world.blobs.root.iterdir())


def test_resources_are_found_by_tag_and_tagged(local: Local) -> None:
    disk = local.disk("d", tags={"gilder-run": "7"})
    local.disk("other")
    found = local.ask("GET", f"{local.group}/resources?$filter=tagName eq 'gilder-run' and tagValue eq '7'").payload[
        "value"
    ]
    assert [each["id"] for each in found] == [disk]
    body = {"operation": "Merge", "properties": {"tags": {"more": "x"}}}
    assert local.ask("PATCH", f"{disk}/providers/Microsoft.Resources/tags/default", body).status == 200
    assert local.ask("GET", disk).payload["tags"] == {"gilder-run": "7", "more": "x"}


def test_the_devices_follow_the_operation(make_local: Maker) -> None:
    local = make_local()
    disk = local.disk("d")
    local.world.lasts = lambda kind: 10.0
    attach = local.ask(
        "POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": disk, "lun": 3}]}
    )
    assert [entry["lun"] for entry in attach.payload["dataDisks"]] == [3]
    assert list(local.world.devices.attached()) == []
    local.clock.now += 6
    assert local.ask("GET", attach.headers["Azure-AsyncOperation"]).payload["status"] == "InProgress"
    assert list(local.world.devices.attached()) == [3]
    local.clock.now += 4
    assert local.done(attach)["status"] == "Succeeded"
    etag = local.ask("GET", local.machine).headers["ETag"]
    detach = local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToDetach": [{"diskId": disk}]})
    assert detach.payload["dataDisks"][0]["toBeDetached"] is True
    local.clock.now += 5
    assert local.ask("GET", detach.headers["Azure-AsyncOperation"]).payload["status"] == "InProgress"
    assert list(local.world.devices.attached()) == []
    local.done(detach)
    assert int(local.ask("GET", local.machine).headers["ETag"].strip('"')) == int(etag.strip('"')) + 2


def test_the_lowest_free_lun_is_taken_when_none_is_asked_for(local: Local) -> None:
    disks = [local.disk(f"d{number}") for number in range(3)]
    body = {"dataDisksToAttach": [{"diskId": disks[0], "lun": 0}, {"diskId": disks[1]}, {"diskId": disks[2]}]}
    local.done(local.ask("POST", f"{local.machine}/attachDetachDataDisks", body))
    assert [(entry["name"], entry["lun"]) for entry in local.listed()] == [("d0", 0), ("d1", 1), ("d2", 2)]


def test_an_unknown_route_is_named(local: Local) -> None:
    answer = local.ask("GET", f"{local.compute}/virtualMachineScaleSets/x")
    assert answer.status == 501
    assert "virtualMachineScaleSets" in answer.payload["error"]["message"]
