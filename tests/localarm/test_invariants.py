"""Random requests, legal and not, in random order and time: nothing fails inside, and the world stays consistent."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.localarm.conftest import Hands, Local, Patient, StandInCatalogue
from tests.localarm.invariants import check_world
from tests.localarm.stories import Step, filled, furnished, play, settle, steps
from tests.localarm.test_operations import definition

from localarm.app import Application
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.devices import Devices, LoopDevices, NoDevices
from localarm.parts import Workshop, inline_workshop
from localarm.settings import Machine, Settings
from localarm.shapes import KINDS as KINDS_OF_VALUES
from localarm.state import MemoryState, SqliteState, State

MACHINES = (
    Machine("build-host", "gilder-local", "westeurope", "Standard_D2s_v5"),
    Machine("other", "gilder-local", "westeurope", "Standard_D2s_v5"),
)


def world_in(
    folder: Path,
    devices: Devices,
    state: State | None = None,
    clock: Hands | None = None,
    first_id: int = 1,
    workshop: Workshop = inline_workshop,
    **more: Any,
) -> Local:
    """A world with two machines of four data disks each; ids are counted from `first_id`."""
    numbers = itertools.count(first_id)
    (folder / "catalogue").mkdir(exist_ok=True)
    clock = clock or Hands()
    world = born(
        Settings(machines=MACHINES, throttle=False, **more), clock=clock,
        new_id=lambda: f"00000000-0000-4000-8000-{next(numbers):012d}",
        state=state or MemoryState(), blobs=BlobStore(folder / "blobs"), devices=devices,
        catalogue=StandInCatalogue(folder / "catalogue"), workshop=workshop,
    )  # fmt: skip
    return Local(Application(world), clock)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), min_size=5, max_size=25), preempt=st.booleans(), busy=st.booleans(), seed=st.integers(0, 9)
)
def test_the_world_stays_consistent(story: list[Step], preempt: bool, busy: bool, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        choice: Any = "preempt" if preempt else "refuse"
        patient = Patient() if busy else None
        local = world_in(
            Path(folder), NoDevices(), workshop=patient or inline_workshop, latency="recorded", seed=seed,
            concurrent_writes=choice,
        )  # fmt: skip
        play(furnished(local, patient), story, patient)
        settle(local, patient)
        local.world.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(first=st.lists(steps(), min_size=3, max_size=15), second=st.lists(steps(), max_size=10))
def test_the_world_is_the_same_after_a_restart(first: list[Step], second: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Hands()
        local = world_in(folder, NoDevices(), SqliteState(folder / "world.sqlite"), clock, latency="recorded")
        play(furnished(local), first)
        local.world.state.close()  # killed: nothing is said good-bye to
        memory = SqliteState(folder / "world.sqlite")
        again = world_in(folder, NoDevices(), memory, clock, first_id=1_000_000, latency="recorded")
        assert {each.key: each.body for kind in local.world.kinds() for each in local.world.all(kind)} == {
            each.key: each.body for kind in again.world.kinds() for each in again.world.all(kind)
        }
        check_world(again.world)
        play(again, second)
        settle(again)
        again.world.close()


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([1]),
    st.just("\x00"),
)


def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """A body with some of it replaced by junk, left out or misnamed."""
    if draw(st.integers(0, 7)) == 0:
        return draw(JUNK)
    if isinstance(value, dict):
        kept = {name: spoiled(draw, each) for name, each in value.items() if draw(st.integers(0, 9))}
        return {**kept, **({draw(st.sampled_from(MEMBERS)): draw(JUNK)} if draw(st.booleans()) else {})}
    return [spoiled(draw, each) for each in value] if isinstance(value, list) else value


MEMBERS = sorted({*KINDS_OF_VALUES, "sku", "source", "identity", "plan"})
BODIES: dict[str, Any] = {
    "disks/x": {
        "location": "westeurope",
        "sku": {"name": "Premium_LRS"},
        "zones": ["1"],
        "tags": {"a": "b"},
        "properties": {
            "diskSizeGB": 4,
            "osType": "Linux",
            "creationData": {
                "createOption": "Copy",
                "sourceResourceId": "{compute}/disks/d",
                "galleryImageReference": {"id": "{compute}/galleries/g", "lun": 1},
            },
        },
    },
    "snapshots/x": {
        "location": "westeurope",
        "properties": {
            "incremental": True,
            "creationData": {"createOption": "Copy", "sourceResourceId": "{compute}/disks/d"},
        },
    },
    "images/x": {
        "location": "westeurope",
        "properties": {
            "hyperVGeneration": "V2",
            "sourceVirtualMachine": {"id": "x"},
            "storageProfile": {
                "osDisk": {"osType": "Linux", "managedDisk": {"id": "{compute}/disks/d"}},
                "dataDisks": [{"lun": 0, "managedDisk": {"id": "{compute}/disks/d"}}],
            },
        },
    },
    "galleries/x": {"location": "westeurope", "properties": {"description": "x"}},
    "galleries/gal/images/x": {
        "location": "westeurope",
        "properties": {
            "osType": "Linux",
            "osState": "Generalized",
            "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
        },
    },
    "galleries/gal/images/def/versions/1.0.0": {
        "location": "westeurope",
        "properties": {
            "publishingProfile": {
                "replicaCount": 2,
                "targetRegions": [{"name": "westeurope", "regionalReplicaCount": 1}],
            },
            "storageProfile": {
                "osDiskImage": {"source": {"id": "{compute}/disks/d"}},
                "source": {"id": "{compute}/images/i"},
                "dataDiskImages": [{"lun": 1, "source": {"id": "{compute}/disks/d"}}],
            },
        },
    },
    "virtualMachines/x": {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "osProfile": {"computerName": "x"},
            "storageProfile": {
                "osDisk": {"createOption": "Attach", "managedDisk": {"id": "{compute}/disks/d"}},
                "imageReference": {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"},
                "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 1}],
            },
        },
    },
    "virtualMachines/build-host": {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "dataDisks": [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": "{compute}/disks/d"}}]
            },
        },
    },
    "virtualMachines/build-host/attachDetachDataDisks": {
        "dataDisksToAttach": [{"diskId": "{compute}/disks/d", "lun": 1}],
        "dataDisksToDetach": [{"diskId": "{compute}/disks/d"}],
    },
    "disks/d/beginGetAccess": {"access": "Read", "durationInSeconds": 1},
    "disks/d/providers/Microsoft.Resources/tags/default": {"operation": "Merge", "properties": {"tags": {"a": "b"}}},
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_junk_is_refused_and_never_fails_inside(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        local = world_in(Path(folder), NoDevices())
        local.disk("d")
        definition(local, "def")
        for _ in range(20):
            path, body = data.draw(st.sampled_from(sorted(BODIES.items(), key=lambda each: each[0])))
            method = "POST" if path.endswith(("Disks", "Access")) else data.draw(st.sampled_from(["PUT", "PATCH"]))
            given_body = filled(local, data.draw(st.composite(spoiled)(body)))
            answer = local.ask(method, f"{local.compute}/{path}", given_body)
            assert answer.status != 500, (method, path, given_body)
            settle(local)
        local.world.close()


def loops(folder: Path) -> str:
    listed = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True, check=True
    )
    return "".join(line for line in listed.stdout.splitlines(keepends=True) if str(folder) in line)


@pytest.mark.root
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=st.lists(steps(), min_size=10, max_size=30))
def test_no_loop_device_is_left(story: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        local = world_in(folder, LoopDevices(folder, folder / "links"), latency="recorded")
        play(furnished(local), story)
        settle(local)
        assert loops(folder).count("\n") == len(local.world.devices.attached())
        local.world.close()
        assert loops(folder) == ""
