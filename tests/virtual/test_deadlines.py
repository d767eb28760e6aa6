"""Deadlines of builds and stages: what fails and why, what goes on, and that nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.virtual.furnishing import definition, gallery
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import Place, image_spec, placed, version_spec

from gilder.build.hourglass import Hourglass
from gilder.engine import RunOptions
from gilder.model.deadlines import LIMITED, Deadlines, duration_told
from gilder.model.errors import DeadlineMissed
from gilder.model.events import Stage
from gilder.model.outcomes import Built, Failed
from gilder.model.spec import BuildSpec
from localarm.faults import Fault


def limited(spec: BuildSpec, **options: Any) -> BuildSpec:
    return spec.model_copy(update=options)


async def furnished(place: Place) -> None:
    await gallery(place)
    await definition(place)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"deadline": 30.0}, "the build took longer than 30s"),
        ({"deadline": 200.0, "stage_deadlines": {"publish": 120.0}}, "publishing the image took longer than 2m"),
        ({"deadline": 130.0, "stage_deadlines": {"publish": 120.0}}, "the build took longer than 2m10s"),
        ({"stage_deadlines": {"create-disk": 0.2}}, "creating the disk took longer than 0.2s"),
        ({"stage_deadlines": {"attach": 5.0}}, "attaching the disk took longer than 5s"),
        ({"stage_deadlines": {"snapshot": 0.3}}, "taking the snapshot took longer than 0.3s"),
    ],
)
def test_a_deadline_missed_fails_the_build_and_leaves_nothing(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    """The slow build fails with full clean-up, which no deadline cuts short; the other build is not concerned."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            await furnished(place)
            place.seconds = lambda build: 40.0
            failed, other = await place.build([limited(version_spec("slow", 0), **options), version_spec("other", 1)])
            assert isinstance(failed, Failed), failed
            assert failed.error == told
            assert failed.residues == ()
            assert isinstance(other, Built), other
            assert place.left() == []
            assert len(place.world.all("galleries/images/versions")) == 1
            assert place.plugs.violations == []
            assert await place.journal.residues() == []

    in_virtual_time(main)


def test_time_enough_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            generous = Deadlines(3600.0, dict.fromkeys(LIMITED.values(), 1800.0))
            (outcome,) = await place.build([image_spec("one")], RunOptions(deadlines=generous))
            assert isinstance(outcome, Built), outcome

    in_virtual_time(main)


def test_an_image_that_is_there_is_no_failure_however_long_the_clean_up_takes(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path) as place:
            place.application.faults.add(Fault("delay", "DELETE", "disks", seconds=200))
            (outcome,) = await place.build([image_spec("one")], RunOptions(deadlines=Deadlines(60.0)))
            assert isinstance(outcome, Built), outcome
            assert outcome.seconds > 200
            assert place.left() == []

    in_virtual_time(main)


def test_an_image_that_is_there_in_the_moment_of_its_deadline_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline that runs out after the last answer came, and before the build went on."""
    made = Hourglass.image_made

    def run_out(hourglass: Hourglass) -> None:
        assert hourglass._scope is not None
        hourglass._scope.cancel()
        made(hourglass)

    async def main() -> None:
        async with placed(tmp_path) as place:
            monkeypatch.setattr(Hourglass, "image_made", run_out)
            spec = image_spec("one")
            (outcome,) = await place.build([spec], RunOptions(deadlines=Deadlines(3600.0)))
            assert isinstance(outcome, Built), outcome
            assert outcome.artifacts == (spec.image_resource_id,)
            assert place.left() == []
            assert await place.journal.residues() == []

    in_virtual_time(main)


def test_waiting_for_a_place_on_the_vm_counts_for_no_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 4) as place:
            place.seconds = lambda build: 100.0
            specs = [image_spec(f"image{n}") for n in range(24)]
            outcomes = await place.build(specs, RunOptions(deadlines=Deadlines(500.0)))
            assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes

    _, took = in_virtual_time(main)
    assert took > 500


def test_a_person_may_take_any_time_to_answer() -> None:
    async def main() -> None:
        hourglass = Hourglass(Deadlines(10.0, {Stage.PROVISION: 5.0}))
        with pytest.raises(DeadlineMissed) as missed:
            await provisioned(hourglass)
        assert missed.value.message == "provisioning took longer than 5s"
        assert anyio.current_time() == pytest.approx(1007.0)

    async def provisioned(hourglass: Hourglass) -> None:
        with hourglass.running():
            await anyio.sleep(2)
            with hourglass.stage(Stage.PROVISION):
                await anyio.sleep(4)
                with hourglass.paused():
                    await anyio.sleep(1000)
                await anyio.sleep(60)

    in_virtual_time(main)


def test_the_shorter_deadline_counts() -> None:
    one, other = Deadlines(10.0, {Stage.MOUNT: 1.0}), Deadlines(None, {Stage.MOUNT: 2.0, Stage.ATTACH: 3.0})
    assert one.and_(other) == other.and_(one) == Deadlines(10.0, {Stage.MOUNT: 1.0, Stage.ATTACH: 3.0})


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0s"), (90.5, "1m30.5s"), (7200.0, "2h"), (5400.0, "1h30m")])
def test_durations_are_told_as_they_are_written(seconds: float, text: str) -> None:
    assert duration_told(seconds) == text
