"""How long things take: durations of operations and round trips, out of recorded figures (`figures.json` says from where)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any, Literal

LARGEST_RECORDED = 200
"""Gigabytes of the largest disk in the recordings that the figures are of."""
Profile = Literal["none", "recorded", "median"]


class Latency:
    """Draws durations; seeded, so that a run can be repeated.

    Args:
        profile: `none` (everything takes no time), `recorded` (drawn from the recorded distribution), `median`.
        scale: multiplies every duration.
    """

    def __init__(self, profile: Profile, scale: float = 1.0, seed: int = 0) -> None:
        self._profile = profile
        self._scale = scale
        self._chance = random.Random(seed)  # noqa: S311 - durations, not secrets

    def lasts(self, kind: str) -> float:
        """Seconds that an operation of this kind takes."""
        if self._profile == "none":
            return 0.0
        quantiles = figures()["durations"][kind]["quantiles"]
        share = 0.5 if self._profile == "median" else self._chance.random()
        return self._scale * _at(quantiles, share)

    def round_trip(self, method: str, kind: str) -> float:
        """Seconds between a request and its answer; other calls than the recorded answer as the one most alike.

        `kind` is the chain of types that the path names (`Address.kind`), with a POST's action as the last.
        """
        if self._profile == "none":
            return 0.0
        least, middle, most, _ = _trip(method, kind.removeprefix("locations/"))
        if self._profile == "median":
            return float(self._scale * middle / 1000)
        return self._scale * self._chance.triangular(least, most, middle) / 1000

    def before_answer(self, method: str, kind: str) -> float:
        """Seconds by which an operation begins before the request that started it is answered."""
        begins = figures()["begins_before_answer"]
        return float(self._scale * begins.get(f"{method} {kind}", begins["other"]) / 1000)


@cache
def figures() -> Any:
    """The figures: `durations` by kind of operation, `round_trips` and `begins_before_answer` by call.

    Durations are `recorded` or `assumed`, then maybe `like` another's. Copies have a `KIND.large` too (`sized`), assumed.
    """
    found = json.loads(resources.files("localarm").joinpath("figures.json").read_text())
    durations = found["durations"]
    for figure in durations.values():
        if "like" in figure:
            figure["quantiles"] = durations[figure["like"]]["quantiles"]
    for kind, figure in list(durations.items()):
        if kind.startswith(tuple(found["large"]["kinds"])):
            durations[f"{kind}.large"] = {"assumed": found["large"]["assumed"], "quantiles": figure["quantiles"]}
    return found


def sized(kind: str, gigabytes: Iterable[int]) -> str:
    """The kind of an operation on disks of these sizes: other figures apply where one is larger than any recorded one."""
    large = f"{kind}.large"
    return large if max(gigabytes, default=0) > LARGEST_RECORDED and large in figures()["durations"] else kind


def _at(quantiles: list[float], share: float) -> float:
    place = share * (len(quantiles) - 1)
    low = int(place)
    high = min(low + 1, len(quantiles) - 1)
    return quantiles[low] + (quantiles[high] - quantiles[low]) * (place - low)


def _trip(method: str, kind: str) -> list[float]:
    trips: dict[str, list[float]] = figures()["round_trips"]
    alike = {
        # What changes a machine passes the same checks whichever the method.
        "POST": f"PUT {kind.rpartition('/')[0]}",
        "PATCH": f"PUT {kind}",
        "GET": "GET operations",
        "HEAD": "GET operations",
        "DELETE": "DELETE disks",
    }
    return trips.get(f"{method} {kind}") or trips.get(alike.get(method, "")) or trips["PUT snapshots"]
