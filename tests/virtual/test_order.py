"""The order in which builds begin."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gilder.engine.order import in_order
from gilder.model.events import Stage

_seconds = st.floats(0, 5000)
_durations = st.dictionaries(st.sampled_from([Stage.PUBLISH, Stage.PROVISION]), _seconds)


@given(st.lists(st.text(max_size=3), unique=True), st.dictionaries(st.text(max_size=3), _durations))
def test_every_build_begins_once_and_long_tails_first(names: list[str], before: dict[str, dict[str, float]]) -> None:
    order = in_order(names, before)
    assert sorted(order) == sorted(names)
    known = [before[name].get(Stage.PUBLISH, 0.0) for name in order if name in before]
    assert all(first >= second - 60 for first, second in itertools.pairwise(known))
    assert [name in before for name in order] == sorted(name in before for name in order), "the unknown first"


def test_only_the_last_hundred_go_by_their_work() -> None:
    names = [f"{number:03}" for number in range(150)]
    before: dict[str, dict[str, float]] = {
        name: {Stage.PROVISION: float(name), Stage.PUBLISH: 400.0 + float(name) / 10} for name in names
    }
    assert in_order(names, before) == names[:50] + names[:49:-1]
