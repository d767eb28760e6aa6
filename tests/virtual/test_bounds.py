"""The bounds that benchmarks compare with."""

from __future__ import annotations

import pytest
from benchmarks.bounds import Steps, bound, drawn, drawn_bounds, profile

from localarm.latency import Latency


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize(("builds", "slots"), [(1, 32), (16, 32), (64, 64), (100, 32)])
def test_a_world_that_draws_only_medians_has_the_bound_of_medians(builds: int, slots: int, gallery: bool) -> None:
    inputs = profile(gallery, local=3.0, cpu=0.5)
    found = drawn(builds, slots, 8, gallery, inputs, Steps(Latency("median")))
    assert found == pytest.approx(max(bound(builds, slots, 8, inputs).values()), rel=0.01)


def test_drawn_worlds_are_slower_than_the_median_one_and_the_same_each_time() -> None:
    inputs = profile(False, local=0.2, cpu=0.05)
    deciles = drawn_bounds(16, 32, 2, False, inputs)
    assert deciles == drawn_bounds(16, 32, 2, False, inputs)
    assert deciles == sorted(deciles)
    assert deciles[4] > max(bound(16, 32, 2, inputs).values()), "the slowest of sixteen is no median"


def test_more_slots_more_cores_and_less_work_never_raise_the_bound() -> None:
    slow, fast = profile(False, local=30.0, cpu=10.0), profile(False, local=10.0, cpu=1.0)
    for builds in (1, 16, 200):
        worst = max(bound(builds, 8, 1, slow).values())
        assert worst >= max(bound(builds, 64, 8, slow).values()) >= max(bound(builds, 64, 8, fast).values())
