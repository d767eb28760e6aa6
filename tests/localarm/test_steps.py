"""Steps of operations that break: whatever one raises, its operation ends, and the world goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import Hands, Local, Maker
from tests.localarm.invariants import check_attachments
from tests.localarm.test_operations import definition

from localarm.actions import ACTIONS
from localarm.blobs import BlobStore
from localarm.devices import NoDevices
from localarm.faults import Fault
from localarm.operations import Operation, Step
from localarm.settings import Settings
from localarm.state import MemoryState, SqliteState
from localarm.world import World

WEST = {"location": "westeurope"}
IMAGE = {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"}
NEW = {
    **WEST,
    "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}, "storageProfile": {"imageReference": IMAGE}},
}


class Broken(Exception):
    """Nothing that anybody foresaw."""


def bare_world(folder: Path, clock: Hands, **actions: Any) -> World:
    numbers = iter(range(1_000_000))
    return World(
        Settings(), clock=clock, new_id=lambda: f"{next(numbers):08}", state=MemoryState(),
        blobs=BlobStore(folder / "blobs"), devices=NoDevices(), catalogue=None, actions={**ACTIONS, **actions}, work={},  # type: ignore[arg-type]
    )  # fmt: skip


def begun(world: World, name: str, *steps: Step) -> Operation:
    target = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/{name}"
    return world.begin("DiskOperations", "x", target, location="westeurope", api_version="1", steps=steps)


def test_a_step_that_breaks_fails_its_operation_and_no_other(tmp_path: Path) -> None:
    def breaks(*_: Any) -> None:
        raise Broken("no such thing")

    clock = Hands()
    world = bare_world(tmp_path, clock, broken=breaks)
    bad = begun(world, "a", Step(clock.now + 1, "broken"), Step(clock.now + 2, "disk.created"))
    good = begun(world, "b", Step(clock.now + 1, "disk.created"))
    clock.now += 5
    world.advance()
    ended = world.operation(bad.id)
    assert ended is not None
    assert (ended.status, ended.error) == ("Failed", {"code": "InternalExecutionError", "message": "no such thing"})
    assert ended.steps == ()
    assert getattr(world.operation(good.id), "status", "") == "Succeeded"


def test_work_that_breaks_fails_its_operation(tmp_path: Path) -> None:
    world = bare_world(tmp_path, Hands())
    target = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d"
    operation = world.begin(
        "DiskOperations", "x", target, location="westeurope", api_version="1", steps=[], work={"do": "unheard of"}
    )
    assert getattr(world.operation(operation.id), "status", "") == "Failed"


def test_an_operation_without_steps_ends_at_the_next_start(make_local: Maker, tmp_path: Path) -> None:
    """An older localarm left such operations when a step of theirs broke: their resources were busy for ever."""
    clock, file = Hands(), tmp_path / "world.sqlite"
    local = make_local(state=SqliteState(file), clock=clock)
    disk = local.disk("d")
    local.world.lasts = lambda kind: 60.0
    operation = local.world.operation(
        local.ask("PATCH", disk, {"tags": {}}).headers["Location"].split("/")[-1].split("?")[0]
    )
    local.world._keep(replace(operation, steps=()))
    local.world.commit()
    local.world.state.close()
    again = make_local(state=SqliteState(file), clock=clock)
    assert again.ask("GET", disk).payload["properties"]["provisioningState"] == "Failed"
    assert again.done(again.ask("DELETE", disk))["status"] == "Succeeded"


def creation_failed(local: Local) -> str:
    """A machine whose creation failed before its OS disk was there."""
    machine = f"{local.compute}/virtualMachines/n"
    local.application.faults.add(Fault("fail", "PUT", "virtualmachines", code="AllocationFailed"))
    assert local.done(local.ask("PUT", machine, NEW))["status"] == "Failed"
    return machine


@pytest.mark.parametrize("verb", ["deallocate", "powerOff", "start", "restart"])
def test_a_machine_whose_creation_failed_is_of_no_harm(local: Local, verb: str) -> None:
    machine = creation_failed(local)
    assert local.done(local.ask("POST", f"{machine}/{verb}"))["status"] == "Succeeded"
    for query in ("", "?$expand=instanceView"):
        assert local.ask("GET", f"{machine}{query}").status == 200
    assert local.ask("GET", f"{machine}/instanceView").status == 200
    assert local.done(local.ask("DELETE", machine))["status"] == "Succeeded"
    check_attachments([each for kind in local.world.kinds() for each in local.world.all(kind)])


def test_a_machine_is_seen_while_it_is_created(local: Local) -> None:
    machine = f"{local.compute}/virtualMachines/n"
    local.world.lasts = lambda kind: 60.0
    local.ask("PUT", machine, NEW)
    assert local.ask("GET", f"{machine}?$expand=instanceView").status == 200


@pytest.mark.parametrize("failed", [True, False])
def test_a_machine_without_an_os_disk_is_not_captured(local: Local, failed: bool) -> None:
    machine = f"{local.compute}/virtualMachines/n"
    place = definition(local)
    if failed:
        creation_failed(local)
    else:
        local.world.lasts = lambda kind: 60.0
        local.ask("PUT", machine, NEW)
    local.ask("POST", f"{machine}/generalize")
    version = {
        **WEST,
        "properties": {"publishingProfile": {}, "storageProfile": {"source": {"virtualMachineId": machine}}},
    }
    image = {**WEST, "properties": {"hyperVGeneration": "V2", "sourceVirtualMachine": {"id": machine}}}
    for path, body in ((f"{place}/versions/1.0.0", version), (f"{local.compute}/images/i", image)):
        answer = local.ask("PUT", path, body)
        assert (answer.status, answer.payload["error"]["code"]) == (409, "OperationNotAllowed"), answer.payload
