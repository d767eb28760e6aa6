"""Where the time of a run went."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilder.cli.chart import chart
from gilder.cli.timeline import Span, Timeline
from gilder.model.events import WAITING_FOR, Stage
from gilder.runtime.journal import TimingRecord


def timing(build: str, stage: Stage, start: float, end: float) -> TimingRecord:
    return TimingRecord("run", build, str(stage), "", start, end - start, True)


QUEUED = Timeline.of(
    [
        timing("a", Stage.ATTACH, 100, 110),
        timing("a", Stage.PROVISION, 110, 150),
        timing("a", Stage.DETACH, 150, 160),
        timing("b", Stage.RESOLVE, 101, 103),
        timing("b", Stage.ATTACH, 160.1, 170),
        timing("b", Stage.PROVISION, 170, 200),
        timing("c", Stage.ATTACH, 100, 110),
    ],
    100,
    201,
)
"""One slot: b waits for it until a has given it back. c does not matter."""


def test_the_critical_path_goes_through_the_build_that_gave_way() -> None:
    assert [(span.build, span.stage, span.start, span.end) for span in QUEUED.critical_path()] == [
        ("a", Stage.ATTACH, 100, 110),
        ("a", Stage.PROVISION, 110, 150),
        ("a", Stage.DETACH, 150, 160),
        ("b", Stage.ATTACH, pytest.approx(160.1), 170),
        ("b", Stage.PROVISION, 170, 200),
    ]


def test_a_wait_that_nobody_ended_stays_on_the_path() -> None:
    line = Timeline.of([timing("a", Stage.MOUNT, 105, 110)], 100, 110)
    assert line.critical_path() == [Span("a", "", 100, 105), Span("a", str(Stage.MOUNT), 105, 110)]


def test_totals_waits_and_overlap() -> None:
    totals = {total.stage: total for total in QUEUED.totals()}
    attach = totals[Stage.ATTACH]
    assert attach.times == 3
    assert attach.seconds == pytest.approx(29.9)
    assert attach.wall == pytest.approx(19.9), "a and c attached at the same time"
    longest = totals[""].longest
    assert (longest.build, longest.start) == ("b", 103)
    assert longest.end == pytest.approx(160.1)
    assert QUEUED.work == pytest.approx(111.9)
    assert QUEUED.waits == pytest.approx(1 + 57.1)
    assert QUEUED.busiest() == 3


def test_a_stage_within_another_counts_for_itself() -> None:
    line = Timeline.of([timing("a", Stage.PUBLISH, 0, 10), timing("a", Stage.CLEAN_UP, 4, 6)], 0, 10)
    stages = [(span.stage, span.start, span.end) for span in line.spans["a"]]
    assert stages == [(Stage.PUBLISH, 0, 4), (Stage.CLEAN_UP, 4, 6), (Stage.PUBLISH, 6, 10)]


WAITED = Timeline.of(
    [
        timing("a", Stage.ATTACH, 0, 30),
        TimingRecord("run", "a", WAITING_FOR + "a write to the VM", "", 0, 12, True),
        TimingRecord("run", "b", WAITING_FOR + "a slot on the VM", "", 0, 30, True),
        timing("b", Stage.ATTACH, 30, 40),
    ],
    0,
    40,
)


def test_waits_have_their_own_lines_and_count_as_no_work() -> None:
    assert [(span.stage, span.start, span.end) for span in WAITED.spans["a"]] == [
        ("waiting for a write to the VM", 0, 12),
        (Stage.ATTACH, 12, 30),
    ]
    assert (WAITED.work, WAITED.waits) == (28, 42)
    assert [(span.build, span.stage) for span in WAITED.critical_path()] == [
        ("a", "waiting for a write to the VM"),
        ("a", Stage.ATTACH),
        ("b", Stage.ATTACH),
    ], "b went on when a gave way"
    lines = list(chart(WAITED, 80))
    assert lines[0].split()[2].startswith("....")
    assert any(line.endswith("s: . waiting, a attaching the disk") for line in lines)
    assert any(line.startswith("waiting for a slot on the VM") for line in lines)


def test_a_run_without_stages_has_a_chart_too() -> None:
    assert list(Timeline.of([], 0, 0).critical_path()) == []
    assert list(chart(Timeline.of([], 0, 0), 80))


def test_the_chart() -> None:
    lines = list(chart(QUEUED, 80))
    assert [line[0] for line in lines[:3]] == ["a", "c", "b"], "in the order in which they began"
    bar = next(line for line in lines if line.startswith("b")).split()[2]
    assert bar.index("a") > bar.index(".")
    assert all(len(line) <= 80 for line in lines[:3])
    assert any("overlap: 1m52s of stages in 1m41s, 1.1 builds at work on average, 3 at most" in line for line in lines)
    assert lines[-1].split() == ["1m10s", "provisioning", "30s", "30", "%", "b"]


stages = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(Stage), st.floats(0, 100), st.floats(0.01, 50))


@given(st.lists(stages, max_size=15))
def test_the_critical_path_never_overlaps_itself_and_ends_with_the_run(
    found: list[tuple[str, Stage, float, float]],
) -> None:
    records = [timing(build, stage, start, start + took) for build, stage, start, took in found]
    end = max((t.started + t.seconds for t in records), default=0.0)
    line = Timeline.of(records, 0, end)
    path = line.critical_path()
    for first, second in pairwise(path):
        assert first.end <= second.start + 1e-6
    assert sum(span.seconds for span in path) <= line.seconds + 1e-6
    if records:
        assert path[-1].end == pytest.approx(end)
    for own in line.spans.values():
        for first, second in pairwise(own):
            assert first.end <= second.start + 1e-6
    assert list(chart(line, 60))
