"""The test of the test: a localarm that is worse than this one is found out by the recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance import absent, variants
from tests.conformance.accepted import reason
from tests.conformance.compare import differences
from tests.conformance.flows import Exchange, load, wire_folder
from tests.conformance.hand_made import HAND_MADE
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.replay import plain
from tests.conformance.report import judged

from localarm import app
from localarm.routes import TABLE

WIRE = wire_folder()
FLOWS = load(WIRE / "flows") if WIRE else {}
recorded = pytest.mark.skipif(not FLOWS, reason="no recordings here: set GILDER_WIRE to a folder with `flows`")
ours = pytest.mark.skipif(
    not set(variants.KNOWN) <= set(FLOWS), reason="other recordings than those that find these faults out"
)


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> list[list[Exchange]]:
    """The recordings, and what was made of them for calls that they lack."""
    assert WIRE is not None
    folder = tmp_path_factory.mktemp("flows")
    given = variants.read(WIRE / "flows")
    variants.write({made.__name__: made(given) for made in HAND_MADE}, folder)
    return [*FLOWS.values(), *load(folder).values()]


@pytest.mark.parametrize("route", TABLE, ids=" ".join)
def test_no_call_that_localarm_has_may_be_missing(route: tuple[str, str, str, str]) -> None:
    method, namespace, scope, shape = route
    base = "/subscriptions/s/resourceGroups/g" if scope == "group" else "/subscriptions/s"
    path = f"{base}/providers/{namespace}/{shape}" if namespace else f"{base}/{shape}"
    exchange = Exchange("f", "1", method, path.replace("{}", "x"), {}, None, 200, {}, None, "")
    assert not absent.not_had(exchange)


@recorded
def test_no_call_can_vanish_unnoticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any one of the calls that the recordings make, some flow is answered otherwise than Azure did."""
    makers: dict[tuple[str, str, str, str], dict[str, None]] = {route: {} for route in TABLE}
    for name, flow in FLOWS.items():
        for exchange, _ in judged(flow, tmp_path).result.answers:
            route = absent.route(exchange)
            if route in makers:
                makers[route][name] = None
    unnoticed = []
    for route, names in makers.items():
        monkeypatch.setattr(app, "TABLE", {each: TABLE[each] for each in TABLE if each != route})
        if names and not _found_out((FLOWS[name] for name in names), tmp_path):
            unnoticed.append(route)
    assert not unnoticed


@ours
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_worse_localarm_is_found_out(mutant: Mutant, flows: list[list[Exchange]], tmp_path: Path) -> None:
    with mutant.infected():
        assert _found_out(flows, tmp_path)


@ours
def test_nearly_every_value_of_an_answer_matters(tmp_path: Path) -> None:
    """A changed value is found out, but for those of which localarm has its own: the provider's types, a guest's facts."""
    changed = unnoticed = 0
    for flow in FLOWS.values():
        for exchange, answer in judged(flow, tmp_path).result.answers:
            if answer.status != exchange.status or exchange.path.endswith("/skus"):
                continue
            for worse in _each_changed(plain(answer.payload)):
                found = differences(exchange, answer.status, answer.headers, worse)
                changed += 1
                unnoticed += all(reason(each, exchange) for each in found)
    assert changed > 4000
    assert unnoticed < 0.03 * changed


def _each_changed(value: Any) -> Iterator[Any]:
    """A JSON value with one of its innermost values changed, for each of them."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from ({**value, name: worse} for worse in _each_changed(child))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from ([*value[:index], worse, *value[index + 1 :]] for worse in _each_changed(child))
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, str):
        yield value + "x"
    elif value is not None:
        yield value + 1


def _found_out(flows: Iterable[list[Exchange]], folder: Path) -> bool:
    return any(judged(flow, folder).open for flow in flows)
