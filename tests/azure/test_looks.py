"""The moments of looking at a long-running operation."""

from __future__ import annotations

import itertools

import pytest

from gilder.azure.operations import Usual, looks

PER_OPERATION = 45
"""Looks that Azure allows at once for each operation (GetOperationResource, recorded)."""


def moments(usual: Usual, until: float) -> list[float]:
    """When looks happen, in seconds after the start."""
    found = [0.0]
    for wait in looks(usual):
        if found[-1] + wait > until:
            return found
        found.append(found[-1] + wait)
    raise AssertionError


@pytest.mark.parametrize("usual", Usual)
def test_the_budget_of_an_operation_lasts_for_twice_its_usual_time(usual: Usual) -> None:
    assert len(moments(usual, 2 * usual)) <= PER_OPERATION


@pytest.mark.parametrize("usual", Usual)
def test_an_operation_of_usual_length_is_noticed_at_once(usual: Usual) -> None:
    seen = next(at for at in moments(usual, 3 * usual + 3) if at >= usual)
    assert seen - usual <= max(0.3, usual * 0.06)


@pytest.mark.parametrize("usual", Usual)
def test_an_operation_that_is_done_at_once_costs_little(usual: Usual) -> None:
    assert moments(usual, 1.0)[1] <= 0.1


def test_looking_never_stops_and_never_races() -> None:
    waits = list(itertools.islice(looks(Usual.CHANGE_DISKS), 500))
    assert min(waits) > 0
    assert waits[-1] >= 1
