"""How runs end: early, halfway, and after a crash. Each of these was found by a sweep."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.sweeps.cells import Cell, examined
from tests.virtual.furnishing import disk
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, PretendedDevices, image_spec, no_turn, placed

from gilder.azure.machines import Attachment, attach_and_detach, vm_view
from gilder.azure.operations import Usual, looks
from gilder.engine import Stopping
from gilder.host.devices import BlockDevice
from gilder.model.errors import HostError
from gilder.model.ids import ArmId
from gilder.model.outcomes import Cancelled
from gilder.model.spec import Caching
from gilder.slots import SlotWriter, served
from gilder.slots.leftovers import detach_leftovers
from localarm import mischief
from localarm.faults import Fault


def test_a_run_cancelled_before_its_writer_runs_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            writer = SlotWriter(place.arm, VM, PretendedDevices(place.plugs), no_turn, place.lives)
            with anyio.CancelScope() as scope:
                scope.cancel()
                async with served(writer):
                    await anyio.sleep(1)
            assert scope.cancelled_caught

    in_virtual_time(main)  # it hung: the loop says so when nothing can happen any more


async def attached(place: Place, disks: list[ArmId]) -> None:
    at = [Attachment(disk, lun, Caching.NONE) for lun, disk in enumerate(disks)]
    operation = await attach_and_detach(place.arm, VM, at, [])
    await place.arm.finished(VM.subscription, operation, looks(Usual.CHANGE_DISKS))


def test_leftovers_are_detached_once_a_change_under_way_has_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            disks = [await disk(place, "one"), await disk(place, "two")]
            await attached(place, disks)
            await attach_and_detach(place.arm, VM, [], disks[:1])  # the process died here
            ours: dict[ArmId, dict[str, str]] = {one: {} for one in disks}
            done = await detach_leftovers(place.arm, VM, PretendedDevices(place.plugs), ours, no_turn)
            assert not done.refused
            assert not done.foreign
            assert (await vm_view(place.arm, VM)).disks == ()

    in_virtual_time(main)


def test_a_leftover_of_which_nobody_says_that_it_is_free_stays_attached(tmp_path: Path) -> None:
    class Closed(PretendedDevices):
        async def wait_free(self, device: BlockDevice, within: float) -> None:
            if device.kernel_name == "lun0":
                raise HostError("whether something uses it cannot be seen: Operation not permitted")

    async def main() -> None:
        async with placed(tmp_path) as place:
            disks = [await disk(place, "one"), await disk(place, "two")]
            await attached(place, disks)
            done = await detach_leftovers(place.arm, VM, Closed(place.plugs), {one: {} for one in disks}, no_turn)
            assert list(done.refused) == disks[:1]
            assert [entry.disk for entry in (await vm_view(place.arm, VM)).disks] == disks[:1]

    in_virtual_time(main)


def test_leftovers_are_detached_although_somebody_else_writes(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            disks = [await disk(place, "one")]
            await attached(place, disks)
            code = "ConflictingConcurrentWriteNotAllowed"
            kind = "virtualmachines/attachdetachdatadisks"
            place.application.faults.add(Fault("refuse", "POST", kind, status=409, code=code, times=2))
            ours: dict[ArmId, dict[str, str]] = {one: {} for one in disks}
            done = await detach_leftovers(place.arm, VM, PretendedDevices(place.plugs), ours, no_turn)
            assert not done.refused
            assert not done.foreign
            assert (await vm_view(place.arm, VM)).disks == ()

    in_virtual_time(main)


def test_what_one_destination_got_is_told_when_the_other_fails() -> None:
    found = examined(Cell("", ("both",), (Fault("fail", "PUT", "galleries/images/versions"),)))
    assert found.fired
    assert found.violations == ()
    assert found.failed == 1


def test_what_two_destinations_lost_is_told_of_both_when_both_fail() -> None:
    faults = Fault("fail", "PUT", "images"), Fault("fail", "PUT", "galleries/images/versions")
    found = examined(Cell("", ("both",), faults, old="disk"))
    assert found.fired
    assert found.violations == ()
    assert found.failed == 1


def test_what_one_destination_lost_is_told_when_the_build_is_cancelled_before_the_other_is_made() -> None:
    fault = Fault("fail", "PUT", "images")
    for step in range(450, 650, 25):
        found = examined(Cell("", ("both",), (fault,), cancelled=(step,), old="disk"))
        assert found.violations == (), step


def test_a_signal_when_all_is_published_leaves_a_built_image() -> None:
    for step in range(300, 400, 4):
        found = examined(Cell("", ("image",), cancelled=(step,)))
        assert found.violations == (), step


def test_an_attach_cancelled_while_the_writer_looks_for_room_harms_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            for lun in range(4):
                mischief.stranger_attaches(place.world, lun)
            place.application.faults.add(Fault("delay", "GET", "virtualmachines", nth=2, seconds=20))
            writer = SlotWriter(place.arm, VM, PretendedDevices(place.plugs), no_turn, place.lives)
            one = await disk(place, "one")
            async with served(writer):
                with anyio.move_on_after(5) as scope, writer.announced() as announcement:
                    wish = writer.attach_soon(one, Caching.NONE, announcement)
                    try:
                        await writer.settled(wish)
                    finally:
                        writer.withdraw(wish)
                assert scope.cancelled_caught
                await anyio.sleep(60)  # the writer lives: it died of having nobody left to look for

    in_virtual_time(main)


@pytest.mark.parametrize("status", [400, 403])
def test_a_disk_with_a_readwrite_cache_that_stays_attached_is_not_published(status: int) -> None:
    """Its snapshot would lack what the host's cache still holds."""
    refused = Fault("refuse", "POST", "virtualmachines/attachdetachdatadisks", nth=2, status=status)
    found = examined(Cell("", ("written back",), (refused,)))
    assert found.violations == ()
    assert found.failed == 1


