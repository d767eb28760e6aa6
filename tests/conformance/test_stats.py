"""Header rules and first bodies against the statistics over all recordings; figures against the durations."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import pytest
from tests.conformance.flows import Exchange, load, seconds, wire_folder
from tests.localarm.conftest import Local
from tests.localarm.test_operations import definition, snapshot, version_body

from localarm.arm import Address
from localarm.latency import figures
from localarm.messages import Response
from localarm.routes import shape
from localarm.throttle import POLICIES

WIRE = wire_folder()
TICKS_1970 = 621355968000000000
"""1970 in the ticks of .NET, 100 ns each."""
ABSENT = "no recordings here: set GILDER_WIRE to a folder with `stats`"
pytestmark = pytest.mark.skipif(WIRE is None or not (WIRE / "stats").is_dir(), reason=ABSENT)


def stats(name: str) -> Any:
    assert WIRE is not None
    return json.loads((WIRE / "stats" / f"{name}.json").read_text())


class Watched(Local):
    """A world that notes each call and its first answer."""

    seen: list[tuple[str, Response]]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        answer = super().ask(method, path, body, **headers)
        address = Address.parse(path.removeprefix("https://management.azure.com").partition("?")[0])
        if address is not None:
            parts = shape(address.types, address.names)
            self.seen.append((f"{method} {re.sub('^locations/{}', 'loc', parts)} -> {answer.status}", answer))
        return answer


def everything(local: Local) -> list[tuple[str, Response]]:
    """One of each call."""
    watched = Watched(local.application, local.clock)
    watched.seen = []
    disk = watched.disk("d")
    watched.done(watched.ask("PATCH", disk, {"tags": {}}))
    watched.done(watched.ask("POST", f"{disk}/beginGetAccess", {"access": "Read", "durationInSeconds": 1}))
    watched.done(watched.ask("POST", f"{disk}/endGetAccess"))
    taken = snapshot(watched, "s", disk)
    watched.done(watched.ask("PATCH", taken, {"tags": {}}))
    storage = {"osDisk": {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": taken}}}
    image = f"{watched.compute}/images/i"
    image_body = {"location": "westeurope", "properties": {"storageProfile": storage, "hyperVGeneration": "V2"}}
    watched.done(watched.ask("PUT", image, image_body))
    watched.done(watched.ask("PUT", image, image_body))
    watched.done(watched.ask("PATCH", image, {"tags": {}}))
    found = definition(watched)
    gallery = found.rpartition("/images/")[0]
    version = f"{found}/versions/1.0.0"
    watched.done(watched.ask("PUT", version, version_body(image)))
    watched.done(watched.ask("PUT", version, version_body(image)))
    for each, kind in ((gallery, {}), (found, {"description": "x"})):
        watched.done(watched.ask("PUT", each, {"location": "westeurope", "properties": kind}))
    for each in (gallery, found, version):
        watched.done(watched.ask("PATCH", each, {"tags": {}}))
    attach = {"dataDisksToAttach": [{"diskId": disk}]}
    watched.done(watched.ask("POST", f"{watched.machine}/attachDetachDataDisks", attach))
    watched.done(
        watched.ask(
            "PUT", watched.machine, {"location": "westeurope", "properties": {"storageProfile": {"dataDisks": []}}}
        )
    )
    watched.done(watched.ask("PATCH", watched.machine, {"tags": {}}))
    _machine(watched)
    for each in (version, found, gallery, image, taken, disk):
        watched.done(watched.ask("DELETE", each))
    return watched.seen


def _machine(local: Local) -> None:
    machine = f"{local.compute}/virtualMachines/vm"
    image = {"publisher": "localarm", "offer": "busybox", "sku": "1", "version": "latest"}
    properties = {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}, "storageProfile": {"imageReference": image}}
    local.done(local.ask("PUT", machine, {"location": "westeurope", "properties": properties}))
    for verb in ("powerOff", "start", "deallocate"):
        local.done(local.ask("POST", f"{machine}/{verb}"))
    local.ask("POST", f"{machine}/generalize")
    local.done(local.ask("DELETE", machine))


def test_the_headers_of_each_call_are_those_of_most_recordings(local: Local) -> None:
    matrix = stats("header_matrix")
    checked = set()
    for call, answer in everything(local):
        if call not in matrix:
            continue
        counts = matrix[call]["async/location/etag presence (A,L,E)"]
        usual = max(counts, key=lambda each: counts[each])
        names = {name.lower() for name in answer.headers}
        ours = ("A" if "azure-asyncoperation" in names else "") + ("L" if "location" in names else "")
        assert ours == usual.replace("E", "").replace("none", ""), call  # the etag is newer than most recordings
        retry = {
            key.partition(" ")[0]
            for key in matrix[call]["retry-after values @year (recorders that keep it)"]
            if "@201" not in key
        }
        if retry and not call.startswith("GET"):
            assert answer.headers.get("Retry-After") in retry, call
        checked.add(call)
    assert len(checked) > 30, sorted(checked)


FIRST = {
    "disk PUT create": "PUT disks/{} -> 202",
    "disk PATCH": "PATCH disks/{} -> 202",
    "snapshot PUT create": "PUT snapshots/{} -> 202",
    "snapshot PATCH": "PATCH snapshots/{} -> 202",
    "image PUT create": "PUT images/{} -> 201",
    "image PUT update": "PUT images/{} -> 200",
    "image PATCH": "PATCH images/{} -> 200",
    "gallery PUT": "PUT galleries/{} -> 201",
    "gallery PUT (update)": "PUT galleries/{} -> 200",
    "gallery PATCH": "PATCH galleries/{} -> 200",
    "gallery image definition PUT": "PUT galleries/{}/images/{} -> 201",
    "gallery image definition PUT (update)": "PUT galleries/{}/images/{} -> 200",
    "gallery image definition PATCH": "PATCH galleries/{}/images/{} -> 200",
    "gallery image version PUT create": "PUT galleries/{}/images/{}/versions/{} -> 201",
    "gallery image version PUT update": "PUT galleries/{}/images/{}/versions/{} -> 200",
    "gallery image version PATCH": "PATCH galleries/{}/images/{}/versions/{} -> 200",
    "VM PUT create": "PUT virtualmachines/{} -> 201",
    "VM PUT detach": "PUT virtualmachines/{} -> 200",
    "VM PATCH": "PATCH virtualmachines/{} -> 200",
}


def _usual(recorded: dict[str, dict[str, int]], prefix: str, status: str) -> str:
    """The provisioning state that most first answers of that status show."""
    counts: Counter[str] = Counter()
    for name, states in recorded.items():
        for text, count in states.items():
            match = re.fullmatch(rf"{status} provisioningState=(\w+)", text)
            if name.startswith(prefix) and match:
                counts[match[1]] += count
    return counts.most_common(1)[0][0]


def test_the_first_body_of_each_call_has_the_usual_state(local: Local) -> None:
    recorded = stats("initial_bodies")
    seen = dict(reversed(everything(local)))
    for prefix, call in FIRST.items():
        usual = _usual(recorded, prefix.removesuffix(" (update)"), call.rpartition(" ")[2])
        assert seen[call].payload["properties"]["provisioningState"] == usual, call


def test_the_limits_are_the_highest_counts_ever_seen() -> None:
    highest: dict[str, int] = {}
    for entry in stats("ratelimit_policies"):
        name = entry["policy"].removeprefix("Microsoft.Compute/")
        seen = [years["max_seen"] for year, years in entry["by_year"].items() if year in ("2024", "2025")]
        highest[name] = max([highest.get(name, 0), *seen])
    checked = {each.name: each.size for policies in POLICIES.values() for each in policies if highest.get(each.name, 0)}
    assert {name: size for name, size in checked.items() if not 1 <= size - highest[name] <= 3} == {}
    assert len(checked) > 30


def test_the_figures_are_the_recorded_ones() -> None:
    samples = stats("duration_samples_since2021")
    for kind, figure in figures()["durations"].items():
        values = sorted(samples.get(figure.get("recorded"), []))
        if values:
            assert figure["n"] == len(values), kind
            assert (figure["quantiles"][0], figure["quantiles"][-1]) == (round(values[0], 3), round(values[-1], 3)), (
                kind
            )
            half = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
            assert figure["quantiles"][10] == pytest.approx(half, abs=0.01), kind


def test_round_trips_are_the_recorded_ones() -> None:
    recorded = stats("http_latency_ms")
    for call, figure in figures()["round_trips"].items():
        method, kind = call.split()
        found = recorded.get(f"{method} {kind}/{{}}") or recorded[f"{method} loc/{kind}/{{}}"]
        assert [found["n"], found["min"], found["median"]] == pytest.approx([figure[3], figure[0], figure[1]], abs=1), (
            call
        )


def begun(exchanges: Iterable[Exchange]) -> Iterator[tuple[str, float]]:
    """The calls of a flow that started an operation, with the milliseconds from its start to the call's answer."""
    answered: dict[str, tuple[str, float]] = {}
    for each in exchanges:
        made = re.search(r"[?&]t=(\d+)", each.headers.get("azure-asyncoperation", ""))
        if made and each.address is not None:
            at = (int(made[1]) - TICKS_1970) / 1e7
            answered.setdefault(each.guid, (f"{each.method} {each.address.kind}", at))
        elif isinstance(each.answer, dict) and each.guid in answered and "startTime" in each.answer:
            call, at = answered.pop(each.guid)
            yield call, 1000 * (at - seconds(each.answer["startTime"]))


def test_operations_begin_as_long_before_the_answer_as_recorded() -> None:
    """Of the recordings that the figures are of: other ones were made in another place, over another line."""
    assert WIRE is not None
    begins = figures()["begins_before_answer"]
    figure = {call: before for call, before in begins.items() if call not in ("source", "recorded")}
    found: dict[str, list[float]] = {call: [] for call in figure}
    for exchanges in load(WIRE / "flows").values():
        for call, before in begun(exchanges):
            found[call if call in figure else "other"].append(before)
    if {call: len(values) for call, values in found.items()} != begins["recorded"]:
        pytest.skip("other recordings than those that the figures are of")
    assert {call: median(values) for call, values in found.items()} == pytest.approx(figure, abs=10)
