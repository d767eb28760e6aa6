"""Any folder of recordings can be replayed: odd ones are made of the given ones, and answered as Azure would have."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance import variants
from tests.conformance.flows import load, wire_folder
from tests.conformance.hand_made import HAND_MADE
from tests.conformance.report import judged
from tests.conformance.variants import Flow, Flows

WIRE = wire_folder()
FLOWS: Flows = variants.read(WIRE / "flows") if WIRE else {}
pytestmark = pytest.mark.skipif(not FLOWS, reason="no recordings here: set GILDER_WIRE to a folder with `flows`")
AT_MOST = 5
"""Cuts of one kind of each flow: spread over it, the first and the last among them."""


def holds(flows: Flows, folder: Path) -> None:
    """Each flow, written and read again, is answered as it says."""
    variants.write(flows, folder / "flows")
    found = {name: judged(flow, folder / name) for name, flow in load(folder / "flows").items()}
    still_open = [each for verdict in found.values() for each in verdict.open]
    assert not still_open, "\n" + "\n".join(map(str, still_open))
    assert sum(verdict.result.compared + verdict.result.given for verdict in found.values())


@pytest.mark.parametrize(
    "made",
    [
        variants.in_another_subscription, variants.renamed, variants.in_other_regions, variants.in_a_new_region,
        variants.absolute, variants.as_text, variants.without_limits, variants.shouting_groups, variants.without_polls,
    ],
    ids=lambda made: made.__name__,
)  # fmt: skip
def test_the_same_told_otherwise(made: Callable[[Flow], Flow], tmp_path: Path) -> None:
    holds({name: made(flow) for name, flow in FLOWS.items()}, tmp_path)


@pytest.mark.parametrize(
    "cut",
    [variants.heads_dropped, variants.tails_dropped, variants.alone, variants.without_a_read],
    ids=lambda cut: cut.__name__,
)
def test_the_same_cut_elsewhere(cut: Callable[[Flow], Iterator[Flow]], tmp_path: Path) -> None:
    cuts = {}
    for name, flow in FLOWS.items():
        found = list(cut(flow))
        for index in {round(step * (len(found) - 1) / (AT_MOST - 1)) for step in range(AT_MOST)} if found else ():
            cuts[f"{name}-{index}"] = found[index]
    holds(cuts, tmp_path)


def test_independent_flows_at_once(tmp_path: Path) -> None:
    names = [name for name, flow in FLOWS.items() if "/resourceGroups/" in flow[0]["request"]["url"]]
    chosen = {seed: random.Random(seed).sample(names, min(4, len(names))) for seed in range(20)}
    holds({f"mingled-{seed}": variants.mingled(FLOWS, some, seed) for seed, some in chosen.items()}, tmp_path)


@pytest.mark.parametrize("made", HAND_MADE, ids=lambda made: made.__name__)
def test_calls_that_are_not_recorded(made: Callable[[Flows], Flow], tmp_path: Path) -> None:
    try:
        flow = made(FLOWS)
    except KeyError as error:
        pytest.skip(f"made of {error}, which is not among these recordings")
    holds({made.__name__: flow}, tmp_path)
