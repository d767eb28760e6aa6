"""The order in which builds begin."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gilder.engine.order import in_order
from gilder.model.effort import Effort

_efforts = st.builds(Effort, working=st.floats(0, 5000), after=st.floats(0, 5000), ahead=st.floats(0, 100))


@given(st.lists(st.text(max_size=3), unique=True), st.dictionaries(st.text(max_size=3), _efforts))
def test_every_build_begins_once_and_the_longest_first(names: list[str], before: dict[str, Effort]) -> None:
    order = in_order(names, before)
    assert sorted(order) == sorted(names)
    assert [name in before for name in order] == sorted(name in before for name in order), "the unknown first"
    known = [before[name].path for name in order if name in before]
    assert known == sorted(known, reverse=True), "among a hundred"


def test_of_many_the_much_longer_ones_begin_first_and_the_last_hundred_go_by_length() -> None:
    names = [f"{number:03}" for number in range(300)]
    before = {name: Effort(working=20 + float(name) / 10, after=400) for name in names}
    before["120"] = Effort(working=20, after=1000)
    before["140"] = Effort(working=900, after=400)
    before["130"] = Effort(working=20, after=100)
    order = in_order(names, before)
    assert order[:2] == ["140", "120"]
    rest = [name for name in names if name not in {"120", "130", "140"}]
    assert order[2:200] == rest[:198]
    assert order[200:] == [*rest[:197:-1], "130"]


def test_without_a_history_the_order_is_that_of_the_template() -> None:
    names = [f"{number:03}" for number in range(300)]
    assert in_order(names, {}) == names


def test_lengths_that_are_about_equal_leave_the_order_alone() -> None:
    names = [f"{number:03}" for number in range(200)]
    before = {name: Effort(working=(int(name) * 37) % 100) for name in names}
    order = in_order(names, before)
    assert order[:100] == names[:100]
    assert all(before[one].path >= before[other].path for one, other in itertools.pairwise(order[100:]))
