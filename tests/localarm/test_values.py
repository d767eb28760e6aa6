"""What a single member of a request may say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.localarm.conftest import Local
from tests.localarm.test_laws import EMPTY, WEST, attach
from tests.localarm.test_operations import definition, snapshot, version_body
from tests.localarm.test_second_writes import image_of, version_of

from localarm.messages import Response


def attached(local: Local, **words: Any) -> Response:
    wish = {"diskId": local.disk("d"), **words}
    return local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToAttach": [wish]})


def detached(local: Local, option: str) -> Response:
    disk = local.disk("d")
    local.done(attach(local, disk))
    wish = {"diskId": disk, "detachOption": option}
    return local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToDetach": [wish]})


def recached(local: Local, caching: str) -> Response:
    local.done(attach(local, local.disk("d")))
    entries = [{**entry, "caching": caching} for entry in local.listed()]
    return local.ask("PUT", local.machine, {**WEST, "properties": {"storageProfile": {"dataDisks": entries}}})


def version(local: Local, **profile: Any) -> Response:
    body = version_body(snapshot(local, "s", local.disk("d")), **profile)
    return local.ask("PUT", f"{definition(local)}/versions/1.0.0", body)


def version_disks(local: Local, *luns: int | None, **os_disk: Any) -> Response:
    taken = snapshot(local, "s", local.disk("d"))
    body = version_of(taken, *(taken for _ in luns))
    storage = body["properties"]["storageProfile"]
    storage["osDiskImage"] |= os_disk
    for lun, entry in zip(luns, storage.get("dataDiskImages", []), strict=True):
        entry["lun"] = lun
    return local.ask("PUT", f"{definition(local)}/versions/1.0.0", body)


def image(local: Local, *luns: int | None, **os_disk: Any) -> Response:
    taken = snapshot(local, "s", local.disk("d"))
    body = image_of(taken, *(taken for _ in luns))
    storage = body["properties"]["storageProfile"]
    storage["osDisk"] |= os_disk
    for lun, entry in zip(luns, storage.get("dataDisks", []), strict=True):
        entry["lun"] = lun
    return local.ask("PUT", f"{local.compute}/images/i", body)


def machine(local: Local, **os_disk: Any) -> Response:
    reference = {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"}
    storage = {"imageReference": reference, "osDisk": {"createOption": "FromImage", **os_disk}}
    hardware = {"vmSize": "Standard_D2s_v5"}
    body = {**WEST, "properties": {"hardwareProfile": hardware, "storageProfile": storage}}
    return local.ask("PUT", f"{local.compute}/virtualMachines/n", body)


def disk(local: Local, **properties: Any) -> Response:
    given: Any = EMPTY["properties"]
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "properties": {**given, **properties}})


WRONG: dict[str, Any] = {
    "caching of an attach": lambda local: attached(local, caching="Weird"),
    "deleteOption of an attach": lambda local: attached(local, deleteOption="Nope"),
    "caching of an attached disk": lambda local: recached(local, "Weird"),
    "detachOption": lambda local: detached(local, "Maybe"),
    "caching of an OS disk": lambda local: machine(local, caching="Weird"),
    "deleteOption of an OS disk": lambda local: machine(local, deleteOption="Nope"),
    "LUN of a version's disk": lambda local: version_disks(local, 99),
    "LUN below zero": lambda local: version_disks(local, -1),
    "no LUN in a version": lambda local: version_disks(local, None),
    "one LUN twice in a version": lambda local: version_disks(local, 0, 0),
    "caching of a version's disk": lambda local: version_disks(local, hostCaching="Weird"),
    "too many replicas": lambda local: version(local, replicaCount=500),
    "no replica": lambda local: version(local, replicaCount=-1),
    "too many replicas in a region": lambda local: version(
        local, targetRegions=[{"name": "westeurope", "regionalReplicaCount": 101}]
    ),
    "mode of replication": lambda local: version(local, replicationMode="Weird"),
    "storage of a version": lambda local: version(local, storageAccountType="Nope"),
    "end of life": lambda local: version(local, endOfLifeDate="tomorrow"),
    "LUN of an image's disk": lambda local: image(local, 64),
    "no LUN in an image": lambda local: image(local, None),
    "one LUN twice in an image": lambda local: image(local, 1, 1),
    "caching of an image's disk": lambda local: image(local, caching="Weird"),
    "storage of an image": lambda local: image(local, storageAccountType="Nope"),
    "state of an image": lambda local: image(local, osState="Weird"),
    "system of an image": lambda local: image(local, osType="Plan9"),
    "system of a disk": lambda local: disk(local, osType="Plan9"),
    "generation of a disk": lambda local: disk(local, hyperVGeneration="V3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_and_leaves_nothing(local: Local, case: str) -> None:
    answer = WRONG[case](local)
    assert (answer.status, answer.payload["error"]["code"]) == (400, "InvalidParameter"), answer.payload
    named = {
        blob
        for kind in local.world.kinds()
        for each in local.world.all(kind)
        for blob in (each.blob, *each.hidden.get("blobs", {}).values())
    }
    assert set(local.world.blobs.names()) <= named
    assert not local.world.running()


def test_words_are_understood_in_any_case(local: Local) -> None:
    local.done(attached(local, caching="readonly", deleteOption="detach"))
    assert [(each["caching"], each["deleteOption"]) for each in local.listed()] == [("ReadOnly", "Detach")]


@pytest.mark.parametrize("date", ["2030-01-01", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00+00:00"])
def test_an_end_of_life_is_a_date(local: Local, date: str) -> None:
    assert version(local, endOfLifeDate=date).status == 201


def tagged(local: Local, tags: dict[str, str]) -> Response:
    return local.ask("PUT", f"{local.compute}/disks/d", {**EMPTY, "tags": tags})


def tags_of(local: Local, tags: dict[str, str]) -> Response:
    path = f"{local.disk('d')}/providers/Microsoft.Resources/tags/default"
    return local.ask("PATCH", path, {"operation": "Merge", "properties": {"tags": tags}})


@pytest.mark.parametrize("way", [tagged, tags_of])
@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"t{number}": "" for number in range(51)}, "InvalidTags"),
        ({"one": "1", "ONE": "2"}, "InvalidTags"),
        ({"": "x"}, "InvalidTagName"),
        ({"n" * 513: "x"}, "InvalidTagName"),
        *(({f"a{each}b": "x"}, "InvalidTagNameCharacters") for each in "<>%&\\?/\n"),
        ({"long": "v" * 257}, "InvalidTagValueLength"),
    ],
)
def test_tags_that_azure_does_not_take_are_refused(local: Local, way: Any, tags: dict[str, str], code: str) -> None:
    answer = way(local, tags)
    assert (answer.status, answer.payload["error"]["code"]) == (400, code)


@pytest.mark.parametrize("way", [tagged, tags_of])
def test_as_many_tags_as_there_may_be_are_fine(local: Local, way: Any) -> None:
    tags = {"n" * 512: "v" * 256, "hidden-link:/x": "y", **{f"t{number}": "<>" for number in range(48)}}
    assert way(local, tags).status in (200, 202)


def test_tags_are_counted_after_they_are_merged(local: Local) -> None:
    assert tags_of(local, {f"a{number}": "" for number in range(50)}).status == 200
    path = f"{local.compute}/disks/d/providers/Microsoft.Resources/tags/default"
    one_more = {"operation": "Merge", "properties": {"tags": {"more": ""}}}
    assert local.ask("PATCH", path, one_more).payload["error"]["code"] == "InvalidTags"


GALLERIES = {"gal": True, "g.1_a": True, "my-gallery": False, "_g": False, "g.": False, "g" * 80: True, "g" * 81: False}
DEFINITIONS = {"my-image": True, "i.1_a": True, "-i": False, "i_": False}


@pytest.mark.parametrize("name", GALLERIES)
def test_galleries_have_names_without_dashes(local: Local, name: str) -> None:
    answer = local.ask("PUT", f"{local.compute}/galleries/{name}", WEST)
    assert (answer.status == 201) is GALLERIES[name]
    assert GALLERIES[name] or answer.payload["error"]["code"] == "InvalidParameter"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_may_have_dashes(local: Local, name: str) -> None:
    gallery = definition(local).rpartition("/images/")[0]
    identifier = {"publisher": "p", "offer": "o", "sku": "other"}
    body = {**WEST, "properties": {"osType": "Linux", "osState": "Generalized", "identifier": identifier}}
    assert (local.ask("PUT", f"{gallery}/images/{name}", body).status == 201) is DEFINITIONS[name]
