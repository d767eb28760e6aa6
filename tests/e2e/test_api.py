"""The public Python API, on the embedded cloud."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.e2e.conftest import Program, builder, shell
from tests.e2e.test_many import world

from gilder.api import Built, Cancelled, Event, Failed, StageStarted, UserError, connected, load, run
from gilder.azure.cloud import discovered_cloud

pytestmark = pytest.mark.root


async def test_specs_are_loaded_built_and_their_outcomes_read(gilder: Program) -> None:
    template = gilder.template([builder("good"), builder("bad")], [shell("test $PACKER_BUILD_NAME = good")])
    events: list[Event] = []
    with world(gilder) as addresses:
        cloud = await discovered_cloud(
            addresses["metadata_host"],
            instance_metadata=addresses["metadata_url"],
            ca_file=Path(addresses["ca_file"]),
        )
        async with connected(cloud=cloud) as vm:
            specs = load(template, vm.facts)
            outcomes = await run(specs, vm, events.append, journal=gilder.folder / "journal.sqlite")
    good, bad = outcomes
    assert isinstance(good, Built)
    assert [artifact.name for artifact in good.artifacts] == ["good-image"]
    assert isinstance(bad, Failed)
    assert bad.stage == "provisioning"
    assert {event.build for event in events if isinstance(event, StageStarted)} == {"good", "bad"}


async def test_cancelling_the_caller_cleans_up(gilder: Program) -> None:
    template = gilder.template([builder("tiny")], [shell("sleep 100")])
    with world(gilder) as addresses:
        cloud = await discovered_cloud(
            addresses["metadata_host"],
            instance_metadata=addresses["metadata_url"],
            ca_file=Path(addresses["ca_file"]),
        )
        async with connected(cloud=cloud) as vm:
            events: list[Event] = []
            with anyio.CancelScope() as scope:

                def tell(event: Event) -> None:
                    events.append(event)
                    if isinstance(event, StageStarted) and event.stage == "provisioning":
                        scope.cancel()

                await run(load(template, vm.facts), vm, tell, journal=gilder.folder / "journal.sqlite")
    assert events[-1].__class__.__name__ == "Finished"
    assert Cancelled.__name__.lower() in str(events[-1])


def test_mistakes_are_listed_with_their_lines(gilder: Program) -> None:
    with pytest.raises(UserError) as caught:
        load(gilder.template([builder("tiny", source="x", os_disk_cache_type="y")], []))
    assert caught.value.message.count(": error: ") == 2