def test_one_stale_look_at_the_vm_keeps_no_recovery_from_a_disk() -> None:
    """Killed while its disk was being attached: it was taken for free, the record closed, and no recovery ever removed it."""
    stale = Fault("stale", "GET", "virtualmachines")
    for step in range(70, 110, 6):
        found = examined(Cell("", ("image",), killed=step, recovering=(stale,), passing=True))
        assert found.fired, step
        assert found.violations == (), step


def test_a_disk_that_says_that_it_is_attached_is_no_free_disk(tmp_path: Path) -> None:
    """Of what skip_cleanup keeps, only the attachment is recovered: nothing else would find it again."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            one = await disk(place, "one")
            await attached(place, [one])
            view = await vm_view(place.arm, VM)
            machine = place.world.find("virtualmachines", str(VM))
            assert machine is not None
            storage = {**machine.properties["storageProfile"], "dataDisks": []}
            place.world.put(machine.with_properties(storageProfile=storage))
            told = await detach_leftovers(place.arm, VM, PretendedDevices(place.plugs), {one: {}}, no_turn)
            assert "is attached to the VM build-host, which does not list it" in told.refused[one].message
            place.world.put(machine)
            again = await detach_leftovers(place.arm, VM, PretendedDevices(place.plugs), {one: {}}, no_turn)
            assert not again.refused
            assert view.disks
            assert (await vm_view(place.arm, VM)).disks == ()

    in_virtual_time(main)


def test_a_disk_whose_detach_fails_is_not_deleted_beneath_the_vm() -> None:
    """Azure lets a disk be deleted that does not say that it is attached, and the VM is left with one that there is not."""
    faults = (Fault("cancel", "POST", "virtualmachines/attachdetachdatadisks", times=5),)
    assert examined(Cell("detach", ("image", "image", "image"), faults)).violations == ()


@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_in_a_hurry_no_disk_is_deleted_that_is_still_being_attached(tmp_path: Path, scale: float) -> None:
    async def main() -> None:
        async with placed(tmp_path, scale=scale) as place:
            stopping = Stopping(lambda text: None)
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await anyio.sleep(2.5 * scale)  # the disk is there, and the VM attaches it
                    stopping.signalled("SIGINT")
                    stopping.signalled("SIGINT")

                group.start_soon(stop)
                (outcome,) = await place.build([image_spec("img")], None, stopping)
            assert isinstance(outcome, Cancelled)
            left = {residue.what.split()[0] for residue in outcome.residues}
            await anyio.sleep(100)
            assert place.world.violations == []
            assert bool(place.left()) == bool(left)

    in_virtual_time(main)
