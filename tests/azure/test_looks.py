"""The moments of looking at a long-running operation."""

from __future__ import annotations

import itertools

import pytest

from gilder.azure.operations import Usual, looks, moments

PER_OPERATION = 45
"""Looks that Azure allows at once for each operation (GetOperationResource, recorded)."""


def until(usual: Usual, end: float) -> list[float]:
    """When looks happen, in seconds after the start."""
    return [0.0, *itertools.takewhile(lambda at: at <= end, moments(usual))]


@pytest.mark.parametrize("usual", Usual)
def test_the_budget_of_an_operation_lasts_for_twice_its_usual_time(usual: Usual) -> None:
    assert len(until(usual, 2 * usual)) <= PER_OPERATION


@pytest.mark.parametrize("usual", Usual)
def test_an_operation_of_usual_length_is_noticed_at_once(usual: Usual) -> None:
    seen = next(at for at in until(usual, 3 * usual + 3) if at >= usual)
    assert seen - usual <= max(0.3, usual * 0.06)


@pytest.mark.parametrize("usual", Usual)
def test_an_operation_that_is_done_at_once_costs_little(usual: Usual) -> None:
    assert until(usual, 1.0)[1] <= 0.1


@pytest.mark.parametrize("usual", Usual)
def test_looking_never_stops_and_never_races(usual: Usual) -> None:
    found = list(itertools.islice(moments(usual), 500))
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise([0.0, *found]))
    assert found[-1] - found[-2] >= 1


@pytest.mark.parametrize("takes", [0.05, 3.0])
def test_what_a_look_takes_is_part_of_the_wait(takes: float) -> None:
    """Looks fall on the moments meant for them; when they take long, the next follows soon and not at once."""
    now, seen = 100.0, []
    waits = looks(Usual.CHANGE_DISKS, lambda: now)
    for wait in itertools.islice(waits, 6):
        assert wait >= 0.05
        now += wait
        seen.append(round(now - 100, 2))
        now += takes
    expected = [round(at, 2) for at in itertools.islice(moments(Usual.CHANGE_DISKS), 6)]
    assert (seen == expected) is (takes < 0.1)


def test_looks_count_from_the_answer_though_the_first_takes_a_while() -> None:
    now = 100.0
    waits = looks(Usual.TAKE_SNAPSHOT, lambda: now)
    now += 0.083  # the first look, at once
    first = next(moments(Usual.TAKE_SNAPSHOT))
    assert next(waits) == pytest.approx(max(0.05, first - 0.083))


@pytest.mark.parametrize("usual", [Usual.CREATE_DISK, Usual.PUBLISH_VERSION])
def test_moments_that_passed_are_not_made_up_for(usual: Usual) -> None:
    now = 100.0
    waits = looks(usual, lambda: now)
    next(waits)
    now += 3 * usual + 60
    found = []
    for _ in range(5):
        found.append(next(waits))
        now += found[-1]
    assert found.count(0.05) <= 1, "one look soon, and not one for each that was missed"


@pytest.mark.parametrize("usual", Usual)
def test_a_look_hopes_until_the_operation_should_end(usual: Usual) -> None:
    found = looks(usual, lambda: 100.0)
    at = next(wait for wait in found if not found.only_hopes)
    assert min(usual, 10.0) <= at <= usual + 0.1
