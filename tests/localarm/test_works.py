"""Copies that wait for their turn: what they read stays, whatever becomes of its resource."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import Hands, Local, Maker, Patient
from tests.localarm.invariants import check_world
from tests.localarm.test_laws import copy_of
from tests.localarm.test_operations import beginning, definition, from_image, platform, version_body

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
