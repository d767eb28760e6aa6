"""What others make under names that builds use too: it is neither taken for the build's own, nor changed, nor deleted."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from azure.mgmt.compute import models
from tests.sweeps.scene import Scene, staged
from tests.virtual.furnishing import REGION, definition, disk, gallery, id_of, image, put, version
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, PretendedDevices, image_spec, no_turn, placed, version_spec

from gilder.azure.disks import DiskPlan, Empty, create_disk
from gilder.azure.images import ImagePlan, image_made
from gilder.azure.machines import Attachment, attach_and_detach
from gilder.azure.operations import Usual, looks
from gilder.azure.snapshots import SnapshotPlan, take_snapshot
from gilder.build.products import plan_text
from gilder.engine import Recovery, RunOptions, Stopping
from gilder.model.ids import ArmId
from gilder.model.outcomes import Failed
from gilder.model.spec import BuildSpec, Caching, DiskSku, GalleryVersion, HyperVGeneration
from gilder.model.tags import of_build
from localarm.faults import Fault

IMAGE = id_of("images", "img")
VERSION = id_of("galleries/images/versions", "gallery/linux/1.0.1")
THEIRS = of_build("their-run", "img")


def seen(place: Place, id_: ArmId) -> str:
    """A resource as it is, to be compared; "" when it is gone."""
    found = place.world.find("/".join(id_.types).lower(), str(id_))
    return json.dumps(found.body, sort_keys=True) if found is not None else ""


async def captured(place: Place, name: str = "img") -> None:
    """Make an image of a disk, as Packer's azure-arm and the portal do: it shows no snapshot."""
    await image(place, name, await disk(place, f"source-of-{name}"), tags={"owner": "them"})


async def version_of_image(place: Place) -> None:
    """Publish a version of a managed image: its OS disk has a source without an id."""
    await captured(place, "theirs")
    await _publish(place, models.GalleryArtifactVersionFullSource(id=str(id_of("images", "theirs"))))


async def version_of_version(place: Place) -> None:
    """Publish a version of another version."""
    other = await version(place, "0.0.1", await disk(place, "old"))
    await _publish(place, models.GalleryArtifactVersionFullSource(id=str(other)))


async def version_of_machine(place: Place) -> None:
    """Publish a version of a VM."""
    await _publish(place, models.GalleryArtifactVersionFullSource(virtual_machine_id=str(VM)))


async def version_of_disk(place: Place) -> None:
    """Publish a version of a disk."""
    await version(place, VERSION.name, await disk(place, "old"))


async def _publish(place: Place, source: models.GalleryArtifactVersionFullSource) -> None:
    storage = models.GalleryImageVersionStorageProfile(source=source)
    regions = models.GalleryImageVersionPublishingProfile(target_regions=[models.TargetRegion(name=REGION)])
    properties = models.GalleryImageVersionProperties(storage_profile=storage, publishing_profile=regions)
    body = models.GalleryImageVersion(location=REGION, tags={"owner": "them"}, properties=properties)
    await put(place, "gallery_image_versions", VERSION, body)


Made = Callable[[Place], Awaitable[None]]
PRODUCTS: dict[Made, tuple[ArmId, BuildSpec]] = {
    captured: (IMAGE, image_spec("img")),
    **{
        made: (VERSION, version_spec("img", 1))
        for made in (version_of_image, version_of_version, version_of_machine, version_of_disk)
    },
}


@pytest.mark.parametrize("made", PRODUCTS, ids=lambda made: made.__name__)
def test_an_image_that_somebody_makes_meanwhile_stays(tmp_path: Path, made: Made) -> None:
    id_, spec = PRODUCTS[made]

    async def main() -> None:
        async with placed(tmp_path) as place:
            await _furnished(place)
            place.seconds = lambda build: 1200.0
            before = ""

            async def stranger() -> None:
                nonlocal before
                await anyio.sleep(60)
                await made(place)
                before = seen(place, id_)

            async with anyio.create_task_group() as group:
                group.start_soon(stranger)
                (outcome,) = await place.build([spec])
            assert isinstance(outcome, Failed)
            assert "somebody else made" in outcome.error
            assert outcome.residues == ()
            assert before
            assert seen(place, id_) == before

    in_virtual_time(main)


