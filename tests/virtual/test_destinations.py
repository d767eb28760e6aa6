"""Sources and destinations that differ: what of each option arrives at the cloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.virtual.furnishing import definition, disk, gallery, id_of, version
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import COMPUTE, GROUP, VM, Place, placed
from tests.virtual.wanted import (
    IMAGE,
    OTHER_SUBSCRIPTION,
    built,
    from_version,
    spec,
    to_gallery,
)

from gilder.azure.metadata import Machine
from gilder.build import Job
from gilder.build.permissions import needs_of
from gilder.engine import Stopping, must_differ
from gilder.model.errors import HostError, UserError
from gilder.model.events import Said, Stage
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Cancelled, Failed
from gilder.model.spec import Auth, Caching, DiskSku, GalleryVersion, ManagedDisk, ReplicaSku, TargetRegion
from gilder.runtime.locks import Turns
from gilder.slots import Slot
from localarm.resources import Resource
from localarm.settings import APPLICATION, APPLICATION_SECRET, SUBSCRIPTION, Principal

MADE = id_of("galleries/images/versions", "gallery/linux/1.0.0")
BOTH = to_gallery() | {"image_resource_id": IMAGE}


def resource(place: Place, kind: str, id_: ArmId) -> Resource:
    found = place.world.find(kind, str(id_))
    assert found is not None, f"{id_} is not there"
    return found


def blob(place: Place, name: str) -> bytes:
    """The first bytes of a blob."""
    with Path(place.world.blobs.path(name)).open("rb") as file:
        return file.read(16)


class Watching(Place):
    """A place that notes how many disks are attached while a build works."""

    seen: list[int]

    async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
        self.seen = sorted(self.plugs.attached())
        await super().work(job, slot, turns)


async def with_data(place: Place) -> dict[int, bytes]:
    """A source version `2.0.0` with data disks at the LUNs 3 and 7, whose beginnings differ."""
    await gallery(place)
    await definition(place)
    data, marks = {}, {}
    for lun in (3, 7):
        data[lun] = await disk(place, f"data-source{lun}", os_type=None, hyper_v_generation=None)
        marks[lun] = f"data of LUN {lun:4}".encode()
        with Path(place.world.blobs.path(resource(place, "disks", data[lun]).blob)).open("r+b") as file:
            file.write(marks[lun])
    await version(place, "2.0.0", await disk(place, "os-source"), data=data)
    return marks


SOURCES = ("platform", "disk", "version", "scratch")
DESTINATIONS = {"image": {"image_resource_id": IMAGE}, "version": to_gallery(), "both": BOTH}


async def source(place: Place, kind: str) -> dict[str, Any]:
    """The options of a build from one kind of source."""
    match kind:
        case "disk":
            return {"source": ManagedDisk(await disk(place, "old"))}
        case "version":
            return {"source": GalleryVersion(await version(place, "0.1.0", await disk(place, "old")))}
        case "scratch":
            return {"source": None, "from_scratch": True, "os_disk_size_gb": 1}
    return {}


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_reaches_every_destination(tmp_path: Path, kind: str, destination: str) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await gallery(place)
            await definition(place)
            options = DESTINATIONS[destination] | await source(place, kind)
            before = place.left()
            outcome, written = await built(place, spec(**options))
            assert isinstance(outcome, Built), outcome
            assert [str(made).rpartition("/")[2] for made in outcome.artifacts] == {
                "image": ["made"], "version": ["1.0.0"], "both": ["made", "1.0.0"]
            }[destination]  # fmt: skip
            snapshots = {path for path in written if "/snapshots/" in path}
            assert len(snapshots) == 1, "one snapshot serves both"
            assert place.left() == before
            assert place.plugs.violations == []
            assert place.world.violations == []

    in_virtual_time(main)


def test_data_disks_of_a_source_arrive_at_their_luns_of_both_destinations(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            marks = await with_data(place)
            watching = Watching(place.world, place.application, place.plugs, place.arm, place.journal)
            before = place.left()
            options = {"data_disk_cache_type": Caching.NONE, "data_disk_storage_account_type": DiskSku.PREMIUM_LRS}
            outcome, _ = await built(watching, spec(**from_version("2.0.0"), **BOTH, **options))
            assert isinstance(outcome, Built), outcome
            assert outcome.artifacts == (IMAGE, MADE)
            assert watching.seen == [0], "data disks are not attached"
            assert place.left() == before

            made = resource(place, "galleries/images/versions", MADE)
            entries = made.properties["storageProfile"]["dataDiskImages"]
            assert [(entry["lun"], entry["hostCaching"]) for entry in entries] == [(3, "None"), (7, "None")]
            image = resource(place, "images", IMAGE)
            entries = image.properties["storageProfile"]["dataDisks"]
            told = [(entry["lun"], entry["caching"], entry["storageAccountType"]) for entry in entries]
            assert told == [(3, "None", "Premium_LRS"), (7, "None", "Premium_LRS")]
            for copy in (made, image):
                assert {lun: blob(place, copy.hidden["blobs"][str(lun)]) for lun in marks} == marks

    in_virtual_time(main)


MOMENTS = (0.8, 1.4, 9.0, 12.7, 13.4, 60.0)


def test_a_stop_at_any_moment_leaves_neither_data_disks_nor_their_snapshots(tmp_path: Path) -> None:
    async def stopped(moment: float, folder: Path) -> Stage | None:
        async with placed(folder) as place:
            await with_data(place)
            before = place.left()
            stopping = Stopping(lambda text: None)

            async def stop() -> None:
                await anyio.sleep(moment)
                stopping.signalled("SIGINT")

            async with anyio.create_task_group() as group:
                group.start_soon(stop)
                (outcome,) = await place.build([spec(**from_version("2.0.0"), **BOTH)], stopping=stopping)
                group.cancel_scope.cancel()
            assert isinstance(outcome, Cancelled), outcome
            assert place.left() == before, f"stopped after {moment} s"
            assert place.plugs.attached() == {}
            told = any("was published, and stays" in event.text for event in place.events if isinstance(event, Said))
            assert told == bool(place.world.all("images")), "an image that was finished before the version is told"
            assert await place.journal.residues() == []
            return outcome.stage

    seen = set()
    for moment in MOMENTS:
        folder = tmp_path / str(moment)
        folder.mkdir()
        stage, _ = in_virtual_time(lambda moment=moment, folder=folder: stopped(moment, folder))  # type: ignore[misc]
        seen.add(stage)
    assert {Stage.CREATE_DISK, Stage.ATTACH, Stage.SNAPSHOT, Stage.PUBLISH} <= seen


def test_data_disks_and_their_snapshots_have_the_names_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await with_data(place)
            names = {
                "temporary_os_disk_id": id_of("disks", "my-os"),
                "temporary_os_disk_snapshot_id": id_of("snapshots", "my-os-snapshot"),
                "temporary_data_disk_id_prefix": f"{COMPUTE}/disks/my-data",
                "temporary_data_disk_snapshot_id": f"{COMPUTE}/snapshots/my-snapshot",
                "data_disk_storage_account_type": DiskSku.STANDARD_SSD_LRS,
            }
            outcome, _ = await built(place, spec(**from_version("2.0.0"), **BOTH, **names, skip_cleanup=True))
            assert isinstance(outcome, Built), outcome
            made = {"my-os", "my-data3", "my-data7", "my-os-snapshot", "my-snapshot3", "my-snapshot7"}
            assert made <= set(place.left())
            assert outcome.artifacts[:2] == (IMAGE, MADE)
            assert {kept.name for kept in outcome.artifacts[2:]} == made, "they were asked for too"
            data = resource(place, "disks", id_of("disks", "my-data7"))
            assert data.body["sku"]["name"] == "StandardSSD_LRS"
            assert data.properties["creationData"]["galleryImageReference"]["lun"] == 7

    in_virtual_time(main)


_ROLES = tuple((f"/subscriptions/{one}", "Contributor") for one in (SUBSCRIPTION, OTHER_SUBSCRIPTION))
_TWO_SUBSCRIPTIONS: dict[str, Any] = {
    "principals": (Principal(APPLICATION, "0e9d8c7b-6a5f-4e3d-8c2b-1a0f9e8d7c6b", APPLICATION_SECRET, _ROLES),),
    "other_groups": ((OTHER_SUBSCRIPTION, GROUP, "westeurope"),),
}


def test_a_source_of_another_subscription_is_found_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, **_TWO_SUBSCRIPTIONS) as place:
            there: dict[str, Any] = {"subscription": OTHER_SUBSCRIPTION}
            await gallery(place, **there)
            await definition(place, **there)
            source = await version(place, "1.2.3", await disk(place, "old", **there), **there)
            outcome, written = await built(place, spec(source=GalleryVersion(source)))
            assert isinstance(outcome, Built), outcome
            assert [path for path in written if OTHER_SUBSCRIPTION in path] == []

    in_virtual_time(main)


NOWHERE = "99999999-0000-4000-8000-000000000000"
GALLERIES: dict[str, tuple[dict[str, Any], Auth]] = {
    "subscription": (to_gallery(subscription=OTHER_SUBSCRIPTION), Auth()),
    "subscription_id": (to_gallery() | {"auth": Auth(subscription_id=OTHER_SUBSCRIPTION)}, Auth()),
    "login": (to_gallery(), Auth(subscription_id=OTHER_SUBSCRIPTION)),
    "before the login": (
        to_gallery() | {"auth": Auth(subscription_id=OTHER_SUBSCRIPTION)},
        Auth(subscription_id=NOWHERE),
    ),
    "after az": (
        to_gallery() | {"auth": Auth(subscription_id=NOWHERE)},
        Auth(use_azure_cli_auth=True, subscription_id=OTHER_SUBSCRIPTION),
    ),
}


@pytest.mark.parametrize("option", GALLERIES)
def test_a_version_goes_to_a_gallery_of_another_subscription(tmp_path: Path, option: str) -> None:
    """Named by the destination, for all the build does, or by the login."""
    options, login = GALLERIES[option]

    async def main() -> None:
        async with placed(tmp_path, **_TWO_SUBSCRIPTIONS) as place:
            there: dict[str, Any] = {"subscription": OTHER_SUBSCRIPTION}
            await gallery(place, **there)
            await definition(place, **there)
            place.options["auth"] = login
            outcome, _ = await built(place, spec(**options))
            assert isinstance(outcome, Built), outcome
            made = resource(place, "galleries/images/versions", outcome.artifacts[0])
            assert made.id.split("/")[2] == OTHER_SUBSCRIPTION
            assert place.site is not None
            where = place.site.gallery_subscription(spec(**options))
            needed = [need.scope for need in needs_of(spec(**options), place.site.machine, where)]
            assert any(OTHER_SUBSCRIPTION in scope for scope in needed)

    in_virtual_time(main)


HERE = {"subscription": SUBSCRIPTION}
SAME = {
    "the subscription is that of the VM": (to_gallery(), to_gallery(**HERE)),
    "in other letters": (to_gallery(), to_gallery(subscription=SUBSCRIPTION.upper(), gallery_name="GALLERY")),
    "subscription_id names it": (
        to_gallery() | {"auth": Auth(subscription_id=OTHER_SUBSCRIPTION)},
        to_gallery(subscription=OTHER_SUBSCRIPTION),
    ),
    "one image in other letters": ({}, {"image_resource_id": ArmId.parse(str(IMAGE).upper())}),
    "one disk": (
        {"temporary_os_disk_id": id_of("disks", "d")},
        {"temporary_os_disk_id": id_of("disks", "D")} | to_gallery(),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_two_builds_of_one_destination_are_refused_before_anything_is_created(tmp_path: Path, case: str) -> None:
    first, second = (
        spec(**options).model_copy(update={"name": name}) for name, options in zip("ab", SAME[case], strict=True)
    )

    async def main() -> None:
        async with placed(tmp_path) as place:
            with pytest.raises(UserError, match="the builds a and b would both make"):
                await place.build([first, second])
            assert not [request for request in place.application.audit if request["method"] == "PUT"]

    in_virtual_time(main)


def test_versions_of_two_subscriptions_are_two() -> None:
    first, second = spec(**to_gallery()), spec(**to_gallery(subscription=OTHER_SUBSCRIPTION))
    must_differ([first, second.model_copy(update={"name": "two"})], Auth(), Machine(VM, "", "", ""))


def test_latest_is_the_newest_version_that_is_not_left_out_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await gallery(place)
            await definition(place)
            old = await disk(place, "old")
            for name, hidden in (("1.9.0", False), ("1.10.0", False), ("2.0.0", True)):
                await version(place, name, old, hidden=hidden)
            outcome, _ = await built(place, spec(**from_version("latest"), skip_cleanup=True))
            assert isinstance(outcome, Built), outcome
            (made,) = [one for one in place.world.all("disks") if one.name.startswith("gilder-")]
            reference = made.properties["creationData"]["galleryImageReference"]
            assert reference["id"].endswith("/versions/1.10.0")

    in_virtual_time(main)


def test_force_replaces_what_is_there_once_the_new_one_can_be_made(tmp_path: Path) -> None:
    class Failing(Place):
        async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
            raise HostError("no luck")

    async def main() -> None:
        async with placed(tmp_path) as place:
            await gallery(place)
            await definition(place)
            wanted = spec(**BOTH, tags={"try": "first"})
            assert isinstance((await built(place, wanted))[0], Built)

            failing = Failing(place.world, place.application, place.plugs, place.arm, place.journal)
            failing.runs = place.runs
            assert isinstance((await built(failing, wanted, force=True))[0], Failed)
            assert [_tag(place, kind, id_) for kind, id_ in _MADE] == ["first", "first"], "a failure costs nothing"

            outcome, _ = await built(place, spec(**BOTH, tags={"try": "second"}), force=True)
            assert isinstance(outcome, Built), outcome
            assert [_tag(place, kind, id_) for kind, id_ in _MADE] == ["second", "second"]

    in_virtual_time(main)


_MADE = [("images", IMAGE), ("galleries/images/versions", MADE)]


def _tag(place: Place, kind: str, id_: ArmId) -> str:
    return str(resource(place, kind, id_).body["tags"]["try"])


SET = id_of("diskEncryptionSets", "keys")
OTHER_SET = id_of("diskEncryptionSets", "keys-north")


class Made:
    """What one build left on the cloud, with `skip_cleanup`."""

    def __init__(self, place: Place) -> None:
        self.snapshot = resource(place, "snapshots", id_of("snapshots", "gilder-run1-one-1-snapshot"))
        self.os_disk = resource(place, "disks", id_of("disks", "gilder-run1-one-1-osdisk"))
        self.image = resource(place, "images", IMAGE)
        self.version = resource(place, "galleries/images/versions", MADE)

        self.publishing: dict[str, Any] = self.version.properties["publishingProfile"]

    def region(self, name: str) -> dict[str, Any]:
        return next(region for region in self.publishing["targetRegions"] if region["name"] == name)


REGIONS = (
    TargetRegion(name="westeurope", replicas=2, storage_account_type=ReplicaSku.STANDARD_LRS),
    TargetRegion(name="North Europe", disk_encryption_set_id=OTHER_SET),
)
ASKED = BOTH | to_gallery(
    target_regions=REGIONS,
    exclude_from_latest=True,
    end_of_life_date="2031-02-03T04:05:06Z",
) | {
    "os_disk_size_gb": 5,
    "os_disk_storage_account_type": DiskSku.PREMIUM_LRS,
    "os_disk_cache_type": Caching.READ_WRITE,
    "tags": {"a": "b"},
    "snapshot_incremental": True,
    "disk_encryption_set_id": SET,
    "skip_cleanup": True,
}  # fmt: skip
ARRIVED: dict[str, tuple[Callable[[Made], object], object]] = {
    "os_disk_size_gb": (lambda made: made.snapshot.properties["diskSizeGB"], 5),
    "os_disk_storage_account_type": (
        lambda made: (made.os_disk.body["sku"]["name"], _os(made.image)["storageAccountType"]),
        ("Premium_LRS", "Premium_LRS"),
    ),
    "os_disk_cache_type": (
        lambda made: (
            _os(made.image)["caching"],
            made.version.properties["storageProfile"]["osDiskImage"]["hostCaching"],
        ),
        ("ReadWrite", "ReadWrite"),
    ),
    "image_hyperv_generation": (lambda made: made.image.properties["hyperVGeneration"], "V2"),
    "tags": (lambda made: (made.image.body["tags"], made.version.body["tags"]), ({"a": "b"}, {"a": "b"})),
    "snapshot_incremental": (lambda made: made.snapshot.properties["incremental"], True),
    "disk_encryption_set_id": (
        lambda made: [
            _set(made.os_disk.properties["encryption"]),
            _set(made.snapshot.properties["encryption"]),
            _os(made.image)["diskEncryptionSet"]["id"],
            _set(made.region("West Europe")["encryption"]["osDiskImage"]),
        ],
        [str(SET)] * 4,
    ),
    "target_regions": (
        lambda made: [
            (region["name"], region["regionalReplicaCount"], region["storageAccountType"])
            for region in made.publishing["targetRegions"]
        ],
        [("West Europe", 2, "Standard_LRS"), ("North Europe", 1, "Standard_ZRS")],
    ),
    "target_regions.disk_encryption_set_id": (
        lambda made: _set(made.region("North Europe")["encryption"]["osDiskImage"]),
        str(OTHER_SET),
    ),
    "exclude_from_latest": (lambda made: made.publishing["excludeFromLatest"], True),
    "end_of_life_date": (lambda made: str(made.publishing["endOfLifeDate"])[:19], "2031-02-03T04:05:06"),
}


def _os(image: Resource) -> dict[str, Any]:
    found: dict[str, Any] = image.properties["storageProfile"]["osDisk"]
    return found


def _set(encryption: dict[str, Any]) -> str:
    return str(encryption["diskEncryptionSetId"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What a build with many options made."""

    async def main() -> Made:
        async with placed(tmp_path_factory.mktemp("place")) as place:
            await gallery(place)
            await definition(place)
            outcome, _ = await built(place, spec(**ASKED))
            assert isinstance(outcome, Built), outcome
            return Made(place)

    return in_virtual_time(main)[0]


