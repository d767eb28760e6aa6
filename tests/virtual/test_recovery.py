"""Recovery of images whose publication a crash interrupted, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from tests.virtual.furnishing import REGION, definition, disk, gallery, id_of
from tests.virtual.loop import ageing, in_virtual_time
from tests.virtual.place import GROUP, VM, Place, Plugs, PretendedDevices, image_spec, no_turn, placed

from gilder.azure.galleries import VersionPlan, publish_version, version_made
from gilder.azure.labels import read_labelled, relabel
from gilder.azure.machines import Attachment, vm_view
from gilder.azure.operations import Operation, Usual, looks
from gilder.azure.snapshots import SnapshotPlan, snapshot_state, take_snapshot
from gilder.build.leases import KEPT, LEASE, TERM, lease_until
from gilder.build.products import plan_from, plan_text
from gilder.engine import Collector, Here, Recovered, Recovery
from gilder.host.devices import BlockDevice
from gilder.model.errors import DeviceMissing
from gilder.model.ids import ArmId
from gilder.model.provisioners import Manifest
from gilder.model.spec import Caching, TargetRegion
from gilder.model.tags import CREATED, HOST, of_build
from gilder.slots.calls import DiskCalls
from localarm.door_sdk import virtual_clock
from localarm.faults import Fault
from localarm.settings import SUBSCRIPTION

VERSION = id_of("galleries/images/versions", "gallery/linux/1.0.0")
SNAPSHOT = id_of("snapshots", "ours")
VERSIONS = "galleries/images/versions"


def plan(snapshot: ArmId = SNAPSHOT) -> VersionPlan:
    regions = (TargetRegion(name=REGION),)
    return VersionPlan(id=VERSION, location=REGION, snapshot=snapshot, regions=regions, caching=Caching.NONE)


@dataclass
class Crashed:
    """A place where a run died while it published; what it held is in the journal."""

    place: Place
    devices: Callable[[Plugs], PretendedDevices] = PretendedDevices
    said: list[str] = field(default_factory=list)

    async def snapshot(self, snapshot: ArmId = SNAPSHOT, tags: dict[str, str] | None = None) -> None:
        source = await disk(self.place, f"source-of-{snapshot.name}")
        tags = tags or of_build("dead", "tiny")
        await take_snapshot(self.place.arm, SnapshotPlan(id=snapshot, disk=source, location=REGION, tags=tags))

    async def begun(self, of: VersionPlan, *, noted: bool = True) -> None:
        """Begin to publish, and die as soon as the operation is written down (if at all)."""
        with anyio.CancelScope() as scope:

            async def die(operation: Operation) -> None:
                if noted:
                    doing, token = operation.doing, operation.token()
                    await self.place.journal.operation_started("dead", "tiny", str(of.id), doing, token)
                scope.cancel()

            await publish_version(self.place.arm, of, begun=die)

    async def recovered(self) -> Recovered:
        """Recover, and see that a second time finds nothing to do."""
        journal = self.place.journal
        devices = self.devices(self.place.plugs)
        recovery = Recovery(self.place.arm, VM, journal, devices, no_turn, self.said.append)
        (run,) = await journal.runs()
        return await recovery.recover(run)

    async def puts(self) -> int:
        """How often a version was asked for."""
        audit = self.place.application.audit
        return sum(entry["method"] == "PUT" and "/versions/" in str(entry["path"]).lower() for entry in audit)


def crashed(folder: Path, test: Callable[[Crashed], Awaitable[None]], noted: VersionPlan | None = None) -> float:
    """Run a test in a place where a run has just died; returns the virtual seconds it took."""

    async def main() -> None:
        async with placed(folder) as place:
            await gallery(place)
            await definition(place)
            await place.journal.run_started("dead", str(VM), "")
            await place.journal.build_started("dead", "tiny")
            journal, text = place.journal, plan_text(noted or plan())
            await journal.intend("dead", "tiny", "snapshot", SNAPSHOT.name, str(SNAPSHOT), "az snapshot delete")
            await journal.intend("dead", "tiny", "image version", "1.0.0", str(VERSION), "az delete", text)
            await test(Crashed(place))

    return in_virtual_time(main)[1]


async def ends_published(dead: Crashed, *, puts: int) -> None:
    told = await dead.recovered()
    assert (told.published, told.left) == ((str(VERSION),), ())
    made = await version_made(dead.place.arm, VERSION)
    assert made is not None
    assert made.state == "Succeeded"
    assert made.of(SNAPSHOT)
    assert await dead.puts() == puts
    await ends_clean(dead)


async def ends_clean(dead: Crashed) -> None:
    assert await snapshot_state(dead.place.arm, SNAPSHOT) == ""
    assert await dead.place.journal.residues() == []
    assert await dead.place.journal.operations() == []
    assert (await dead.place.journal.runs())[0].status == "recovered"


@pytest.mark.parametrize("noted", [True, False])
def test_a_replication_under_way_is_followed_and_not_repeated(tmp_path: Path, noted: bool) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await dead.begun(plan(), noted=noted)
        await ends_published(dead, puts=1)

    assert crashed(tmp_path, test) < 480, "a replication takes 430 s"


def at(path: str) -> str:
    return Operation("publishing", f"https://management.azure.com/{path}").token()


CAPS = f"subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/{REGION}/capsOperations"
GONE = f"{CAPS}/gone?api-version=2024-03-03"


NO_ADDRESS = Operation("publishing", "https://[").token()


@pytest.mark.parametrize("token", ["nonsense", at(GONE), at("nothing/ever/answers/here"), NO_ADDRESS])
def test_an_operation_that_cannot_be_followed_is_no_obstacle(tmp_path: Path, token: str) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await dead.begun(plan(), noted=False)
        await dead.place.journal.operation_started("dead", "tiny", str(VERSION), "publishing", token)
        await ends_published(dead, puts=1)

    crashed(tmp_path, test)


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "management.azure.com.elsewhere.example", "notmanagement.azure.com"]
)
def test_no_token_goes_where_a_journal_that_was_tampered_with_says(tmp_path: Path, host: str) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await dead.begun(plan(), noted=False)
        token = Operation("publishing", f"https://{host}/take-my-token").token()
        await dead.place.journal.operation_started("dead", "tiny", str(VERSION), "publishing", token)
        await ends_published(dead, puts=1)
        assert "take-my-token" not in str(dead.place.application.audit)

    crashed(tmp_path, test)


def test_what_was_only_intended_is_published_from_its_snapshot(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await ends_published(dead, puts=1)

    crashed(tmp_path, test)


@pytest.mark.parametrize(("beside", "status"), [(None, "built"), (id_of("images", "never-noted"), "failed")])
def test_one_of_two_products_is_not_the_build(tmp_path: Path, beside: ArmId | None, status: str) -> None:
    """Killed between the notes of an image and of a version, the build was taken for built when one was finished."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await ends_published(dead, puts=1)
        (build,) = await dead.place.journal.builds("dead")
        assert (build.status, build.artifacts) == (status, (str(VERSION),))

    crashed(tmp_path, test, replace(plan(), beside=beside))


