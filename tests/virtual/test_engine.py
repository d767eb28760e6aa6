"""The engine and the single writer with many builds, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, lognormal, placed

from gilder.build import Job, LocalWork
from gilder.engine import RunOptions, Stopping
from gilder.model.errors import HostError
from gilder.model.events import WAITING_FOR, Event, Finished, Said, Stage, Waiting
from gilder.model.gauges import Gauges
from gilder.model.outcomes import Built, Cancelled, Failed
from gilder.model.spec import BuildSpec
from gilder.runtime.locks import Turns
from gilder.runtime.release import Ledger
from gilder.slots import Slot
from localarm.faults import Fault


def test_sixteen_builds_share_few_writes(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            outcomes = await place.build([image_spec(f"image{n}") for n in range(16)])
            assert [outcome.build for outcome in outcomes] == [f"image{n}" for n in range(16)]
            assert all(isinstance(outcome, Built) for outcome in outcomes)
            assert place.writes.writes <= 4
            assert place.plugs.violations == []
            assert place.left() == []

    _, took = in_virtual_time(main)
    assert took < 40


def test_more_builds_than_luns_all_get_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.seconds = lognormal(20, seed=3)
            outcomes = await place.build([image_spec(f"image{n}") for n in range(20)])
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
            assert place.plugs.violations == []
            assert place.left() == []

    in_virtual_time(main)


def test_the_time_of_a_build_begins_with_its_first_stage(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.seconds = lambda build: 20.0
            names = [f"image{n}" for n in range(24)]
            outcomes = {
                outcome.build: outcome.seconds for outcome in await place.build([image_spec(name) for name in names])
            }
            assert anyio.current_time() > 200
            assert max(outcomes.values()) < 130
            ends = {event.build: event.seconds for event in place.events if isinstance(event, Finished)}
            assert ends == outcomes

    in_virtual_time(main)


def test_waits_are_timings_of_their_own_and_gauges_tell_what_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.seconds = lognormal(20, seed=3)
            seen: list[Gauges] = []

            def tell(event: Event) -> None:
                place.events.append(event)
                assert place.site is not None
                seen.append(place.site.gauges())

            place.tell = tell
            await place.build([image_spec(f"image{n}") for n in range(12)])
            timings = [t for t in await place.journal.timings("run1") if t.stage.startswith(WAITING_FOR)]
            told = [event for event in place.events if isinstance(event, Waiting)]
            assert {WAITING_FOR + event.what for event in told if event.what} == {t.stage for t in timings}
            assert {"waiting for a slot on the VM", "waiting for a LUN of the VM"} <= {t.stage for t in timings}
            assert len([event for event in told if event.what]) == len(timings), "every wait ends, once"
            assert all(t.seconds >= 0 for t in timings)
            assert {gauges.slots for gauges in seen} == {None, 4}
            assert max(gauges.slots_used for gauges in seen) == 4
            assert seen[-1].slots_used == 0
            left = dict(seen[-1].requests)
            assert 0 <= left["VM writes"] < 24, "those of two calls"
            assert min(dict(gauges.requests).get("images", 60) for gauges in seen) < 60

    in_virtual_time(main)


class Troubled(Place):
    """A place where the work on one image fails."""

    async def work(self, job: Job, slot: Slot, turns: Turns) -> None:
        await super().work(job, slot, turns)
        if job.spec.name == "bad":
            raise HostError("no luck")


def troubled(place: Place) -> Troubled:
    return Troubled(place.world, place.application, place.plugs, place.arm, place.journal)


class Furnished(Place):
    """A place whose workplaces take a while, and fail for one image. Notes how often the VM was changed before each."""

    takes = 0.0
    changes: tuple[int, ...] = ()

    @asynccontextmanager
    async def workplace(self, spec: BuildSpec, ledger: Ledger) -> AsyncIterator[LocalWork]:
        posts = sum(entry["path"].endswith("attachDetachDataDisks") for entry in self.application.audit)
        self.changes = (*self.changes, posts)
        await anyio.sleep(self.takes)
        if spec.name == "bad":
            raise HostError("no sandbox")
        yield self.work


def furnished(place: Place, takes: float) -> Furnished:
    found = Furnished(place.world, place.application, place.plugs, place.arm, place.journal)
    found.takes = takes
    return found


def test_a_workplace_is_made_ready_while_the_disk_is_attached(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            here = furnished(place, 0)
            (quick,) = await here.build([image_spec("one")])
            here.takes = 5
            (slow,) = await here.build([image_spec("two")])
            assert slow.seconds < quick.seconds + 1

    in_virtual_time(main)


def test_no_workplace_is_made_before_the_vm_attaches_the_disk(tmp_path: Path) -> None:
    """Made earlier, those of many builds would keep this machine from sending the request that all wait for."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            here = furnished(place, 1)
            await here.build([image_spec(f"image{n}") for n in range(8)])
            assert here.changes == (1,) * 8
            attach = "virtualmachines/attachdetachdatadisks"
            place.application.faults.add(Fault("refuse", "POST", attach, status=400, code="InvalidParameter"))
            (refused,) = await here.build([image_spec("nine")])
            assert isinstance(refused, Failed)
            assert refused.stage is Stage.ATTACH
            assert len(here.changes) == 8, "nor when it will not"

    in_virtual_time(main)


