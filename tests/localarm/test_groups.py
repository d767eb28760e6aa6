"""Resource groups while they are deleted, and what keeps them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.localarm.conftest import Local, Maker
from tests.localarm.invariants import check_world
from tests.localarm.test_laws import EMPTY, WEST, attach, slow
from tests.localarm.test_operations import version_body

from localarm.faults import Fault
from localarm.messages import Response
from localarm.settings import Machine

SECOND = Machine("second", "other", "westeurope", "Standard_D2s_v5")


def group(local: Local) -> str:
    return f"/subscriptions/{local.world.settings.subscription}/resourceGroups/other"


def compute(local: Local) -> str:
    return f"{group(local)}/providers/Microsoft.Compute"


def disk(local: Local, name: str = "d") -> str:
    """A disk in the other group."""
    local.ask("PUT", group(local), WEST)
    path = f"{compute(local)}/disks/{name}"
    assert local.done(local.ask("PUT", path, EMPTY))["status"] == "Succeeded"
    return path


def deleted(local: Local) -> Response:
    """The end of the deletion."""
    answer = local.ask("DELETE", group(local))
    assert answer.status == 202
    for _ in range(1000):
        if (result := local.ask("GET", answer.headers["Location"])).status != 202:
            return result
        local.clock.now += 10
    raise AssertionError("it never ends")


def attached_elsewhere(local: Local) -> str:
    path = disk(local)
    local.done(attach(local, path))
    return path


def granted(local: Local) -> str:
    path = disk(local)
    local.done(local.ask("POST", f"{path}/beginGetAccess", {"access": "Read", "durationInSeconds": 60}))
    return path


def being_made(local: Local) -> str:
    """A version whose replication takes longer than the deletion."""
    source = disk(local)
    gallery = f"{compute(local)}/galleries/gal"
    identifier = {"publisher": "p", "offer": "o", "sku": "s"}
    definition = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "identifier": identifier}
    local.done(local.ask("PUT", gallery, WEST))
    local.done(local.ask("PUT", f"{gallery}/images/def", {**WEST, "properties": definition}))
    local.world.lasts = lambda kind: 0.0 if kind == "group.delete" else 50_000.0
    path = f"{gallery}/images/def/versions/1.0.0"
    assert local.ask("PUT", path, version_body(source)).status == 201
    return path


@pytest.mark.parametrize("what", [attached_elsewhere, granted, being_made])
def test_what_cannot_be_deleted_keeps_its_group(local: Local, what: Callable[[Local], str]) -> None:
    kept = what(local)
    idle = disk(local, "idle") if what is not being_made else ""
    answer = deleted(local)
    error = answer.payload["error"]
    assert (answer.status, error["code"]) == (409, "ResourceGroupDeletionBlocked")
    assert kept in [each["target"] for each in error["details"]]
    assert local.ask("GET", kept).status == 200
    assert local.ask("GET", group(local)).payload["properties"]["provisioningState"] == "Succeeded"
    if idle:
        assert local.ask("GET", idle).status == 404, "what can be deleted is"
    check_world(local.world)


def test_a_disk_of_a_vm_that_goes_with_it_goes(make_local: Maker) -> None:
    local = make_local(machines=(Machine("build-host", "gilder-local", "westeurope", "Standard_D2s_v5"), SECOND))
    inside, outside = disk(local), local.disk("outside")
    second = f"{compute(local)}/virtualMachines/second"
    wishes = {"dataDisksToAttach": [{"diskId": inside}, {"diskId": outside}]}
    local.done(local.ask("POST", f"{second}/attachDetachDataDisks", wishes))
    assert deleted(local).status == 200
    assert local.ask("GET", inside).status == 404
    freed = local.ask("GET", outside).payload
    assert (freed["properties"]["diskState"], freed.get("managedBy")) == ("Unattached", None)
    check_world(local.world)


WRITES: dict[str, Callable[[Local], Response]] = {
    "PUT of a disk": lambda local: local.ask("PUT", f"{compute(local)}/disks/late", EMPTY),
    "PATCH of a disk": lambda local: local.ask("PATCH", f"{compute(local)}/disks/d", {"tags": {"a": "b"}}),
    "PUT of the group": lambda local: local.ask("PUT", group(local), WEST),
    "PATCH of the group": lambda local: local.ask("PATCH", group(local), {"tags": {"a": "b"}}),
    "tags": lambda local: local.ask(
        "PUT", f"{group(local)}/providers/Microsoft.Resources/tags/default", {"properties": {"tags": {"a": "b"}}}
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_into_a_group_that_is_being_deleted(local: Local, write: str) -> None:
    path = disk(local)
    slow(local)
    local.ask("DELETE", group(local))
    answer = WRITES[write](local)
    assert (answer.status, answer.payload["error"]["code"]) == (409, "ResourceGroupBeingDeleted")
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert local.ask("GET", path).status == 200
    assert local.ask("GET", group(local)).payload["properties"]["provisioningState"] == "Deleting"


def test_a_second_deletion_is_the_first_one(local: Local) -> None:
    disk(local)
    slow(local)
    first, second = local.ask("DELETE", group(local)), local.ask("DELETE", group(local))
    assert first.headers["Location"] == second.headers["Location"]


def test_a_deletion_that_fails_leaves_the_group_as_it_was(local: Local) -> None:
    path = disk(local)
    armed = local.application.faults.add(Fault("fail", "DELETE", "resourcegroups"))
    assert deleted(local).status == 409
    assert armed.fired == 1
    assert local.ask("GET", group(local)).payload["properties"]["provisioningState"] == "Succeeded"
    assert local.ask("GET", path).status == 200
    assert deleted(local).status == 200
