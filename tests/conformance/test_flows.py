"""Every recorded exchange with Azure replayed against localarm; each difference must be accepted with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.accepted import SINCE, reason
from tests.conformance.compare import ABSENT, IDS, Difference, differences
from tests.conformance.flows import Exchange, load, wire_folder
from tests.conformance.report import judged
from tests.localarm.conftest import Local

from localarm.messages import Request

WIRE = wire_folder()
DROPPED = dict.fromkeys(IDS, "00000000-0000-4000-8000-000000000000")
"""Headers that most recorders drop."""
WRONG = (("Succeeded", "Failed"), (31, 17), (ABSENT, "x"), ("x", ABSENT), ("x", None))
NONE_HERE = "no recordings here: set GILDER_WIRE to a folder with `flows`"
FLOWS = load(WIRE / "flows") if WIRE else {}


@pytest.mark.parametrize("name", sorted(FLOWS) or [pytest.param("", marks=pytest.mark.skip(reason=NONE_HERE))])
def test_a_flow_is_answered_as_azure_did(name: str, tmp_path: Path) -> None:
    verdict = judged(FLOWS[name], tmp_path)
    assert not verdict.open, "\n" + "\n".join(map(str, verdict.open))
    result = verdict.result
    assert result.compared + result.given + len(result.skipped) == len(FLOWS[name])


@pytest.mark.skipif(not FLOWS, reason=NONE_HERE)
def test_the_recordings_are_really_compared(tmp_path: Path) -> None:
    """A check of the check: an answer that is changed in any place is found out."""
    found: list[Exchange] = [each for flow in FLOWS.values() for each in flow if isinstance(each.answer, dict)]
    assert found
    for exchange in found:
        exchange = replace(exchange, headers={**DROPPED, **exchange.headers})
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


@pytest.mark.skipif(not FLOWS, reason=NONE_HERE)
def test_no_rule_accepts_what_matters() -> None:
    """Of no exchange: not a state, an id, a size, a poll address or a header that clients go by."""
    places = (
        ".properties.provisioningState", ".properties.output.properties.provisioningState", ".properties.diskState",
        ".status", ".id", ".name", ".location", ".error.code", ".properties.diskSizeGB", ".properties.diskSizeBytes",
        ".properties.supportedCapabilities.architecture", ".properties.hyperVGeneration", ".properties.osType",
        ".properties.storageProfile.osDiskImage.sizeInGB", ".properties.storageProfile.osDiskImage.hostCaching",
        ".properties.storageProfile.dataDiskImages[0].lun", ".properties.storageProfile.dataDiskImages",
        ".properties.storageProfile.dataDisks", ".properties.output.accessSAS", "header etag", "header retry-after",
        "header location", "header azure-asyncoperation host", "header azure-asyncoperation path",
        "header azure-asyncoperation api-version", "header azure-asyncoperation c", "header x-ms-request-id",
        "header x-ms-failure-cause", "header content-type",
    )  # fmt: skip
    for exchange in (each for flow in FLOWS.values() for each in flow):
        for where in places:
            for azure, ours in WRONG:
                difference = Difference(exchange.flow, exchange.file, where, azure, ours)
                why = reason(difference, exchange)
                assert why is None or _known(difference, exchange), (difference, why)


def _known(difference: Difference, exchange: Exchange) -> bool:
    """Whether it is one of the few that are accepted of some exchanges, where Azure's catalogue or an old form decides."""
    name = difference.where.rpartition(".")[2]
    old_form = isinstance(exchange.answer, dict) and "isArmResource" in exchange.answer.get("properties", {})
    return (
        (name == "dataDiskImages" and "/publishers/" in exchange.path)
        or (difference.azure == ABSENT and exchange.version < SINCE.get(name, ""))
        or (difference.where in (".id", ".name") and old_form)
    )


@pytest.mark.skipif(WIRE is None or not (WIRE / "flows" / "imds").is_dir(), reason=NONE_HERE)
def test_metadata_has_what_a_real_machine_shows(local: Local) -> None:
    assert WIRE is not None
    recorded: Any = json.loads((WIRE / "flows" / "imds" / "walinuxagent-valid.json").read_text())
    request = Request("GET", "/metadata/instance", {"api-version": "2018-02-01"}, {"metadata": "true"})
    ours: Any = local.application.handle(request).payload
    assert not set(recorded["compute"]) - set(ours["compute"])
    assert {type(value) for name, value in ours["compute"].items() if name in recorded["compute"]} == {str}
    assert set(recorded["network"]["interface"][0]) <= set(ours["network"]["interface"][0])