@pytest.mark.parametrize("takes", [0, 5, 15])
def test_without_a_workplace_the_disk_is_given_back_whenever_that_shows(tmp_path: Path, takes: float) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            bad = furnished(place, takes)
            outcomes = await bad.build([image_spec("first"), image_spec("bad")])
            assert [type(outcome) for outcome in outcomes] == [Built, Failed]
            assert place.left() == []
            assert place.plugs.attached() == {}
            assert await place.journal.residues() == []

    in_virtual_time(main)


def test_a_failure_is_a_value_and_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            bad = troubled(place)
            outcomes = await bad.build([image_spec("first"), image_spec("bad"), image_spec("last")])
            assert [type(outcome) for outcome in outcomes] == [Built, Failed, Built]
            assert place.left() == []
            assert await place.journal.residues() == []

    in_virtual_time(main)


def test_a_build_whose_end_cannot_be_noted_is_built_and_says_that_recovery_may_be_needed(tmp_path: Path) -> None:
    full = "CREATE TRIGGER full BEFORE UPDATE ON build BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"

    async def main() -> None:
        async with placed(tmp_path) as place:
            place.journal._database.execute(full)
            (outcome,) = await place.build([image_spec("tiny")])
            assert isinstance(outcome, Built)
            (said,) = (event.text for event in place.events if isinstance(event, Said) and "disk is full" in event.text)
            assert said.endswith("the record of this build is incomplete, and may need `gilder recover`")

    in_virtual_time(main)


def test_fail_fast_stops_the_others_and_cleans_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            bad = troubled(place)
            bad.seconds = lambda build: 1.0 if build == "bad" else 500.0
            outcomes = await bad.build([image_spec("slow"), image_spec("bad")], RunOptions(fail_fast=True))
            assert [type(outcome) for outcome in outcomes] == [Cancelled, Failed]
            assert place.left() == []
            assert place.plugs.attached() == {}

    in_virtual_time(main)


def test_a_stop_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    async def stopped(moment: float, folder: Path) -> list[Stage | None]:
        async with placed(folder) as place:
            stopping = Stopping(lambda text: None)
            async with anyio.create_task_group() as group:

                async def stop() -> None:
                    await anyio.sleep(moment)
                    stopping.signalled("SIGINT")

                group.start_soon(stop)
                outcomes = await place.build([image_spec(f"image{n}") for n in range(3)], stopping=stopping)
                group.cancel_scope.cancel()
            assert place.left() == [], f"stopped after {moment} s"
            assert place.plugs.attached() == {}
            assert place.plugs.violations == []
            assert await place.journal.residues() == []
            return [outcome.stage for outcome in outcomes if isinstance(outcome, Cancelled)]

    seen: set[Stage | None] = set()
    for step in range(30):
        folder = tmp_path / str(step)
        folder.mkdir()
        stages, _ = in_virtual_time(lambda step=step, folder=folder: stopped(step * 0.9, folder))  # type: ignore[misc]
        seen.update(stages)
    assert {Stage.ATTACH, Stage.PUBLISH} <= seen, "the moments reach from the beginning to the end"


@pytest.mark.parametrize("stale", [1, 2])
def test_a_disk_that_seems_attached_a_moment_longer_is_deleted_all_the_same(tmp_path: Path, stale: int) -> None:
    """A disk's own view follows that of the VM, with a delay (azuredisk-csi-driver waits for managedBy to be removed)."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            place.application.faults.add(Fault("stale", "GET", "disks", nth=2, times=stale))
            (outcome,) = await place.build([image_spec("one")])
            assert isinstance(outcome, Built), outcome
            assert outcome.residues == ()
            assert place.left() == []

    in_virtual_time(main)
