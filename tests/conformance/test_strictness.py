"""The test of the test: a localarm that is worse than this one is found out by the recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance import absent
from tests.conformance.flows import Exchange, load, wire_folder
from tests.conformance.report import judged

from localarm import app
from localarm.routes import TABLE

WIRE = wire_folder()
FLOWS = load(WIRE / "flows") if WIRE else {}
recorded = pytest.mark.skipif(not FLOWS, reason="no recordings here: set GILDER_WIRE to a folder with `flows`")


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
        for exchange in judged(flow, tmp_path).result.replayed:
            route = absent.route(exchange)
            if route in makers:
                makers[route][name] = None
    unnoticed = []
    for route, names in makers.items():
        monkeypatch.setattr(app, "TABLE", {each: TABLE[each] for each in TABLE if each != route})
        if names and not any(judged(FLOWS[name], tmp_path).open for name in names):
            unnoticed.append(route)
    assert not unnoticed