async def _furnished(place: Place) -> None:
    await gallery(place)
    await definition(place)


async def _killed(scene: Scene, spec: BuildSpec, when: Callable[[], bool], options: RunOptions | None = None) -> None:
    """Build, and be killed as soon as `when` holds."""
    async with anyio.create_task_group() as group:
        group.start_soon(scene.live, [spec], Stopping(lambda text: None), options)
        while not (scene.ended.is_set() or when()):
            await anyio.sleep(0.05)
        scene.kill()
        group.cancel_scope.cancel()
    assert scene.outcomes is None, "it was not killed"
    scene.application.faults.clear()


def _asked(scene: Scene, method: str, kind: str) -> bool:
    """Whether such a request has come."""
    return any(
        entry["method"] == method and f"/{kind}/" in str(entry["path"]).lower() for entry in scene.application.audit
    )


@pytest.mark.parametrize("made", PRODUCTS, ids=lambda made: made.__name__)
def test_recovery_takes_no_strangers_image_for_the_builds(tmp_path: Path, made: Made) -> None:
    id_, spec = PRODUCTS[made]
    kind = id_.types[-1]

    async def main() -> None:
        async with staged(tmp_path, 4) as scene:
            await _furnished(scene)
            scene.strike(Fault("drop", "PUT", "/".join(id_.types), times=99))
            await _killed(scene, spec, lambda: _asked(scene, "PUT", kind))
            async with scene.beside() as place:
                await made(place)
            before = seen(scene, id_)
            (told,) = await scene.recovered(tmp_path / "alive")
            assert (told.published, told.left) == ((), ())
            assert seen(scene, id_) == before
            assert not scene.world.all("snapshots")
            (build,) = await scene.record.builds("run1")
            assert build.status == "failed"

    in_virtual_time(main)


@pytest.mark.parametrize("kind", ["disks", "snapshots"])
@pytest.mark.parametrize("data", [False, True], ids=["os", "data"])
def test_temporary_names_that_the_user_chose_may_be_anothers(tmp_path: Path, kind: str, data: bool) -> None:
    """Another run takes the name after it was found free: its resource was deleted in this one's clean-up."""
    chosen = _chosen(kind, data)
    id_ = id_of(kind, "chosen3" if data else "chosen")

    async def main() -> None:
        async with placed(tmp_path) as place:
            await _with_data(place)
            place.application.faults.add(Fault("delay", "GET", kind, name=id_.name, seconds=60))
            before = ""

            async def other() -> None:
                nonlocal before
                while not _looked_for(place, id_):
                    await anyio.sleep(0.1)
                await _theirs(place, id_)
                before = seen(place, id_)

            async with anyio.create_task_group() as group:
                group.start_soon(other)
                (outcome,) = await place.build([image_spec("img").model_copy(update=chosen)])
            assert isinstance(outcome, Failed)
            assert "somebody else made" in outcome.error
            assert outcome.residues == ()
            assert before
            assert seen(place, id_) == before

    in_virtual_time(main)


def _chosen(kind: str, data: bool) -> dict[str, Any]:
    """The options of a build that names its temporary resources, from a source with a data disk."""
    option = {
        ("disks", False): "temporary_os_disk_id",
        ("disks", True): "temporary_data_disk_id_prefix",
        ("snapshots", False): "temporary_os_disk_snapshot_id",
        ("snapshots", True): "temporary_data_disk_snapshot_id",
    }[kind, data]
    name = id_of(kind, "chosen")
    source = GalleryVersion(id_of("galleries/images/versions", "gallery/linux/0.0.1"))
    return {"source": source, option: str(name) if data else name}


async def _with_data(place: Place) -> None:
    """A source version with a data disk at LUN 3."""
    await _furnished(place)
    data = await disk(place, "source-data")
    await version(place, "0.0.1", await disk(place, "source"), data={3: data})


