"""The pace of many."""

from __future__ import annotations

import pytest

from gilder.runtime.backoff import Pace


def test_some_come_at_once_and_the_rest_one_after_the_other() -> None:
    pace = Pace(3, 2.0)
    assert [pace.wait(10.0) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_what_is_not_used_comes_back_up_to_as_many_as_at_first() -> None:
    pace = Pace(3, 2.0)
    assert pace.left(0.0) == 3
    for _ in range(3):
        pace.wait(0.0)
    assert [pace.left(now) for now in (0.0, 0.5, 1.5, 60.0)] == pytest.approx([0, 1, 3, 3])
    assert [pace.wait(60.0) for _ in range(4)] == [0, 0, 0, 0.5]
