"""A write of what is there already repeats what is there, or is refused: nobody is told that it worked when it did not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.localarm.conftest import OLDER, TINY, Local
from tests.localarm.test_laws import EMPTY, WEST, attach, copy_of, slow
from tests.localarm.test_operations import definition, from_image, platform, snapshot, version_body

from localarm.messages import Response

Json = dict[str, Any]


def sources(local: Local) -> tuple[str, str]:
    return snapshot(local, "s1", local.disk("d1")), snapshot(local, "s2", local.disk("d2"))


def image_of(source: str, *data: str, **more: Any) -> Json:
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    entries = [{"lun": lun, "snapshot": {"id": each}} for lun, each in enumerate(data)]
    storage = {"osDisk": disk, **({"dataDisks": entries} if data else {})}
    return {**WEST, "properties": {"hyperVGeneration": "V2", "storageProfile": storage, **more}}


def version_of(source: str, *data: str) -> Json:
    body = version_body(source)
    if data:
        entries = [{"lun": lun, "source": {"id": each}} for lun, each in enumerate(data)]
        body["properties"]["storageProfile"]["dataDiskImages"] = entries
    return body


def made(local: Local, path: str, body: Json) -> str:
    assert local.done(local.ask("PUT", path, body))["status"] == "Succeeded"
    return path


def an_image(local: Local) -> tuple[str, str, str]:
    one, two = sources(local)
    return made(local, f"{local.compute}/images/i", image_of(one, two)), one, two


def a_version(local: Local) -> tuple[str, str, str]:
    one, two = sources(local)
    return made(local, f"{definition(local)}/versions/1.0.0", version_of(one, two)), one, two


def a_platform_disk(local: Local) -> str:
    local.done(from_image(local, "d", {"imageReference": {"id": platform(local)}}))
    return f"{local.compute}/disks/d"


def platform_again(local: Local, **more: Any) -> Response:
    a_platform_disk(local)
    return from_image(local, "d", {"imageReference": {"id": platform(local)}}, **more)


def image_with(local: Local, change: Callable[[str, str], Json]) -> Response:
    path, one, two = an_image(local)
    return local.ask("PUT", path, change(one, two))


def version_with(local: Local, change: Callable[[str, str], Json]) -> Response:
    path, one, two = a_version(local)
    return local.ask("PUT", path, change(one, two))


def other_platform_image(local: Local) -> Response:
    a_platform_disk(local)
    older = platform(local).replace(TINY.version, OLDER.version)
    return from_image(local, "d", {"imageReference": {"id": older}})


def gallery_disk(local: Local, again: str) -> Response:
    """A disk of `latest`, written again as `again` after a newer version came."""
    one, two = sources(local)
    place = definition(local)
    made(local, f"{place}/versions/1.0.0", version_of(one))
    local.done(from_image(local, "d", {"galleryImageReference": {"id": f"{place}/versions/latest"}}))
    made(local, f"{place}/versions/1.0.1", version_of(two))
    return from_image(local, "d", {"galleryImageReference": {"id": f"{place}/versions/{again}"}})


def patched_image(local: Local) -> Response:
    path, _, two = an_image(local)
    return local.ask("PATCH", path, {"properties": {"storageProfile": {"osDisk": {"snapshot": {"id": two}}}}})


def snapshot_as(local: Local, **properties: Any) -> Response:
    disk = local.disk("d")
    taken = snapshot(local, "s", disk, incremental=True)
    body = copy_of(disk)
    return local.ask("PUT", taken, {**body, "properties": {**body["properties"], **properties}})


def zoned(local: Local, *zones: str) -> Response:
    disk = local.disk("d", zones=["1"])
    body = {**EMPTY, "zones": list(zones)}
    body["properties"] = {**EMPTY["properties"], "diskSizeGB": 1}  # type: ignore[dict-item]
    return local.ask("PUT", disk, body)


def machine_with(local: Local, **storage: Any) -> Response:
    return local.ask("PUT", local.machine, {**WEST, "properties": {"storageProfile": storage}})


REFUSED: dict[str, Callable[[Local], Response]] = {
    "image of another snapshot": lambda local: image_with(local, lambda one, two: image_of(two, two)),
    "image of a VM": lambda local: image_with(
        local, lambda *_: {**WEST, "properties": {"sourceVirtualMachine": {"id": local.machine}}}
    ),
    "image with another data disk": lambda local: image_with(local, lambda one, two: image_of(one, one)),
    "image with more data disks": lambda local: image_with(local, lambda one, two: image_of(one, two, two)),
    "image without its data disk": lambda local: image_with(local, lambda one, two: image_of(one)),
    "image of another generation": lambda local: image_with(
        local, lambda one, two: image_of(one, two, hyperVGeneration="V1")
    ),
    "image patched": patched_image,
    "disk of another platform image": other_platform_image,
    "disk of a newer version": lambda local: gallery_disk(local, "latest"),
    "disk of another version": lambda local: gallery_disk(local, "1.0.1"),
    "disk of another generation": lambda local: platform_again(local, hyperVGeneration="V1"),
    "snapshot that is no longer incremental": lambda local: snapshot_as(local, incremental=False),
    "version of another snapshot": lambda local: version_with(local, lambda one, two: version_of(two, two)),
    "version with another data disk": lambda local: version_with(local, lambda one, two: version_of(one, one)),
    "version with more data disks": lambda local: version_with(local, lambda one, two: version_of(one, two, two)),
    "version without its data disk": lambda local: version_with(local, lambda one, two: version_of(one)),
    "version with another OS disk": lambda local: version_with(
        local, lambda one, two: version_body(an_image(local)[0])
    ),
    "machine with another OS disk": lambda local: machine_with(
        local, osDisk={"managedDisk": {"id": local.disk("other")}}
    ),
    "machine of another image": lambda local: machine_with(local, imageReference={"offer": "other"}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_second_write_with_other_contents_is_refused(local: Local, case: str) -> None:
    answer = REFUSED[case](local)
    assert (answer.status, answer.payload["error"]["code"]) == (409, "PropertyChangeNotAllowed"), answer.payload
    assert not local.world.running()


@pytest.mark.parametrize("zones", [("2",), ("1", "2"), ()])
def test_a_disk_stays_in_its_zone(local: Local, zones: tuple[str, ...]) -> None:
    answer = zoned(local, *zones)
    assert (answer.status, answer.payload["error"]["code"]) == (400, "BadRequest"), answer.payload


def test_an_image_stays_in_its_region(local: Local) -> None:
    answer = image_with(local, lambda one, two: {**image_of(one, two), "location": "eastus"})
    assert (answer.status, answer.payload["error"]["code"]) == (409, "InvalidResourceLocation")


REPEATED: dict[str, Callable[[Local], Response]] = {
    "image": lambda local: image_with(local, lambda one, two: {**image_of(one, two), "tags": {"new": "1"}}),
    "image, tags alone": lambda local: image_with(local, lambda *_: {**WEST, "tags": {"new": "1"}, "properties": {}}),
    "disk of a platform image": platform_again,
    "disk of a version": lambda local: gallery_disk(local, "1.0.0"),
    "disk in its zone": lambda local: zoned(local, "1"),
    "snapshot": lambda local: snapshot_as(local, incremental=True),
    "version": lambda local: version_with(local, version_of),
    "version, regions alone": lambda local: version_with(
        local, lambda *_: {**WEST, "properties": {"publishingProfile": {"replicaCount": 2}, "storageProfile": {}}}
    ),
    "machine": lambda local: machine_with(local),
}


@pytest.mark.parametrize("case", REPEATED)
def test_a_second_write_of_the_same_is_an_update(local: Local, case: str) -> None:
    answer = REPEATED[case](local)
    assert answer.status in (200, 202), answer.payload
    assert local.done(answer)["status"] == "Succeeded"


@pytest.mark.parametrize("made_by", [an_image, a_version])
def test_what_was_read_may_be_written_back(local: Local, made_by: Callable[[Local], tuple[str, str, str]]) -> None:
    path = made_by(local)[0]
    assert local.done(local.ask("PUT", path, local.ask("GET", path).payload))["status"] == "Succeeded"


def test_the_machine_that_was_read_may_be_written_back(local: Local) -> None:
    local.done(attach(local, local.disk("d")))
    body = local.ask("GET", local.machine).payload
    assert local.done(local.ask("PUT", local.machine, body))["status"] == "Succeeded"


def test_what_a_disk_says_of_its_system_may_change(local: Local) -> None:
    disk = a_platform_disk(local)
    local.done(local.ask("PATCH", disk, {"properties": {"osType": "Windows"}}))
    assert local.ask("GET", disk).payload["properties"]["osType"] == "Windows"


def test_two_runs_that_write_one_image_at_once_do_not_both_succeed(local: Local) -> None:
    one, two = sources(local)
    slow(local)
    answers = [local.ask("PUT", f"{local.compute}/images/i", image_of(source)) for source in (one, two)]
    assert [answer.status for answer in answers] == [201, 409]