@pytest.mark.parametrize("option", ARRIVED)
def test_an_option_arrives(made: Made, option: str) -> None:
    look, expected = ARRIVED[option]
    assert look(made) == expected


@pytest.mark.parametrize("regions", [(), (TargetRegion(name="West Europe"),)])
def test_a_shallow_version_is_one_replica_here(tmp_path: Path, regions: tuple[TargetRegion, ...]) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await gallery(place)
            await definition(place)
            options = to_gallery(replication_mode="Shallow", target_regions=regions)
            outcome, _ = await built(place, spec(**options))
            assert isinstance(outcome, Built), outcome
            publishing = resource(place, "galleries/images/versions", MADE).properties["publishingProfile"]
            assert publishing["replicationMode"] == "Shallow"
            assert [region["regionalReplicaCount"] for region in publishing["targetRegions"]] == [1]

    in_virtual_time(main)


def test_a_disk_from_scratch_says_what_it_is_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await gallery(place)
            await definition(place)
            options = BOTH | {"source": None, "from_scratch": True, "os_disk_size_gb": 1, "skip_cleanup": True}
            outcome, _ = await built(place, spec(**options))
            assert isinstance(outcome, Built), outcome
            made = Made(place)
            assert made.os_disk.properties["hyperVGeneration"] == "V2"
            assert made.os_disk.properties["supportedCapabilities"] == {"architecture": "x64"}
            assert made.os_disk.properties["creationData"]["createOption"] == "Empty"

    in_virtual_time(main)


def test_a_disk_in_the_zone_of_its_vm(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, zone="2") as place:
            outcome, _ = await built(place, spec(skip_cleanup=True, skip_create_image=True))
            assert isinstance(outcome, Built), outcome
            assert [kept.type for kept in outcome.artifacts] == ["Microsoft.Compute/disks"], "no snapshot was taken"
            (made,) = [one for one in place.world.all("disks") if one.name.startswith("gilder-")]
            assert made.body["zones"] == ["2"]

    in_virtual_time(main)


def test_without_an_image_nothing_is_captured(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            await with_data(place)
            before = place.left()
            wanted = spec(**from_version("2.0.0"), image_resource_id=None, skip_create_image=True)
            outcome, written = await built(place, wanted)
            assert outcome == Built("one", (), outcome.seconds, ())
            assert [path for path in written if "snapshots" in path or "datadisk" in path] == []
            assert place.left() == before

    in_virtual_time(main)
