"""A failed build that keeps what it has: nothing more, nothing unnamed, and recovery removes or finishes it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, PretendedDevices, image_spec, no_turn, placed

from gilder.build import Attendance, Job, OnError, Story
from gilder.engine import Recovery, RunOptions, Stopping
from gilder.model.errors import HostError
from gilder.model.events import LeftBehind, Stage, StageStarted
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome
from gilder.runtime.locks import Turns
from gilder.slots import Slot
from localarm.faults import Fault

ABORT = RunOptions(attendance=Attendance(OnError.ABORT))
FAULTS = [
    Fault("fail", "PUT", "disks"),
    Fault("refuse", "PUT", "disks", status=403, code="AuthorizationFailed"),
    Fault("refuse", "POST", "virtualmachines/attachdetachdatadisks", status=403, code="AuthorizationFailed"),
    Fault("fail", "PUT", "snapshots"),
    Fault("fail", "PUT", "images"),
]


async def recover(place: Place) -> None:
    """Recover the only run, and see that nothing is left."""
    (run,) = await place.journal.runs()
    recovery = Recovery(place.arm, VM, place.journal, PretendedDevices(place.plugs), no_turn, lambda text: None)
    done = await recovery.recover(run)
    assert done.left == ()
    assert place.left() == []
    assert await place.journal.residues() == []
    assert place.plugs.violations == []


def named(place: Place, outcome: Outcome) -> set[str]:
    """The disks and snapshots that the outcome names, and that were told of."""
    told = {event.remedy for event in place.events if isinstance(event, LeftBehind)}
    assert {residue.remedy for residue in outcome.residues} == told
    return {residue.remedy.rpartition("/")[2] for residue in outcome.residues} - {"img"}


async def fails(job: Job, slot: Slot, turns: Turns) -> None:
    raise HostError("a provisioner failed")


@pytest.mark.parametrize("fault", [*FAULTS, None], ids=str)
def test_whatever_fails_all_that_stays_is_named_and_can_be_recovered(tmp_path: Path, fault: Fault | None) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            if fault is None:
                place.work = fails  # type: ignore[method-assign]  # the work is what the place pretends
            else:
                place.application.faults.add(fault)
            (outcome,) = await place.build([image_spec("img")], ABORT)
            assert isinstance(outcome, Failed), outcome
            assert set(place.left()) <= named(place, outcome), "what a refused request did not make may be named too"
            begun = {event.stage for event in place.events if isinstance(event, StageStarted)}
            assert not begun & {Stage.DETACH, Stage.CLEAN_UP}
            stays = fault is None or (fault.kind == "snapshots" and fault.what != "fail")
            assert len(place.plugs.attached()) == stays, "once the snapshot was accepted, it gives its slot back"
            kinds = {residue.what.split()[0] for residue in outcome.residues}
            assert ("attachment" in kinds) == (stays or (Stage.SNAPSHOT not in begun and Stage.ATTACH in begun))
            await recover(place)

    in_virtual_time(main)


def test_an_interrupt_keeps_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            place.seconds = lambda build: 1000.0
            stopping = Stopping(lambda text: None)
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await anyio.sleep(100)
                    stopping.signalled("SIGINT")

                group.start_soon(stop)
                (outcome,) = await place.build([image_spec("img")], ABORT, stopping)
            assert isinstance(outcome, Cancelled)
            assert len(place.left()) == 1
            await recover(place)

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("answers", "stays", "built"), [("c", False, False), ("a", True, False), ("rc", False, False), ("xr", False, True)]
)
def test_a_person_is_asked_once_and_a_step_may_be_tried_again(
    tmp_path: Path, answers: str, stays: bool, built: bool
) -> None:
    left = list(answers)
    asked: list[str] = []

    async def answer(question: str) -> str:
        asked.append(question)
        await anyio.sleep(600)
        return left.pop(0) + "\n"

    async def main() -> None:
        async with placed(tmp_path) as place:
            times = 1 if built else 5
            place.application.faults.add(Fault("fail", "PUT", "snapshots", times=times))
            options = RunOptions(attendance=Attendance(OnError.ASK, ask=answer))
            (outcome,) = await place.build([image_spec("img")], options)
            assert isinstance(outcome, Built if built else Failed), outcome
            assert left == []
            assert "failed while taking the snapshot" in asked[0]
            assert (place.left() != []) == stays
            await recover(place)

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("policy", "runs"), [("cleanup", True), ("abort", False), ("run-cleanup-provisioner", True), ("ask", True)]
)
async def test_the_error_cleanup_provisioner_runs_unless_the_build_is_aborted(policy: str, runs: bool) -> None:
    story = Story("web", lambda event: None, Attendance(OnError(policy)))

    async def fail() -> None:
        raise HostError("no")

    with pytest.raises(HostError):
        await story.step(Stage.PROVISION, fail)
    assert story.wants_last_word == runs
