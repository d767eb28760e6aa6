"""Every recorded exchange with Azure replayed against localarm; each difference must be accepted with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.accepted import RULES
from tests.conformance.compare import Difference, differences
from tests.conformance.flows import Exchange, load, wire_folder
from tests.conformance.report import judged
from tests.localarm.conftest import Local

from localarm.messages import Request

WIRE = wire_folder()
ABSENT = "no recordings here: set GILDER_WIRE to a folder with `flows`"
FLOWS = load(WIRE / "flows") if WIRE else {}


@pytest.mark.parametrize("name", sorted(FLOWS) or [pytest.param("", marks=pytest.mark.skip(reason=ABSENT))])
def test_a_flow_is_answered_as_azure_did(name: str, tmp_path: Path) -> None:
    verdict = judged(FLOWS[name], tmp_path)
    assert not verdict.open, "\n" + "\n".join(map(str, verdict.open))
    result = verdict.result
    assert result.compared + result.given + len(result.skipped) == len(FLOWS[name])


@pytest.mark.skipif(not FLOWS, reason=ABSENT)
def test_the_recordings_are_really_compared(tmp_path: Path) -> None:
    """A check of the check: an answer that is changed in any place is found out."""
    found: list[Exchange] = [each for flow in FLOWS.values() for each in flow if isinstance(each.answer, dict)]
    assert found
    for exchange in found:
        same = list(differences(exchange, exchange.status, exchange.headers, exchange.answer))
        assert not same, same
        assert list(differences(exchange, 418, exchange.headers, exchange.answer))
        broken = {**exchange.answer, "surprise": 1}
        assert [each.where for each in differences(exchange, exchange.status, exchange.headers, broken)] == [
            ".surprise"
        ]
        for member, value in exchange.answer.items():
            if isinstance(value, str):
                assert list(differences(exchange, exchange.status, exchange.headers, {**exchange.answer, member: 7}))


def test_no_rule_accepts_a_wrong_state() -> None:
    exchange = Exchange("f", "1", "GET", "/x", {"api-version": "2024-07-01"}, None, 200, {}, {}, "")
    for where in (
        ".properties.provisioningState",
        ".properties.diskState",
        ".status",
        "header etag",
        "header retry-after",
    ):
        difference = Difference("f", "1", where, "Succeeded", "Failed")
        assert not [rule for rule in RULES if rule.accepts(difference, exchange)], where


@pytest.mark.skipif(WIRE is None or not (WIRE / "flows" / "imds").is_dir(), reason=ABSENT)
def test_metadata_has_what_a_real_machine_shows(local: Local) -> None:
    assert WIRE is not None
    recorded: Any = json.loads((WIRE / "flows" / "imds" / "walinuxagent-valid.json").read_text())
    request = Request("GET", "/metadata/instance", {"api-version": "2018-02-01"}, {"metadata": "true"})
    ours: Any = local.application.handle(request).payload
    assert not set(recorded["compute"]) - set(ours["compute"])
    assert {type(value) for name, value in ours["compute"].items() if name in recorded["compute"]} == {str}
    assert set(recorded["network"]["interface"][0]) <= set(ours["network"]["interface"][0])