def test_a_build_whose_post_processors_did_not_run_is_not_built(tmp_path: Path) -> None:
    """`gilder show` said so, and the manifest lacked it. A signal at that moment leaves a build that was cancelled."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await ends_published(dead, puts=1)
        (build,) = await dead.place.journal.builds("dead")
        assert (build.status, build.artifacts) == ("failed", (str(VERSION),))
        assert "post-processors" in build.error
        assert "the journal could not be written" in build.error, "a full disk ends the record as a kill does"

    crashed(tmp_path, test, replace(plan(), followed=True))


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("beside", [False, True])
def test_why_a_build_had_failed_is_not_forgotten(tmp_path: Path, status: str, beside: bool) -> None:
    """Its image could not be removed; after recovery it had failed because gilder was killed."""

    async def test(dead: Crashed) -> None:
        if beside:
            await dead.snapshot()
        why = "the quota of images is used up"
        await dead.place.journal.build_finished("dead", "tiny", status, "publishing", why, [])
        await dead.recovered()
        (build,) = await dead.place.journal.builds("dead")
        assert (build.status, build.stage, build.error) == (status, "publishing", why)
        assert build.artifacts == ((str(VERSION),) if beside else ())

    crashed(tmp_path, test, replace(plan(), beside=id_of("images", "never-made") if beside else None))


def test_the_journal_knows_that_post_processors_follow(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            manifest = ((Manifest(output=str(tmp_path / "manifest.json")),),)
            await place.build([image_spec("with", post_processors=manifest), image_spec("without")])
            products = await place.journal.products("run1")
            assert {name: plan_from(one.data).followed for name, (one,) in products.items()} == {
                "with": True,
                "without": False,
            }

    in_virtual_time(main)


def test_a_replication_that_failed_is_repeated(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        dead.place.application.faults.add(Fault("fail", "PUT", VERSIONS))
        await dead.begun(plan())
        await ends_published(dead, puts=2)

    crashed(tmp_path, test)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("kind", ["snapshots", VERSIONS])
def test_stale_looks_cost_no_image(tmp_path: Path, kind: str, times: int) -> None:
    """One look that showed no snapshot yet ended in its deletion, and the image was lost."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        dead.place.application.faults.add(Fault("stale", "GET", kind, times=times))
        await ends_published(dead, puts=1)

    crashed(tmp_path, test)


