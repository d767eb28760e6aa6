"""Copies that wait for their turn: what they read stays, whatever becomes of its resource."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import Hands, Local, Maker, Patient
from tests.localarm.invariants import check_world
from tests.localarm.test_laws import attach, copy_of
from tests.localarm.test_operations import beginning, definition, from_image, platform, version_body

from localarm.blobs import BlobStore
from localarm.devices import NoDevices
from localarm.faults import Fault
from localarm.messages import Response
from localarm.state import SqliteState


class Shop:
    """A world with a workshop that waits."""

    def __init__(self, make_local: Maker, **more: Any) -> None:
        self.patient = Patient()
        self.local = make_local(workshop=self.patient, **more)

    def done(self, answer: Response) -> None:
        """Work until an operation has succeeded."""
        self.patient.work()
        status = self.local.done(answer)
        assert status["status"] == "Succeeded", status

    def disk(self) -> str:
        """A disk with content."""
        self.done(from_image(self.local, "source", {"imageReference": {"id": platform(self.local)}}))
        return f"{self.local.compute}/disks/source"

    def snapshot(self) -> str:
        path = f"{self.local.compute}/snapshots/source"
        self.done(self.local.ask("PUT", path, copy_of(self.disk())))
        return path

    def version(self) -> str:
        path = f"{definition(self.local)}/versions/1.0.0"
        self.done(self.local.ask("PUT", path, version_body(self.disk())))
        return path


def copied(shop: Shop, source: str) -> Response:
    if "/versions/" in source:
        return from_image(shop.local, "copy", {"galleryImageReference": {"id": source}})
    return shop.local.ask("PUT", f"{shop.local.compute}/disks/copy", copy_of(source))


def content(local: Local) -> bytes:
    return beginning(local.world.blobs.path(local.world.find("disks", f"{local.compute}/disks/copy").blob))


@pytest.mark.parametrize("kind", [Shop.disk, Shop.snapshot, Shop.version])
def test_a_source_may_go_while_its_copy_waits(make_local: Maker, kind: Callable[[Shop], str]) -> None:
    shop = Shop(make_local)
    source = kind(shop)
    copy = copied(shop, source)
    assert shop.local.done(shop.local.ask("DELETE", source))["status"] == "Succeeded"
    check_world(shop.local.world)
    shop.done(copy)
    assert content(shop.local) == b"tiny image"
    check_world(shop.local.world)


def test_a_source_may_go_before_a_restart(make_local: Maker, tmp_path: Path) -> None:
    clock, file = Hands(), tmp_path / "world.sqlite"
    shop = Shop(make_local, state=SqliteState(file), clock=clock)
    source = shop.snapshot()
    copy = copied(shop, source)
    shop.local.done(shop.local.ask("DELETE", source))
    shop.local.world.state.close()  # killed: nothing is said good-bye to
    again = make_local(state=SqliteState(file), clock=clock)
    assert again.done(copy)["status"] == "Succeeded"
    assert content(again) == b"tiny image"
    check_world(again.world)


def test_a_copy_of_a_copy_waits_for_it(make_local: Maker) -> None:
    shop = Shop(make_local)
    source = shop.disk()
    first = shop.local.ask("PUT", f"{shop.local.compute}/disks/first", copy_of(source))
    second = shop.local.ask("PUT", f"{shop.local.compute}/disks/copy", copy_of(f"{shop.local.compute}/disks/first"))
    check_world(shop.local.world)
    for answer in (first, second):
        shop.done(answer)
    assert content(shop.local) == b"tiny image"
    check_world(shop.local.world)


@pytest.mark.parametrize("taken", ["while it grows", "when it has grown"])
def test_a_snapshot_of_a_growing_disk_is_as_large_as_it_says(make_local: Maker, taken: str) -> None:
    local = make_local()
    disk = local.disk("d")
    local.world.lasts = lambda kind: 5.0 if "resize" in kind else 0.0
    growing = local.ask("PATCH", disk, {"properties": {"diskSizeGB": 3}})
    assert growing.payload["properties"]["diskSizeGB"] == 3
    if taken == "when it has grown":
        assert local.done(growing)["status"] == "Succeeded"
    snapshot = f"{local.compute}/snapshots/s"
    assert local.done(local.ask("PUT", snapshot, copy_of(disk)))["status"] == "Succeeded"
    check_world(local.world)
    assert local.done(growing)["status"] == "Succeeded"
    sizes = [local.ask("GET", each).payload["properties"]["diskSizeGB"] for each in (disk, snapshot)]
    assert sizes == [3, 1 if taken == "while it grows" else 3]
    check_world(local.world)


def test_a_disk_that_did_not_grow_is_as_it_was(make_local: Maker) -> None:
    local = make_local()
    disk = local.disk("d")
    local.application.faults.add(Fault("fail", "PATCH", "disks"))
    assert local.done(local.ask("PATCH", disk, {"properties": {"diskSizeGB": 3}}))["status"] == "Failed"
    assert local.ask("GET", disk).payload["properties"]["diskSizeGB"] == 1


class Noting(NoDevices):
    """Devices that note which were made read-only."""

    def __init__(self) -> None:
        super().__init__()
        self.read_only: list[int] = []

    def make_read_only(self, lun: int) -> int:
        self.read_only.append(lun)
        return 0


def sharing(local: Local, disk: str) -> int:
    """How many names the file of a disk has."""
    return int(local.world.blobs.path(local.world.find("disks", disk).blob).stat().st_nlink)


def test_a_snapshot_taken_while_its_disk_is_attached_does_not_change(make_local: Maker) -> None:
    """The guest writes to a file of its own, not to that of the snapshot."""
    local = make_local()
    disk = local.disk("d")
    local.world.lasts = lambda kind: 60.0 if "attach" in kind else 0.0
    attaching = attach(local, disk)
    taken = local.ask("PUT", f"{local.compute}/snapshots/s", copy_of(disk))
    assert local.done(taken)["status"] == "Succeeded"
    assert sharing(local, disk) == 2
    assert local.done(attaching)["status"] == "Succeeded"
    assert list(local.world.devices.attached()) == [0]
    assert sharing(local, disk) == 1
    check_world(local.world)


def test_who_preempts_an_attach_waits_for_its_disk(make_local: Maker) -> None:
    """A disk that shares its file with a snapshot gets one of its own before the guest sees it, whoever attaches it."""
    patient = Patient()
    local = make_local(workshop=patient, concurrent_writes="preempt")
    first, second = local.disk("a"), local.disk("b")
    local.done(local.ask("PUT", f"{local.compute}/snapshots/s", copy_of(first)))
    local.world.lasts = lambda kind: 60.0
    attach(local, first)
    later = attach(local, second)
    local.clock.now += 100
    local.ask("GET", first)
    assert not local.world.devices.attached()
    patient.work()
    assert local.done(later)["status"] == "Succeeded"
    assert sorted(local.world.devices.attached()) == [0, 1]
    assert sharing(local, first) == 1
    check_world(local.world)


def test_a_captured_device_stays_read_only_after_a_restart(make_local: Maker, tmp_path: Path) -> None:
    """What the guest writes then would else be in the snapshot."""

    state = tmp_path / "world.sqlite"
    local = make_local(state=SqliteState(state))
    captured, other = local.disk("captured"), local.disk("other")
    local.done(attach(local, captured, other))
    local.done(local.ask("PUT", f"{local.compute}/snapshots/s", copy_of(captured)))
    local.world.close()
    devices = Noting()
    again = make_local(state=SqliteState(state), devices=devices, clock=local.clock)
    assert list(devices.attached()) == [0, 1]
    assert devices.read_only == [0]
    check_world(again.world)


def test_a_disk_does_not_grow_while_it_is_being_attached(make_local: Maker) -> None:
    """Else its file could be replaced under the device."""
    local = make_local()
    disk = local.disk("d")
    local.world.lasts = lambda kind: 60.0
    attach(local, disk)
    refused = local.ask("PATCH", disk, {"properties": {"diskSizeGB": 3}})
    assert (refused.status, refused.payload["error"]["code"]) == (409, "OperationNotAllowed")


@pytest.mark.parametrize("what", ["image", "version"])
def test_what_is_refused_leaves_devices_alone(make_local: Maker, what: str) -> None:
    """A device is read-only once its disk is captured: not when another disk of the same request is not there."""
    devices = Noting()
    local = make_local(devices=devices)
    disk = local.disk("d")
    local.done(attach(local, disk))
    missing = f"{local.compute}/disks/none"
    body: Any
    if what == "image":
        path = f"{local.compute}/images/i"
        disks = {
            "osDisk": {"osType": "Linux", "managedDisk": {"id": disk}},
            "dataDisks": [{"lun": 0, "managedDisk": {"id": missing}}],
        }
        body = {"location": "westeurope", "properties": {"hyperVGeneration": "V2", "storageProfile": disks}}
    else:
        path = f"{definition(local)}/versions/1.0.0"
        body = version_body(disk)
        body["properties"]["storageProfile"]["dataDiskImages"] = [{"lun": 0, "source": {"id": missing}}]
    assert local.ask("PUT", path, body).status == 404
    assert devices.read_only == []


def test_a_disk_is_thawed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second copy would replace the first, which a guest may write to by then."""
    store = BlobStore(tmp_path)
    store.create("disk", 1 << 20)
    store.share("disk", "snapshot")
    copies: list[int] = []

    def copying(source: int, to: int, length: int) -> None:
        copies.append(length)
        time.sleep(0.05)

    monkeypatch.setattr("localarm.blobs._copy_data", copying)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.thaw, ["disk"] * 4))
    assert copies == [1 << 20]
