"""The public Python API, on the embedded cloud."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.e2e.conftest import Program, builder, shell
from tests.e2e.test_many import world

from gilder.api import (
    BuildSpec,
    Built,
    Cancelled,
    Cloud,
    Event,
    Failed,
    Outcome,
    StageStarted,
    UserError,
    connected,
    load,
    run,
)
from gilder.azure.cloud import discovered_cloud
from gilder.runtime.journal import opened

pytestmark = pytest.mark.root


async def cloud_at(addresses: dict[str, str]) -> Cloud:
    """The embedded cloud of a world."""
    return await discovered_cloud(
        addresses["metadata_host"],
        instance_metadata=addresses["metadata_url"],
        ca_file=Path(addresses["ca_file"]),
    )


async def test_specs_are_loaded_built_and_their_outcomes_read(gilder: Program) -> None:
    template = gilder.template([builder("good"), builder("bad")], [shell("test $PACKER_BUILD_NAME = good")])
    events: list[Event] = []
    with world(gilder) as addresses:
        async with connected(cloud=await cloud_at(addresses)) as vm:
            specs = load(template, vm.facts)
            outcomes = await run(specs, vm, events.append, journal=gilder.folder / "journal.sqlite")
    good, bad = outcomes
    assert isinstance(good, Built)
    assert [artifact.name for artifact in good.artifacts] == ["good-image"]
    assert isinstance(bad, Failed)
    assert bad.stage == "provisioning"
    assert {event.build for event in events if isinstance(event, StageStarted)} == {"good", "bad"}


async def test_one_connection_serves_several_runs(gilder: Program) -> None:
    """One after the other and side by side, each of them with temporary names of its own."""
    template = gilder.template([builder(name) for name in ("one", "two", "three")], [])
    journal = gilder.folder / "journal.sqlite"
    outcomes: list[Outcome] = []
    with world(gilder) as addresses:
        async with connected(cloud=await cloud_at(addresses)) as vm:
            first, second, third = load(template, vm.facts)

            async def build(spec: BuildSpec) -> None:
                outcomes.extend(await run([spec], vm, journal=journal))

            await build(first)
            async with anyio.create_task_group() as group:
                group.start_soon(build, second)
                group.start_soon(build, third)
    assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
    async with opened(journal) as book:
        assert [record.status for record in await book.runs()] == ["done"] * 3


async def test_cancelling_the_caller_cleans_up(gilder: Program) -> None:
    template = gilder.template([builder("tiny")], [shell("sleep 100")])
    with world(gilder) as addresses:
        async with connected(cloud=await cloud_at(addresses)) as vm:
            events: list[Event] = []
            with anyio.CancelScope() as scope:

                def tell(event: Event) -> None:
                    events.append(event)
                    if isinstance(event, StageStarted) and event.stage == "provisioning":
                        scope.cancel()

                await run(load(template, vm.facts), vm, tell, journal=gilder.folder / "journal.sqlite")
    assert events[-1].__class__.__name__ == "Finished"
    assert Cancelled.__name__.lower() in str(events[-1])
    async with opened(gilder.folder / "journal.sqlite") as book:
        assert [record.status for record in await book.runs()] == ["failed"], "over, and not crashed"


def test_mistakes_are_listed_with_their_lines(gilder: Program) -> None:
    with pytest.raises(UserError) as caught:
        load(gilder.template([builder("tiny", source="x", os_disk_cache_type="y")], []))
    assert caught.value.message.count(": error: ") == 2
