"""What can be known before is known before: each obstacle has its own error, and nothing was created when it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.compute import models
from tests.virtual.furnishing import definition, disk, gallery, id_of, version
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import COMPUTE, GROUP, Place, placed
from tests.virtual.wanted import IMAGE, OTHER_SUBSCRIPTION, built, from_disk, from_version, spec, to_gallery

from gilder.azure.labels import relabel
from gilder.azure.machines import Attachment, attach_and_detach
from gilder.azure.operations import Usual, looks
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Failed
from gilder.model.spec import (
    Caching,
    PlatformImage,
    TargetRegion,
)
from gilder.model.tags import RUN

TRUSTED = models.DiskSecurityProfile(security_type="TrustedLaunch")
CONFIDENTIAL = models.DiskSecurityProfile(security_type="ConfidentialVM_DiskEncryptedWithPlatformKey")
ARM = models.SupportedCapabilities(architecture="Arm64")


Furnish = Callable[[Place], Awaitable[object]]


@dataclass
class Case:
    """An obstacle: how the world comes to have it, what is built, and what must be said."""

    says: str
    build: dict[str, Any]
    furnish: Furnish | None = None
    site: dict[str, Any] = field(default_factory=dict)
    slots: int = 32


async def _replicated_elsewhere(place: Place) -> None:
    old = await disk(place, "old", location="eastus")
    await gallery(place, location="eastus")
    await definition(place, location="eastus")
    await version(place, "1.0.0", old, location="eastus", regions=("eastus", "westus"))


async def _windows_version(place: Place) -> None:
    old = await disk(place, "old", os_type="Windows")
    await gallery(place)
    await definition(place, os_type="Windows")
    await version(place, "1.0.0", old)


async def _only_hidden(place: Place) -> None:
    old = await disk(place, "old")
    await gallery(place)
    await definition(place)
    await version(place, "1.0.0", old, hidden=True)


async def _large_version(place: Place) -> None:
    old = await disk(place, "old", disk_size_gb=8)
    await gallery(place)
    await definition(place)
    await version(place, "1.0.0", old)


async def _data_disks(place: Place) -> None:
    old, more = await disk(place, "old"), await disk(place, "more", os_type=None, hyper_v_generation=None)
    await gallery(place)
    await definition(place)
    await version(place, "1.0.0", old, data={3: more})


def _defined(**options: Any) -> Furnish:
    async def furnish(place: Place) -> None:
        await gallery(place, location=options.get("location", "westeurope"))
        await definition(place, **options)

    return furnish


def _having(name: str = "old", **options: Any) -> Furnish:
    return lambda place: disk(place, name, **options)


async def _existing_version(place: Place) -> None:
    await _defined()(place)
    await version(place, "1.0.0", await disk(place, "old"))


async def _existing_image(place: Place) -> None:
    outcome, _ = await built(place, spec())
    assert isinstance(outcome, Built)


async def _full_of_strangers(place: Place) -> list[ArmId]:
    disks = [await disk(place, f"stranger{number}") for number in range(4)]
    vm = ArmId.parse(f"{COMPUTE}/virtualMachines/build-host")
    attachments = [Attachment(one, lun, Caching.NONE) for lun, one in enumerate(disks)]
    operation = await attach_and_detach(place.arm, vm, attachments, [])
    await place.arm.finished(vm.subscription, operation, looks(Usual.CHANGE_DISKS))
    return disks


async def _existing_snapshot(place: Place) -> None:
    begin = place.arm.client(IMAGE.subscription).snapshots.begin_create_or_update
    creation = models.CreationData(create_option="Copy", source_resource_id=str(await disk(place, "old")))
    body = models.Snapshot(location="westeurope", properties=models.SnapshotProperties(creation_data=creation))
    operation = await place.arm.change("snapshot", begin, GROUP, "taken3", body)
    await place.arm.finished(IMAGE.subscription, operation, looks(Usual.TAKE_SNAPSHOT))


SECURITY = "SecurityType"
CASES = {
    "source-platform-missing": Case(
        "no platform image localarm:busybox:2:latest in westeurope",
        {"source": PlatformImage("localarm", "busybox", "2", "latest")},
    ),
    "source-platform-architecture": Case(
        "the source is for x64 and this VM is Arm64", to_gallery(), _defined(), {"architecture": "Arm64"}
    ),
    "source-disk-missing": Case("source disk .*/disks/old does not exist", from_disk()),
    "source-disk-region": Case("old is in eastus and this VM in westeurope", from_disk(), _having(location="eastus")),
    "source-disk-os": Case("source disk old is for Windows", from_disk(), _having(os_type="Windows")),
    "source-disk-architecture": Case("for Arm64 and this VM is x64", from_disk(), _having(supported_capabilities=ARM)),
    "source-disk-confidential": Case(
        "security type ConfidentialVM_DiskEncrypted", from_disk(), _having(security_profile=CONFIDENTIAL)
    ),
    "source-disk-size": Case("can only be enlarged", from_disk(os_disk_size_gb=1), _having()),
    "source-version-missing": Case("1.0.0 does not exist", from_version("1.0.0"), _defined()),
    "source-version-latest": Case("latest does not exist", from_version("latest"), _only_hidden),
    "source-version-region": Case(
        r"not replicated to westeurope.*\(it is in: East US, West US\)", from_version("1.0.0"), _replicated_elsewhere
    ),
    "source-version-os": Case("definition linux is for Windows", from_version("1.0.0"), _windows_version),
    "source-version-size": Case("has 8 GiB", from_version("1.0.0", os_disk_size_gb=4), _large_version),
    "image-exists": Case("image .*/images/made exists already", {}, _existing_image),
    "image-trusted-launch": Case(
        "TrustedLaunch, and no managed image can be", from_disk(), _having(security_profile=TRUSTED)
    ),
    "image-arm64": Case(
        "for Arm64, and no managed image", from_disk(), _having(supported_capabilities=ARM), {"architecture": "Arm64"}
    ),
    "version-shallow-elsewhere": Case(
        "Shallow there is a replica in westeurope",
        to_gallery(replication_mode="Shallow", target_regions=(TargetRegion(name="eastus"),)),
        _defined(),
    ),
    "definition-missing": Case("definition .*/gallery/images/linux does not exist", to_gallery()),
    "definition-os": Case("it is for Windows", to_gallery(), _defined(os_type="Windows")),
    "definition-state": Case("it is for Specialized images", to_gallery(), _defined(os_state="Specialized")),
    "definition-generation": Case(
        "for generation V1 and the source is V2", to_gallery(), _defined(hyper_v_generation="V1")
    ),
    "definition-generation-of-disk": Case(
        "for generation V1 and the source is V2", from_disk() | to_gallery(),
        lambda place: _both(place, _having(), _defined(hyper_v_generation="V1")),
    ),
    "definition-architecture": Case("for Arm64 and the source is x64", to_gallery(), _defined(architecture="Arm64")),
    "definition-security": Case(
        "for confidential VMs", to_gallery(),
        _defined(features=[models.GalleryImageFeature(name=SECURITY, value="ConfidentialVM")]),
    ),
    "definition-region": Case("linux is in eastus and this VM in westeurope", to_gallery(), _defined(location="eastus")),
    "version-exists": Case("image version .*1.0.0 exists already", to_gallery(), _existing_version),
    "room-full": Case(
        "takes 4 data disks and it has 4, none of a gilder at work", {}, _full_of_strangers, slots=4
    ),
    "temporary-disk-subscription": Case(
        "cannot be attached to this VM", {"temporary_os_disk_id": id_of("disks", "mine", OTHER_SUBSCRIPTION)}
    ),
    "temporary-disk-exists": Case(
        "temporary_os_disk_id names a disk that exists", {"temporary_os_disk_id": id_of("disks", "old")}, _having()
    ),
    "temporary-snapshot-exists": Case(
        "temporary_os_disk_snapshot_id names a snapshot that exists",
        {"temporary_os_disk_snapshot_id": id_of("snapshots", "taken3")}, _existing_snapshot,
    ),
    "temporary-data-disk-exists": Case(
        "temporary_data_disk_id_prefix names a disk that exists: .*/disks/data3",
        from_version("1.0.0", temporary_data_disk_id_prefix=f"{COMPUTE}/disks/data"),
        lambda place: _both(place, _data_disks, _having("data3")),
    ),
    "temporary-data-snapshot-exists": Case(
        "temporary_data_disk_snapshot_id names a snapshot that exists: .*/snapshots/taken3",
        from_version("1.0.0", temporary_data_disk_snapshot_id=f"{COMPUTE}/snapshots/taken"),
        lambda place: _both(place, _existing_snapshot, _data_disks),
    ),
}  # fmt: skip


async def _both(place: Place, one: Furnish, other: Furnish) -> None:
    await one(place)
    await other(place)


@pytest.mark.parametrize("name", CASES)
def test_an_obstacle_is_told_before_anything_is_created(tmp_path: Path, name: str) -> None:
    case = CASES[name]

    async def main() -> None:
        async with placed(tmp_path, case.slots) as place:
            place.options |= case.site
            if case.furnish:
                await case.furnish(place)
            outcome, written = await built(place, spec(**case.build))
            assert isinstance(outcome, Failed)
            assert outcome.stage == Stage.RESOLVE
            with pytest.raises(ValueError, match=case.says):
                raise ValueError(outcome.error)
            assert outcome.hint, "it says what to do"
            assert written == []

    in_virtual_time(main)


def test_nobody_waits_for_disks_that_dead_builds_left(tmp_path: Path) -> None:
    """They counted as those of another gilder, which are detached some day."""

    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            for one in await _full_of_strangers(place):
                await relabel(place.arm, one, {RUN: "dead"})
            place.lives = lambda run: run != "dead"
            outcome, written = await built(place, spec())
            assert isinstance(outcome, Failed)
            assert "none of a gilder at work" in outcome.error
            assert "gilder recover" in (outcome.hint or "")
            assert written == []

    in_virtual_time(main)
