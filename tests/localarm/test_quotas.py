"""How many there may be, and how fast they may come."""

from __future__ import annotations

import pytest
from tests.localarm.conftest import Local, Maker
from tests.localarm.test_laws import EMPTY, WEST, copy_of
from tests.localarm.test_operations import definition, version_body

from localarm import quotas
from localarm.faults import Fault
from localarm.messages import Response


def taken(local: Local, name: str, disk: str, *, incremental: bool = True) -> Response:
    body = copy_of(disk)
    body["properties"]["incremental"] = incremental
    return local.ask("PUT", f"{local.compute}/snapshots/{name}", body)


def test_seven_incremental_snapshots_of_a_disk_in_five_minutes(local: Local) -> None:
    disk, other = local.disk("d"), local.disk("e")
    answers = [taken(local, f"s{number}", disk) for number in range(8)]
    assert [answer.status for answer in answers] == [202] * 7 + [409]
    assert answers[-1].payload["error"]["code"] == "OperationNotAllowed"
    for name, source, incremental in (("full", disk, False), ("other", other, True)):
        assert taken(local, name, source, incremental=incremental).status == 202
    for number in range(7):
        local.done(local.ask("DELETE", f"{local.compute}/snapshots/s{number}"))
    assert taken(local, "s8", disk).status == 409, "deleting one does not make it unmade"
    local.clock.now += 301
    assert taken(local, "s8", disk).status == 202


def test_a_disk_has_so_many_incremental_snapshots(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_INCREMENTAL", 2)
    disk = local.disk("d")
    assert [taken(local, f"s{number}", disk).status for number in range(3)] == [202, 202, 409]


def test_galleries_definitions_and_versions_are_counted_by_region(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        quotas, "GALLERY_QUOTAS", {kind: (1, what) for kind, (_, what) in quotas.GALLERY_QUOTAS.items()}
    )
    place = definition(local)
    gallery = place.rpartition("/images/")[0]
    assert local.ask("PUT", f"{local.compute}/galleries/two", WEST).payload["error"]["code"] == "OperationNotAllowed"
    assert local.ask("PUT", f"{local.compute}/galleries/two", {"location": "eastus"}).status == 201
    assert local.ask("PUT", gallery, {**WEST, "tags": {"a": "b"}}).status == 200, "an update is none more"
    second = {"osType": "Linux", "osState": "Generalized", "identifier": {"publisher": "p", "offer": "o", "sku": "x"}}
    assert local.ask("PUT", f"{gallery}/images/second", {**WEST, "properties": second}).status == 409
    disk = local.disk("d")
    assert local.ask("PUT", f"{place}/versions/1.0.0", version_body(disk)).status == 201
    assert local.ask("PUT", f"{place}/versions/1.0.1", version_body(disk)).status == 409


def test_what_a_failed_creation_left_takes_no_room_from_the_next(make_local: Maker) -> None:
    local = make_local(disk_quota=2)  # the machine's own disk is one
    local.application.faults.add(Fault("fail", "PUT", "disks"))
    disk = f"{local.compute}/disks/d"
    assert local.done(local.ask("PUT", disk, EMPTY))["status"] == "Failed"
    assert local.ask("PUT", f"{local.compute}/disks/e", EMPTY).status == 409
    assert local.done(local.ask("PUT", disk, EMPTY))["status"] == "Succeeded"
