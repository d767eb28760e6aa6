"""Reads: Resource Manager gives one principal 25 a second, and a thousand publications must not use them up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from azure.core.rest import AsyncHttpResponse, HttpRequest
from tests.virtual import furnishing
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM, Place, image_spec, placed

from gilder.azure.galleries import VersionPlan, delete_version, publish_version
from gilder.azure.machines import vm_view
from gilder.model.outcomes import Built
from gilder.model.spec import Caching, TargetRegion
from localarm.app import Application
from localarm.door_sdk import InProcessTransport
from localarm.faults import Fault
from localarm.ticker import Ticker

READS_A_SECOND = 25
LOOKS_AT_ONE = 45
"""Looks at one operation that Azure allows at once (GetOperationResource, recorded)."""
PUBLICATIONS = 370
"""As many as may begin at once; with two regions, whose replication takes eight minutes."""


def in_a_place(folder: Path, main: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    async def placed_main() -> None:
        async with placed(folder) as place:
            await main(place)

    in_virtual_time(placed_main)


async def ready(place: Place) -> VersionPlan:
    """A definition, and a version to publish."""
    await furnishing.gallery(place)
    await furnishing.definition(place)
    source = await furnishing.disk(place, "source")
    regions = (TargetRegion(name="westeurope"), TargetRegion(name="northeurope"))
    version = furnishing.id_of("galleries/images/versions", "gallery/linux/1.0.0")
    return VersionPlan(id=version, location="westeurope", snapshot=source, regions=regions, caching=Caching.READ_ONLY)


async def published(place: Place, plan: VersionPlan, number: int) -> None:
    name = (*plan.id.names[:-1], f"1.0.{number}")
    version = replace(plan.id, names=name)
    await publish_version(place.arm, replace(plan, id=version))


def test_many_publications_leave_reads_for_others(tmp_path: Path) -> None:
    async def main(place: Place) -> None:
        plan = await ready(place)
        start = anyio.current_time()
        place.application.audit.clear()
        async with anyio.create_task_group() as group:
            for number in range(PUBLICATIONS):
                group.start_soon(published, place, plan, number)
        audit = list(place.application.audit)
        assert anyio.current_time() - start < 590, "the last is noticed in time"
        middle = [entry for entry in audit if 100 < entry["time"] - audit[0]["time"] < 400]
        assert len(middle) / 300 <= READS_A_SECOND / 2
        assert not [entry for entry in middle if entry["status"] == 429]

    in_a_place(tmp_path, main)


def test_many_builds_at_once_are_refused_no_look(tmp_path: Path) -> None:
    async def main() -> None:
        async with placed(tmp_path, 64) as place:
            place.seconds = lambda build: 0.4
            start = anyio.current_time()
            outcomes = await place.build([image_spec(f"image{number}") for number in range(64)])
            assert all(isinstance(outcome, Built) for outcome in outcomes)
            reads = [entry for entry in place.application.audit if entry["method"] == "GET"]
            assert not [entry for entry in reads if entry["status"] == 429]
            assert len(reads) / 64 < 12
            assert anyio.current_time() - start < 32

    in_virtual_time(main)


def test_a_throttled_look_is_not_repeated_before_its_time(tmp_path: Path) -> None:
    async def main(place: Place) -> None:
        plan = await ready(place)
        place.application.audit.clear()
        place.application.faults.add(Fault("throttle", "GET", "operations", nth=5, times=10))
        await published(place, plan, 0)
        refused = [entry["time"] for entry in place.application.audit if entry["status"] == 429]
        assert len(refused) == 10
        assert min(later - earlier for earlier, later in itertools.pairwise(refused)) > 5

    in_a_place(tmp_path, main)


def test_who_is_told_to_come_back_at_once_waits_a_moment(tmp_path: Path) -> None:
    """`Retry-After: 0` was taken at its word."""

    async def main() -> None:
        async with placed(tmp_path) as place:
            place.application.faults.add(Fault("throttle", "GET", "virtualmachines", seconds=0, times=50))
            start = anyio.current_time()
            await vm_view(place.arm, VM)
            assert 20 < anyio.current_time() - start < 40

    in_virtual_time(main)


@pytest.mark.parametrize("shallow", [False, True])
def test_a_version_comes_and_goes_with_few_looks_that_notice_it_soon(tmp_path: Path, shallow: bool) -> None:
    """Its deletion takes a minute and a half, and was looked at each second; a shallow one was noticed 14 s too late."""

    async def main(place: Place) -> None:
        plan = replace(await ready(place), shallow=shallow, regions=(TargetRegion(name="westeurope"),))
        kind = "version.create.disk.shallow" if shallow else "version.create.disk.1"
        for act, lasts in (
            (publish_version(place.arm, plan), place.world.lasts(kind)),
            (delete_version(place.arm, plan.id), place.world.lasts("version.delete")),
        ):
            place.application.audit.clear()
            start = anyio.current_time()
            await act
            assert anyio.current_time() - start < lasts * 1.01 + 9
            assert len(place.application.audit) < LOOKS_AT_ONE

    in_a_place(tmp_path, main)


def test_many_builds_on_a_cloud_without_latency_do_not_wait_for_usual_times(tmp_path: Path) -> None:
    """Sixty-four of them used up the looks that hope for an early end, and waited eight seconds for the VM."""

    async def main() -> None:
        async with placed(tmp_path, 64, latency="none", throttle=False) as place:
            place.seconds = lambda build: 0.4
            start = anyio.current_time()
            outcomes = await place.build([image_spec(f"image{number}") for number in range(64)])
            assert all(isinstance(outcome, Built) for outcome in outcomes)
            assert anyio.current_time() - start < 12

    in_virtual_time(main)


class Proxied(InProcessTransport):
    """The way to Azure, on which something else answers one request, whose address has `match` in it."""

    match, method, odd = "", "GET", b""
    answered = 0

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        answer = await super().send(request, **kwargs)
        if self.match in request.url.lower() and request.method == self.method and not self.answered:
            self.answered += 1
            answer._content = self.odd  # type: ignore[attr-defined] # as localarm's door makes it
            if self.odd.startswith(b"<"):
                answer.headers["Content-Type"] = "text/html"
        return answer


@pytest.mark.parametrize("odd", [b"", b"<html>Please log in</html>", b'{"status": "Succ'])
@pytest.mark.parametrize(
    ("method", "match"),
    [
        ("GET", "operations/"),
        ("GET", "/virtualmachines/"),
        ("PUT", "/disks/"),
        ("PUT", "/images/"),
        ("POST", "/attach"),
    ],
)
def test_an_answer_that_is_none_of_azures_costs_no_build(tmp_path: Path, method: str, match: str, odd: bytes) -> None:
    """Empty, half, or the page of a proxy, it ended a build, or the run with all its builds, as a mistake in gilder."""
    doors: list[Proxied] = []

    def door(application: Application, ticker: Ticker) -> Proxied:
        doors.append(Proxied(application, ticker))
        doors[0].match, doors[0].method, doors[0].odd = match, method, odd
        return doors[0]

    async def main() -> None:
        async with placed(tmp_path, transports=door) as place:
            (outcome,) = await place.build([image_spec("tiny")])
            assert isinstance(outcome, Built), outcome
            assert outcome.residues == ()
            assert place.left() == []
            assert doors[0].answered

    in_virtual_time(main)
