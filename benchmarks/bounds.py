"""The lower bounds of docs/architecture.md: what no program can do faster, whatever its order of work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from localarm.latency import Latency

DRAWS = 200
"""Worlds that are drawn to say what bound a run with the recorded distribution may expect."""


@dataclass(frozen=True)
class Inputs:
    """What the bound is computed from, in seconds: medians of the latency profile, and a solo run without latency."""

    create: float
    attach: float
    detach: float
    snapshot: float
    publish: float
    delete: float
    local: float
    cpu: float
    publish_bucket: int
    publish_refill: float
    """Publications a second that the service allows once the bucket is used up."""


class Steps:
    """Draws how long the requests of a build take, from sending one to the end of its operation."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency

    def _request(self, call: str, operation: str) -> float:
        method, kind = call.split()
        trip = self._latency.round_trip(method, kind)
        begins = max(0.0, trip - self._latency.before_answer(method, kind))
        return max(trip, begins + self._latency.lasts(operation))

    def create(self) -> float:
        return self._request("PUT disks", "disk.create.platform")

    def attach(self) -> float:
        return self._request("POST virtualmachines/attachdetachdatadisks", "vm.attachdetach.attach")

    def detach(self) -> float:
        return self._request("POST virtualmachines/attachdetachdatadisks", "vm.attachdetach.detach")

    def snapshot(self) -> float:
        return self._request("PUT snapshots", "snapshot.create.full")

    def publish(self, gallery: bool) -> float:
        if gallery:
            return self._request("PUT galleries/images/versions", "version.create.snapshot.1")
        return self._request("PUT images", "image.create.snapshot")

    def delete(self) -> float:
        return self._request("DELETE disks", "disk.delete")


def profile(gallery: bool, local: float, cpu: float) -> Inputs:
    """The inputs from the medians of the latency profile."""
    steps = Steps(Latency("median"))
    return Inputs(
        create=steps.create(),
        attach=steps.attach(),
        detach=steps.detach(),
        snapshot=steps.snapshot(),
        publish=steps.publish(gallery),
        delete=steps.delete(),
        local=local,
        cpu=cpu,
        publish_bucket=375 if gallery else 60,
        publish_refill=375 / 180 if gallery else 20 / 60,
    )


def bound(builds: int, slots: int, cores: int, i: Inputs) -> dict[str, float]:
    """The lower bounds by name, in seconds; the largest counts."""
    head, tail = i.create + i.attach, max(i.snapshot + i.publish, i.detach) + i.delete
    in_slot = i.attach + i.local + i.detach
    rounds = math.ceil(builds / slots)
    earliest = head + i.local + i.snapshot
    return {
        "one build": head + i.local + tail,
        "cores": head + builds * i.cpu / cores + tail,
        "slots": i.create + max(builds * in_slot / slots, rounds * in_slot) + i.delete,
        "writes": i.create + (rounds + 1) * min(i.attach, i.detach) + i.delete,
        "publications": earliest + max(0, builds - i.publish_bucket) / i.publish_refill + i.publish + i.delete,
    }


def drawn_bounds(builds: int, slots: int, cores: int, gallery: bool, i: Inputs) -> list[float]:
    """The bound in worlds with durations drawn from the recorded distribution: its deciles, in seconds.

    In each, a write to the VM serves as many builds as there are slots; else every build draws for itself.
    """
    found = [drawn(builds, slots, cores, gallery, i, Steps(Latency("recorded", seed=seed))) for seed in range(DRAWS)]
    return quantiles(found, n=10)


def drawn(builds: int, slots: int, cores: int, gallery: bool, i: Inputs, steps: Steps) -> float:
    """The bound in one world, whose durations `steps` draws, in seconds."""
    rounds = math.ceil(builds / slots)
    attach, detach = [[draw() for _ in range(rounds)] for draw in (steps.attach, steps.detach)]
    heads, tails, creates, deletes, publications = [], [], [], [], []
    for build in range(builds):
        creates.append(steps.create())
        deletes.append(steps.delete())
        publications.append(steps.snapshot() + steps.publish(gallery))
        heads.append(creates[-1] + attach[build // slots])
        tails.append(max(publications[-1], detach[build // slots]) + deletes[-1])
    tokens = max(0, builds - i.publish_bucket) / i.publish_refill
    in_slots = [came + i.local + gone for came, gone in zip(attach, detach, strict=True)]
    return max(
        max(_sums(heads, tails)) + i.local,
        min(heads) + builds * i.cpu / cores + min(tails),
        min(creates) + sum(in_slots) + min(deletes),
        min(heads) + i.local + tokens + min(publications) + min(deletes),
    )


def _sums(some: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one + other for one, other in zip(some, others, strict=True)]