def test_without_its_snapshot_nothing_stays(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        told = await dead.recovered()
        assert (told.published, told.left) == ((), ())
        assert await version_made(dead.place.arm, VERSION) is None
        await ends_clean(dead)

    crashed(tmp_path, test)


def test_what_somebody_else_made_meanwhile_is_neither_counted_nor_touched(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        theirs = id_of("snapshots", "theirs")
        await dead.snapshot()
        await dead.snapshot(theirs)
        dead.place.application.faults.add(Fault("fail", "PUT", VERSIONS))
        await dead.begun(plan(theirs), noted=False)
        told = await dead.recovered()
        assert (told.published, told.left) == ((), ())
        made = await version_made(dead.place.arm, VERSION)
        assert made is not None
        assert (made.state, made.of(theirs)) == ("Failed", True)
        await ends_clean(dead)
        (build,) = await dead.place.journal.builds("dead")
        assert build.status == "failed"

    crashed(tmp_path, test)


@pytest.mark.parametrize("record", ["", "{}", plan_text(plan()).replace('"None"', '"Fancy"')])
def test_what_the_record_does_not_say_keeps_its_snapshot(tmp_path: Path, record: str) -> None:
    """The snapshot of a replication under way was deleted when another version of gilder had noted it."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await dead.begun(plan())
        dead.place.journal._database.execute("UPDATE residue SET data = ? WHERE kind = 'image version'", (record,))
        told = await dead.recovered()
        assert (told.published, told.removed) == ((), ())
        version, snapshot = sorted(told.left)
        assert version.startswith("image version 1.0.0: its record cannot be read: another version of gilder wrote it")
        assert len(version.splitlines()) == 1
        assert snapshot.startswith("snapshot ours: an image is still to be made of it")
        assert await snapshot_state(dead.place.arm, SNAPSHOT) == "Succeeded"

    crashed(tmp_path, test)


@pytest.mark.parametrize("status", [400, 404])
def test_what_the_cloud_will_never_publish_is_given_up(tmp_path: Path, status: int) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        dead.place.application.faults.add(Fault("refuse", "PUT", VERSIONS, times=99, status=status, code="BadRequest"))
        told = await dead.recovered()
        assert (told.published, told.removed, told.left) == ((), ("snapshot ours",), ())
        await ends_clean(dead)

    crashed(tmp_path, test)


def test_what_is_in_a_subscription_that_is_not_found_is_not_gone(tmp_path: Path) -> None:
    """A login of another tenant, a subscription that is disabled for a day: the version was given up, and of the snapshot it
    was said that it is removed."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await held(dead.place)
        faults = dead.place.application.faults
        for kind in (VERSIONS, "snapshots", "disks"):
            faults.add(Fault("refuse", "", kind, times=9999, status=404, code="SubscriptionNotFound"))
        told = await dead.recovered()
        assert (told.published, told.removed, len(told.left)) == ((), (), 4)
        faults.clear()
        await ends_published(dead, puts=await dead.puts() + 1)

    crashed(tmp_path, test)


def test_a_record_that_names_nothing_keeps_nothing_else(tmp_path: Path) -> None:
    """It ended the recovery of all runs with a traceback."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await dead.place.journal.intend("dead", "tiny", "disk", "d", "tampered with", "az disk delete")
        told = await dead.recovered()
        assert told.published == (str(VERSION),)
        assert "snapshot ours" in told.removed
        (left,) = told.left
        assert left.startswith("disk d: its record cannot be read: 'tampered with' is not a resource id")

    crashed(tmp_path, test)


@pytest.mark.parametrize(("status", "code"), [(503, "ServerBusy"), (403, "AuthorizationFailed"), (409, "Conflict")])
def test_what_may_succeed_later_keeps_its_snapshot_until_then(tmp_path: Path, status: int, code: str) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        faults = dead.place.application.faults
        faults.add(Fault("refuse", "PUT", VERSIONS, times=9999, status=status, code=code))
        told = await dead.recovered()
        assert len(told.left) == 2, "the version and its snapshot"
        assert await snapshot_state(dead.place.arm, SNAPSHOT) == "Succeeded"
        faults.clear()
        before = await dead.puts()
        await ends_published(dead, puts=before + 1)

    crashed(tmp_path, test)


def test_a_snapshot_that_is_published_late_is_nobodys_garbage(tmp_path: Path) -> None:
    """Its lease had run out, and while recovery published from it, another VM collected it."""

    async def test(dead: Crashed) -> None:
        tags = of_build("dead", "tiny") | {
            HOST: str(VM),
            CREATED: "then",
            LEASE: lease_until(dead.place.arm.clock.now()),
        }
        await dead.snapshot(tags=tags)
        await anyio.sleep(TERM + 3600)

        async def elsewhere() -> None:
            await anyio.sleep(60)
            here = Here(id_of("virtualMachines", "other-host"), lambda run: "")
            collector = Collector(dead.place.arm, here, PretendedDevices(dead.place.plugs), no_turn)
            (found,) = await collector.found(SUBSCRIPTION, [GROUP])
            assert not found.garbage, found.why

        async with anyio.create_task_group() as group:
            group.start_soon(elsewhere)
            await ends_published(dead, puts=1)

    with ageing(virtual_clock()):
        crashed(tmp_path, test)


def test_what_shall_stay_for_ever_keeps_its_lease(tmp_path: Path) -> None:
    """With skip_cleanup: its snapshot is not among what the run holds, and the image is made of it all the same."""

    async def test(dead: Crashed) -> None:
        await dead.snapshot(tags=of_build("dead", "tiny") | {LEASE: KEPT})
        dead.place.journal._database.execute("UPDATE residue SET state = 'released' WHERE kind = 'snapshot'")
        assert (await dead.recovered()).published == (str(VERSION),)
        found = await read_labelled(dead.place.arm, SNAPSHOT)
        assert found is not None
        assert found.tags[LEASE] == KEPT

    crashed(tmp_path, test)


def test_what_the_cloud_never_ends_is_left_to_another_recovery(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        lasts = dead.place.world.lasts
        dead.place.world.lasts = lambda kind: 40 * 3600.0 if kind.startswith("version") else lasts(kind)
        await dead.begun(plan())
        begin = anyio.current_time()
        told = await dead.recovered()
        assert anyio.current_time() - begin < 7 * 3600
        assert len(told.left) == 2, "the version and its snapshot"
        assert "the cloud still works on 1.0.0" in "".join(told.left)
        assert await snapshot_state(dead.place.arm, SNAPSHOT) == "Succeeded"

    with ageing(virtual_clock()):
        crashed(tmp_path, test)


HELD = id_of("disks", "held")


async def held(place: Place, name: str = HELD.name) -> int:
    """A disk that the dead run has attached, and its LUN."""
    made = await disk(place, name)
    await relabel(place.arm, made, of_build("dead", "tiny"))
    await place.journal.intend("dead", "tiny", "attachment", name, str(made), "az vm disk detach")
    await place.journal.intend("dead", "tiny", "disk", name, str(made), "az disk delete")
    view = await vm_view(place.arm, VM)
    lun = min(set(range(8)) - view.luns)
    operation = await DiskCalls(place.arm, VM).send_in_time(view, [Attachment(made, lun, Caching.NONE)], [])
    await place.arm.finished(VM.subscription, operation, looks(Usual.CHANGE_DISKS))
    return lun


def test_only_what_was_there_counts_as_removed(tmp_path: Path) -> None:
    """Of a run killed before it had asked for anything, disk, attachment, snapshot and image were said to be removed."""

    async def test(dead: Crashed) -> None:
        place = dead.place
        await held(place)
        for kind in ("attachment", "disk", "snapshot"):
            of = id_of("snapshots" if kind == "snapshot" else "disks", "never")
            await place.journal.intend("dead", "tiny", kind, "never", str(of), "az delete")
        told = await dead.recovered()
        assert (told.published, sorted(told.removed), told.left) == ((), ["attachment held", "disk held"], ())
        never = ["attachment never", "disk never", "snapshot never", "snapshot ours", "image version 1.0.0"]
        said = [f"tiny: there is no {thing}, so nothing of it is removed" for thing in never]
        assert sorted(line for line in dead.said if "there is no" in line) == sorted(said)
        await ends_clean(dead)

    crashed(tmp_path, test)


def test_a_version_that_failed_counts_as_removed(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        dead.place.application.faults.add(Fault("fail", "PUT", VERSIONS, times=99, code="Boom"))
        told = await dead.recovered()
        assert (sorted(told.removed), told.left) == (["image version 1.0.0", "snapshot ours"], ())
        await ends_clean(dead)

    crashed(tmp_path, test)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("version.create", {"image version 1.0.0", "snapshot ours"}),
        ("vm.attachdetach", {"attachment held", "disk held"}),
        ("disk.delete", {"disk held"}),
        ("snapshot.delete", {"snapshot ours"}),
    ],
)
def test_what_recovery_begins_and_the_cloud_never_ends_is_left_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: set[str]
) -> None:
    """It was waited for without end, at night by a timer that then never ran again."""
    monkeypatch.setattr("gilder.engine.patience.PATIENCE", 1800.0)  # six hours of looks at a deletion take a while

    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        await held(dead.place)
        lasts = dead.place.world.lasts
        dead.place.world.lasts = lambda what: 8 * 3600.0 if what.startswith(kind) else lasts(what)
        begin = anyio.current_time()
        told = await dead.recovered()
        assert anyio.current_time() - begin < 2 * 3600
        assert {one.partition(":")[0] for one in told.left} == left
        await anyio.sleep(8 * 3600)
        dead.place.world.lasts = lasts
        assert (await dead.recovered()).left == ()
        await ends_clean(dead)

    with ageing(virtual_clock()):
        crashed(tmp_path, test)


def test_disks_in_use_are_waited_for_at_once(tmp_path: Path) -> None:
    """One after another, with the turn of the VM held: no other gilder could attach or detach for half an hour."""

    async def test(dead: Crashed) -> None:
        dead.place.plugs.mounted |= {await held(dead.place, f"held{number}") for number in range(5)}
        begin = anyio.current_time()
        told = await dead.recovered()
        assert anyio.current_time() - begin < 60
        assert len(told.left) == 10, "five disks and five attachments"
        assert dead.place.plugs.violations == []

    crashed(tmp_path, test)


class Unnamed(PretendedDevices):
    """Devices without a file in /dev, as a container may have them."""

    def device(self, lun: int) -> BlockDevice | None:
        if super().device(lun) is not None:
            raise DeviceMissing(f"/dev/lun{lun} is not there")
        return None


class Partly(PretendedDevices):
    """Devices with a partition that has no file yet."""

    async def give_up(self, device: BlockDevice) -> None:
        raise DeviceMissing("partition 15 has no device file yet")


class Hanging(PretendedDevices):
    """Devices that LVM waits for, for ever."""

    async def give_up(self, device: BlockDevice) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize("devices", [Unnamed, Partly, Hanging])
def test_a_disk_that_cannot_be_looked_at_is_not_taken_for_free(
    tmp_path: Path, devices: Callable[[Plugs], PretendedDevices]
) -> None:
    """It was torn away under its mount. Nor is it waited for without end, with the turn of the VM held."""

    async def test(dead: Crashed) -> None:
        dead.place.plugs.mounted |= {await held(dead.place)}
        dead.devices = devices
        begin = anyio.current_time()
        told = await dead.recovered()
        assert anyio.current_time() - begin < 120
        assert {one.partition(":")[0] for one in told.left} == {"attachment held", "disk held"}
        assert dead.place.plugs.violations == []

    crashed(tmp_path, test)


def test_who_is_waited_for_is_told_while_it_lasts(tmp_path: Path) -> None:
    """Half a minute passed without a word, and then the remedy was the command that had just failed."""

    async def test(dead: Crashed) -> None:
        place, told = dead.place, list[tuple[float, str]]()
        place.plugs.mounted.add(await held(place))
        begin = anyio.current_time()

        def say(text: str) -> None:
            told.append((anyio.current_time() - begin, text))

        recovery = Recovery(place.arm, VM, place.journal, PretendedDevices(place.plugs), no_turn, say)
        done = await recovery.recover((await place.journal.runs())[0])
        ((at, _),) = [each for each in told if "is still in use: waiting for it for up to 30 s" in each[1]]
        assert at < 15
        assert "is still in use (let go of it first); remove it with: " in done.left[0]

    crashed(tmp_path, test)


def test_a_recovery_that_is_stopped_says_what_it_has_done(tmp_path: Path) -> None:
    """What was removed already went unreported."""

    async def test(dead: Crashed) -> None:
        place, told = dead.place, list[str]()
        await dead.snapshot()
        await dead.begun(plan())
        extra = await disk(place, "extra")
        await relabel(place.arm, extra, of_build("dead", "tiny"))
        await place.journal.intend("dead", "tiny", "disk", extra.name, str(extra), "az disk delete")
        recovery = Recovery(place.arm, VM, place.journal, PretendedDevices(place.plugs), no_turn, told.append)
        with anyio.move_on_after(200):  # the replication takes longer
            await recovery.recover((await place.journal.runs())[0])
        assert "run dead: removed disk extra" in told
        assert not [line for line in told if "published" in line]
        await ends_published(dead, puts=1)

    crashed(tmp_path, test)


def test_a_recovery_that_is_killed_itself_leaves_the_operation_to_the_next(tmp_path: Path) -> None:
    async def test(dead: Crashed) -> None:
        await dead.snapshot()
        with anyio.move_on_after(60):
            await dead.recovered()
        assert [one.resource for one in await dead.place.journal.operations()] == [str(VERSION)]
        await ends_published(dead, puts=1)

    crashed(tmp_path, test)
