"""How far the regions of an image version are, when it fails as well."""

from __future__ import annotations

from typing import Any

from tests.localarm.conftest import Local
from tests.localarm.test_operations import definition, from_image, snapshot, version_body

from localarm.faults import Fault

TWO = [{"name": "westeurope"}, {"name": "North Europe"}]


def status(local: Local, version: str) -> tuple[str, list[tuple[str, str, int]]]:
    found = local.ask("GET", f"{version}?$expand=ReplicationStatus").payload["properties"]["replicationStatus"]
    regions = [(each["region"], each["state"], each["progress"]) for each in found["summary"]]
    return found["aggregatedState"], regions


def failed(local: Local, method: str, version: str, body: Any) -> None:
    local.application.faults.add(Fault("fail", method, "galleries/images/versions", code="GalleryReplicationFailed"))
    assert local.done(local.ask(method, version, body))["status"] == "Failed"


def test_a_version_that_failed_says_so(local: Local) -> None:
    local.world.lasts = lambda kind: 400.0 if kind.startswith("version") else 0.0
    version = f"{definition(local)}/versions/1.0.0"
    body = version_body(snapshot(local, "s", local.disk("d")), TWO)
    failed(local, "PUT", version, body)
    assert status(local, version) == ("Failed", [("westeurope", "Completed", 100), ("northeurope", "Failed", 99)])
    local.clock.now += 10_000
    assert status(local, version)[0] == "Failed"
    assert local.done(local.ask("PUT", version, body))["status"] == "Succeeded"
    assert status(local, version) == (
        "Completed",
        [("westeurope", "Completed", 100), ("northeurope", "Completed", 100)],
    )


def test_a_region_that_failed_has_no_version(local: Local) -> None:
    version = f"{definition(local)}/versions/1.0.0"
    body = version_body(snapshot(local, "s", local.disk("d")))
    assert local.done(local.ask("PUT", version, body))["status"] == "Succeeded"
    failed(local, "PATCH", version, {"properties": {"publishingProfile": {"targetRegions": TWO}}})
    assert status(local, version) == ("Failed", [("westeurope", "Completed", 100), ("northeurope", "Failed", 99)])
    local.world.lasts = lambda kind: 400.0
    again = local.ask("PATCH", version, {"tags": {"a": "b"}})
    assert status(local, version)[0] == "InProgress"
    answer = from_image(local, "e", {"galleryImageReference": {"id": version}})
    assert answer.status == 202, "the region that had it has it still"
    local.done(again)
    assert status(local, version)[0] == "Completed"


def test_an_update_that_replicates_nothing_fails_no_region(local: Local) -> None:
    version = f"{definition(local)}/versions/1.0.0"
    local.done(local.ask("PUT", version, version_body(snapshot(local, "s", local.disk("d")))))
    failed(local, "PATCH", version, {"tags": {"a": "b"}})
    assert status(local, version) == ("Completed", [("westeurope", "Completed", 100)])


def test_a_version_whose_deletion_failed_is_where_it_was(local: Local) -> None:
    version = f"{definition(local)}/versions/1.0.0"
    local.done(local.ask("PUT", version, version_body(snapshot(local, "s", local.disk("d")))))
    failed(local, "DELETE", version, None)
    assert status(local, version) == ("Completed", [("westeurope", "Completed", 100)])