def _looked_for(place: Place, id_: ArmId) -> bool:
    return any(str(entry["path"]).lower() == str(id_).lower() for entry in place.application.audit)


async def _theirs(place: Place, id_: ArmId) -> None:
    """Make a disk or snapshot of this name, as another run does."""
    if id_.is_type("disks"):
        properties = models.DiskProperties(creation_data=models.CreationData(create_option="Empty"), disk_size_gb=1)
        await put(place, "disks", id_, models.Disk(location=REGION, tags=THEIRS, properties=properties))
        return
    source = await disk(place, "their-disk")
    await take_snapshot(place.arm, SnapshotPlan(id=id_, disk=source, location=REGION, tags=THEIRS))


@pytest.mark.parametrize("tags", [THEIRS, of_build("run1", "another"), {}], ids=["run", "build", "none"])
def test_recovery_leaves_what_others_made_under_chosen_names(tmp_path: Path, tags: dict[str, str]) -> None:
    """The crashed run had noted a disk and a snapshot that it never made; another has made, attached and uses such."""
    os_disk, snapshot = id_of("disks", "chosen"), id_of("snapshots", "chosen")

    async def main() -> None:
        async with placed(tmp_path) as place:
            await _noted(place, os_disk, snapshot)
            plan = DiskPlan(
                id=os_disk, location=REGION, zone="", source=Empty(), sku=DiskSku.STANDARD_LRS, size_gb=1, tags=tags
            )
            await create_disk(place.arm, plan)
            await take_snapshot(place.arm, SnapshotPlan(id=snapshot, disk=os_disk, location=REGION, tags=tags))
            operation = await attach_and_detach(place.arm, VM, [Attachment(os_disk, 0, Caching.NONE)], [])
            await place.arm.finished(VM.subscription, operation, looks(Usual.CHANGE_DISKS))
            before = [seen(place, id_) for id_ in (os_disk, snapshot, VM)]
            recovery = Recovery(place.arm, VM, place.journal, PretendedDevices(place.plugs), no_turn, lambda text: None)
            (run,) = await place.journal.runs()
            told = await recovery.recover(run)
            assert (told.removed, told.left) == ((), ())
            assert [seen(place, id_) for id_ in (os_disk, snapshot, VM)] == before
            assert await place.journal.residues() == []

    in_virtual_time(main)


async def _noted(place: Place, os_disk: ArmId, snapshot: ArmId) -> None:
    """A run that died when it had noted what it would make."""
    await place.journal.run_started("run1", str(VM), "")
    await place.journal.build_started("run1", "img")
    for kind, id_ in (("disk", os_disk), ("attachment", os_disk), ("snapshot", snapshot)):
        await place.journal.intend("run1", "img", kind, id_.name, str(id_), "az …")


def test_no_image_is_published_from_a_snapshot_of_another_run(tmp_path: Path) -> None:
    """The snapshot that the crashed run noted is gone, and another run has taken one of the same name."""
    snapshot = id_of("snapshots", "chosen")

    async def main() -> None:
        async with placed(tmp_path) as place:
            await _noted(place, id_of("disks", "chosen"), snapshot)
            plan = ImagePlan(
                id=IMAGE,
                location=REGION,
                snapshot=snapshot,
                generation=HyperVGeneration.V2,
                caching=Caching.NONE,
                sku=DiskSku.STANDARD_LRS,
            )
            await place.journal.intend("run1", "img", "image", "img", str(IMAGE), "az …", plan_text(plan))
            await _theirs(place, snapshot)
            before = seen(place, snapshot)
            recovery = Recovery(place.arm, VM, place.journal, PretendedDevices(place.plugs), no_turn, lambda text: None)
            (run,) = await place.journal.runs()
            assert (await recovery.recover(run)).published == ()
            assert await image_made(place.arm, IMAGE) is None
            assert seen(place, snapshot) == before

    in_virtual_time(main)
