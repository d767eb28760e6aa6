"""Each operation lasts as the figures of its own kind say, and what was not recorded says that it is assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.localarm.conftest import Local, Maker
from tests.localarm.test_operations import definition, snapshot, version_body

from localarm.attachments import Change
from localarm.latency import figures, sized
from localarm.settings import Settings

REGIONS = [{"name": name} for name in ("westeurope", "northeurope", "eastus", "westus")]
PLAIN, FORCED = {"lun": 0}, {"lun": 0, "detachOption": "ForceDetach"}


@pytest.fixture
def drawn(local: Local) -> list[str]:
    """The kinds whose durations the world asked for."""
    kinds: list[str] = []
    lasts: Callable[[str], float] = local.world.lasts

    def noted(kind: str) -> float:
        assert kind in figures()["durations"]
        kinds.append(kind)
        return lasts(kind)

    local.world.lasts = noted
    return kinds


def test_a_patch_lasts_as_patches_do(local: Local, drawn: list[str]) -> None:
    for method in ("PATCH", "PUT"):
        local.done(local.ask(method, local.machine, {"location": "westeurope", "tags": {"a": method}}))
    assert drawn == ["vm.patch.update", "vm.put.update"]


@pytest.mark.parametrize("family", ["vm.put", "vm.patch", "vm.attachdetach"])
def test_every_change_of_data_disks_has_figures(family: str) -> None:
    changes = (
        Change((), (), ()), Change((), (PLAIN,), ()), Change((), (), (PLAIN,)), Change((), (), (PLAIN, PLAIN)),
        Change((), (), (FORCED,)), Change((), (PLAIN,), (PLAIN,)), Change((), (PLAIN,), (FORCED,)),
    )  # fmt: skip
    assert {f"{family}.{change.kind}" for change in changes} == {
        kind for kind in figures()["durations"] if kind.startswith(f"{family}.")
    }


@pytest.mark.parametrize(
    ("regions", "mode", "recorded"), [(1, "1", True), (2, "2", False), (3, "more", False), (4, "more", False)]
)
def test_regions_beyond_the_recorded_are_assumed(
    local: Local, drawn: list[str], regions: int, mode: str, recorded: bool
) -> None:
    taken = snapshot(local, "s", local.disk("d"))
    named = definition(local)
    del drawn[:]
    for version, more in (("1.0.0", {}), ("2.0.0", {"replicationMode": "Shallow"})):
        written = local.ask("PUT", f"{named}/versions/{version}", version_body(taken, REGIONS[:regions], **more))
        assert local.done(written)["status"] == "Succeeded"
    kinds = [f"version.create.snapshot.{mode}", f"version.create.snapshot.shallow{'' if regions == 1 else '.more'}"]
    assert drawn == kinds
    assert ("recorded" in figures()["durations"][kinds[0]]) is recorded
    del drawn[:]
    local.done(local.ask("PATCH", f"{named}/versions/1.0.0", {"tags": {"a": "b"}}))
    assert drawn == [f"version.update.{mode}"]
    assert ("recorded" in figures()["durations"][drawn[0]]) is (regions < 3)


def test_copies_of_larger_disks_than_recorded_are_assumed(local: Local, drawn: list[str]) -> None:
    disk = local.disk("d", gb=201)
    assert drawn == ["disk.create.empty"]
    del drawn[:]
    taken = snapshot(local, "s", disk)
    body: dict[str, Any] = {
        "properties": {"storageProfile": {"osDisk": {"osType": "Linux", "snapshot": {"id": taken}}}}
    }
    body["properties"]["hyperVGeneration"] = "V2"
    local.done(local.ask("PUT", f"{local.compute}/images/i", {"location": "westeurope", **body}))
    copy = {"creationData": {"createOption": "Copy", "sourceResourceId": taken}}
    local.done(local.ask("PUT", f"{local.compute}/disks/copy", {"location": "westeurope", "properties": copy}))
    named = definition(local)
    del drawn[-2:]  # the gallery and the definition
    local.done(local.ask("PUT", f"{named}/versions/1.0.0", version_body(taken)))
    assert drawn == [
        "snapshot.create.full.large", "image.create.snapshot.large", "disk.create.snapshot.large",
        "version.create.snapshot.1.large",
    ]  # fmt: skip
    assert all("assumed" in figures()["durations"][kind] for kind in drawn)


def test_what_is_no_copy_knows_no_large_disks() -> None:
    assert sized("disk.create.platform", [30, 1024]) == "disk.create.platform"
    assert sized("snapshot.create.full", [30, 200]) == "snapshot.create.full"


def test_recorded_latency_brings_the_limits_unless_told(make_local: Maker) -> None:
    def refused(settings: Settings) -> bool:
        local = make_local(latency=settings.latency, throttle=settings.throttle)
        return any(local.ask("GET", local.machine).status == 429 for _ in range(50))

    assert refused(Settings(latency="recorded"))
    assert not refused(Settings(latency="recorded", throttle=False))
    assert not refused(Settings(latency="median"))
    assert refused(Settings(latency="none", throttle=True))
