"""The board as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gilder.azure.galleries import RegionProgress
from gilder.build.publish import replicated
from gilder.cli.board import ASCII, render
from gilder.cli.forecast import remaining
from gilder.cli.view import State, View, fold, visible
from gilder.model.effort import Effort
from gilder.model.events import (
    THROTTLED,
    Event,
    Finished,
    LeftBehind,
    OutputLine,
    Said,
    Stage,
    StageFinished,
    StageStarted,
    Waiting,
)
from gilder.model.gauges import Gauges


def after(view: View, events: Iterable[Event]) -> View:
    for event in events:
        view = fold(view, event)
    return view


def started(build: str, at: float, stage: Stage) -> StageStarted:
    return StageStarted(build=build, at=at, stage=stage)


def finished(build: str, at: float, status: str = "built", text: str = "") -> Finished:
    return Finished(build=build, at=at, status=status, seconds=at, text=text)


FOUR = after(
    View.of(["debian-12-plain", "debian-13-plain", "debian-13-web", "ubuntu"], 0.0),
    [
        started("debian-12-plain", 1, Stage.PROVISION),
        OutputLine(build="debian-12-plain", at=2, text="\x1b[32mGet:1 http://deb.debian.org trixie InRelease\x1b[0m"),
        started("debian-13-plain", 2, Stage.ATTACH),
        Waiting(build="debian-13-plain", at=2, what="a slot"),
        started("ubuntu", 2, Stage.PUBLISH),
        StageFinished(build="ubuntu", at=3, stage=Stage.PUBLISH, seconds=1, ok=False),
        started("ubuntu", 3, Stage.CLEAN_UP),
        finished("ubuntu", 4, "failed", "the image ubuntu exists already\nand more"),
    ],
)

EXPECTED = {
    40: [
        "▸ debian…-plain  1m14s  provisioning",
        "◦ debian…-plain  1m13s  waiting for a s…",
        "· debian-13-web         queued",
        "✘ ubuntu          4.0s  failed, publish…",
        "1· 2▸ 1✘ 1m15s",
    ],
    80: [
        "▸ debian-12-plain  1m14s  provisioning                 Get:1 http://deb.debian.…",
        "◦ debian-13-plain  1m13s  waiting for a slot",
        "· debian-13-web           queued",
        "✘ ubuntu            4.0s  failed, publishing the ima…  the image ubuntu exists…",
        "1 queued, 2 running, 1 failed, 1m15s so far",
    ],
    120: [
        "▸ debian-12-plain  1m14s  provisioning 1m14s            Get:1 http://deb.debian.org trixie InRelease",
        "◦ debian-13-plain  1m13s  waiting for a slot",
        "· debian-13-web           queued",
        "✘ ubuntu            4.0s  failed, publishing the image  the image ubuntu exists already",
        "1 queued, 2 running, 1 failed, 1m15s so far",
    ],
}
EXPECTED[200] = EXPECTED[120]


@pytest.mark.parametrize("width", EXPECTED)
def test_four_images_at_several_widths(width: int) -> None:
    assert render(FOUR, 75, width, 24) == EXPECTED[width]


def test_one_image() -> None:
    view = after(View.of(["tiny"], 0.0), [started("tiny", 0, Stage.MOUNT)])
    assert render(view, 3, 80, 24) == ["▸ tiny   3.0s  mounting", "1 running, 3.0s so far"]


GAUGED = {
    20: ["1· 2▸ 1✘ 1m15s", "2 of 32 slots; 7 VM…"],
    40: ["1· 2▸ 1✘ 1m15s", "2 of 32 slots; 7 VM writes, 44 images"],
    80: [
        "1 queued, 2 running, 1 failed, 1m15s so far",
        "2 of 32 slots in use; Azure allows 7 VM writes, 44 images more",
    ],
    120: [
        "1 queued, 2 running, 1 failed, 1m15s so far; 2 of 32 slots in use; Azure allows 7 VM writes, 44 images more"
    ],
}


@pytest.mark.parametrize("width", GAUGED)
def test_the_totals_tell_what_is_left(width: int) -> None:
    view = replace(FOUR, gauges=Gauges(2, 32, (("VM writes", 7), ("images", 44))))
    assert render(view, 75, width, 24)[4:] == GAUGED[width]


@pytest.mark.parametrize("height", [1, 2, 5, 6, 7])
def test_the_second_line_of_totals_is_for_terminals_that_are_not_too_low(height: int) -> None:
    view = replace(many(), gauges=Gauges(2, 32, (("VM writes", 7), ("images", 44))))
    lines = render(view, 90, 80, height)
    assert len(lines) == height
    first = -2 if height >= 6 else -1
    assert lines[first].startswith("22 queued, 21 running, 20 built, 1 failed, 1m30s so far")


def test_how_long_it_will_take_stays_in_sight() -> None:
    view = replace(many(), usual={f"image-{number:02}": Effort(working=600) for number in range(64)})
    lines = render(replace(view, gauges=Gauges(2, 32, (("VM writes", 7), ("images", 44)))), 90, 60, 24)
    assert lines[-2] == "22· 21▸ 20✔ 1✘ 1m30s, about 12m27s to go"


REGIONS = [
    RegionProgress("West Europe", "Completed", 100),
    RegionProgress("North Europe", "Replicating", 20),
    RegionProgress("East US 2", "Replicating", 45),
]


def test_a_replication_tells_first_what_it_waits_for() -> None:
    assert replicated(REGIONS) == "replicated 20 % North Europe, 45 % East US 2, 100 % West Europe"
    bad = [*REGIONS, RegionProgress("UK South", "Failed", 0)]
    assert replicated(bad).startswith("replicated 0 % UK South (failed), 20 % North Europe")


@pytest.mark.parametrize(
    ("width", "seen"), [(60, "replicated 20…"), (80, "replicated 20 % North Europe,…"), (120, replicated(REGIONS))]
)
def test_the_percentage_of_a_replication_is_seen(width: int, seen: str) -> None:
    view = after(
        View.of(["debian-12-plain"], 0.0),
        [started("debian-12-plain", 1, Stage.PUBLISH), Said(build="debian-12-plain", at=2, text=replicated(REGIONS))],
    )
    assert render(view, 400, width, 24)[0].endswith(f"  {seen}")


def test_what_is_not_known_yet_is_not_told() -> None:
    view = replace(FOUR, gauges=Gauges(1, None, (("images", 44),)))
    assert render(view, 75, 120, 24)[-1] == "1 queued, 2 running, 1 failed, 1m15s so far; Azure allows 44 images more"


def test_ascii_where_the_terminal_has_no_more() -> None:
    lines = render(FOUR, 75, 40, 24, ASCII)
    assert "".join(lines).isascii()
    assert lines[0].startswith("> debian~-plain")


def many(count: int = 64) -> View:
    """A third built, one failed, a third at work, the rest queued."""
    names = [f"image-{number:02}" for number in range(count)]
    view = View.of(names, 0.0)
    for number, name in enumerate(names):
        if number < 2 * count // 3:
            view = fold(view, started(name, number / 100, Stage.PROVISION))
        if number < count // 3:
            view = fold(view, finished(name, 60, "failed" if number == 7 else "built"))
    return view


def test_with_room_all_64_have_a_row() -> None:
    assert len(render(many(), 90, 120, 65)) == 65


@pytest.mark.parametrize("height", [1, 2, 3, 10, 24, 50, 64])
def test_a_small_terminal_is_never_overrun(height: int) -> None:
    lines = render(many(), 90, 120, height)
    assert len(lines) == height
    assert lines[-1].startswith("22 queued, 21 running, 20 built, 1 failed, 1m30s so far")


def test_finished_rows_collapse_first_then_queued_ones() -> None:
    lines = render(many(), 90, 120, 50)
    assert sum("  failed" in line for line in lines[:-2]) == 1
    assert sum("  built" in line for line in lines[:-2]) == 4
    assert lines[-2] == "… 16 built not shown"
    lines = render(many(), 90, 120, 30)
    assert sum(line.startswith("▸") for line in lines) == 21
    assert sum(line.startswith("·") for line in lines) == 7
    assert lines[-2] == "… 15 queued, 20 built, 1 failed not shown"
    assert len(render(many(), 90, 120, 5)) == 5


def test_rows_keep_the_order_of_the_template() -> None:
    names = [line.split()[1] for line in render(many(), 90, 120, 40)[:-2]]
    assert names == sorted(names)


def test_names_are_cut_in_the_middle_and_stay_different() -> None:
    names = [f"a-very-long-common-beginning-of-a-name-and-then-{end}" for end in ("alpha", "beta")]
    first, second, _ = render(View.of(names, 0.0), 0, 60, 10)
    assert "alpha" in first
    assert "beta" in second


def test_what_is_left_behind_is_told() -> None:
    residue = LeftBehind(build="ubuntu", at=5, what="disk x", remedy="az disk delete --ids x")
    assert "failed, 1 left behind, publishing" in render(fold(FOUR, residue), 75, 120, 24)[3]


def test_remarks_show_the_replication() -> None:
    said = Said(build="debian-12-plain", at=9, text="replicated 40 % westeurope")
    assert render(fold(FOUR, said), 75, 200, 24)[0].endswith("replicated 40 % westeurope")


def test_what_it_waited_for_is_gone_when_it_goes_on() -> None:
    view = fold(FOUR, Waiting(build="debian-13-plain", at=9, what=""))
    assert render(view, 75, 80, 24)[1].endswith("attaching the disk")


def test_nested_stages_come_back_to_the_outer_one() -> None:
    inner = [started("a", 1, Stage.PROVISION), started("a", 2, Stage.CHROOT)]
    view = after(View.of(["a"], 0.0), inner)
    assert view.rows["a"].stage == Stage.CHROOT
    view = fold(view, StageFinished(build="a", at=3, stage=Stage.CHROOT, seconds=1, ok=True))
    assert view.rows["a"].stage == Stage.PROVISION
    view = fold(view, StageFinished(build="a", at=3, stage=Stage.PROVISION, seconds=1, ok=True))
    assert view.rows["a"].stage == Stage.PROVISION, "until the next one begins"


def test_wide_letters_count_as_two_columns() -> None:
    view = after(View.of(["a"], 0.0), [started("a", 0, Stage.PROVISION)])
    view = fold(view, OutputLine(build="a", at=1, text="日本語" * 30))
    assert all(cell_len(line) <= 80 for line in render(view, 1, 80, 24))


def test_the_end_is_estimated_from_earlier_builds_and_the_width_of_the_run() -> None:
    usual = dict.fromkeys("abc", Effort(working=100)) | {"d": Effort(working=40)}
    view = replace(View.of(["a", "b", "c", "d"], 0.0, usual), gauges=Gauges(slots=2))
    view = after(view, [started("a", 0, Stage.PROVISION), started("b", 0, Stage.PROVISION)])
    assert remaining(view, 20) == pytest.approx((80 + 80 + 100 + 40) / 2)
    assert "about 2m30s to go" in render(view, 20, 80, 24)[-1]


@pytest.mark.parametrize(
    ("gauges", "seconds"),
    [
        (Gauges(slots=8), 10 + 60 + 305),
        (Gauges(slots=1), 4 * (2.5 * 10 + 60) + 305),
        (Gauges(slots=8, places=1), 4 * 60 + 305),
        (Gauges(slots=8, builds=1), 4 * (10 + 60 + 305)),
        (Gauges(slots=0), 10 + 60 + 305),
    ],
)
def test_a_run_ends_when_what_it_needs_most_does(gauges: Gauges, seconds: float) -> None:
    usual = dict.fromkeys("abcd", Effort(attaching=10, working=60, after=305))
    assert remaining(replace(View.of("abcd", 0.0, usual), gauges=gauges), 0) == pytest.approx(seconds)


def test_nothing_is_foretold_before_the_slots_are_known() -> None:
    assert remaining(View.of(["a", "b"], 0.0, dict.fromkeys("ab", Effort(working=9))), 0) is None


def test_without_earlier_builds_the_finished_ones_tell() -> None:
    view = replace(View.of(["a", "b"], 0.0), gauges=Gauges(slots=2))
    view = after(view, [started("a", 0, Stage.PROVISION), started("b", 0, Stage.PROVISION)])
    assert remaining(view, 10) is None
    worked = StageFinished(build="a", at=30, stage=Stage.PROVISION, seconds=30, ok=True)
    assert remaining(after(view, [worked, finished("a", 30)]), 10) == pytest.approx(20)


@pytest.mark.parametrize(("crowded", "seconds"), [(True, 2.7), (False, 27.0)])
def test_the_last_of_a_first_night_have_the_crowded_cpus_for_themselves(crowded: bool, seconds: float) -> None:
    view = replace(View.of([f"{number}" for number in range(11)], 0.0), gauges=Gauges(slots=10, crowded=crowded))
    for build in map(str, range(9)):
        worked = StageFinished(build=build, at=30, stage=Stage.PROVISION, seconds=30, ok=True)
        view = after(view, [started(build, 0, Stage.PROVISION), worked, finished(build, 30)])
    view = after(view, [started("9", 0, Stage.PROVISION), started("10", 30, Stage.PROVISION)])
    assert remaining(view, 33) == pytest.approx(seconds)


def test_a_new_image_is_taken_for_one_like_the_others() -> None:
    usual = {"a": Effort(working=30), "b": Effort(working=50), "c": Effort(working=40)}
    assert remaining(replace(View.of(["new"], 0.0, usual), gauges=Gauges(slots=2)), 0) == pytest.approx(40)


def test_waits_are_no_part_of_what_an_image_takes() -> None:
    view = after(
        View.of(["a"], 0.0),
        [
            Waiting(build="a", at=0, what="a slot on the VM"),
            Waiting(build="a", at=100, what=""),
            started("a", 100, Stage.ATTACH),
            Waiting(build="a", at=101, what="a LUN of the VM"),
            Waiting(build="a", at=151, what=""),
            StageFinished(build="a", at=160, stage=Stage.ATTACH, seconds=60, ok=True),
            Waiting(build="a", at=160, what="this machine's CPUs"),
            started("a", 180, Stage.PROVISION),
            StageFinished(build="a", at=200, stage=Stage.PROVISION, seconds=20, ok=True),
        ],
    )
    assert view.rows["a"].effort == Effort(attaching=10, working=20)
    assert view.rows["a"].waited == pytest.approx(70)


def test_while_azure_throttles_the_pace_tells_the_end() -> None:
    view = replace(View.of("abcdefgh", 0.0, dict.fromkeys("abcdefgh", Effort(after=5))), gauges=Gauges(slots=8))
    view = after(view, [started("c", 0, Stage.PUBLISH), finished("a", 70), finished("b", 90)])
    assert remaining(view, 100) == pytest.approx(5)
    assert remaining(fold(view, Waiting(build="c", at=1, what=THROTTLED)), 100) == pytest.approx(6 * 60 / 2)


def test_nothing_moves_the_cursor() -> None:
    assert visible("\x1b[2K\x1b]0;title\x07\tprogress \x1b[1;31m50%\x9b\x1b[0m") == "progress 50%"
    assert (
        visible("\x1b7\x1bP+q544e\x1b\\\x1b]8;;https://a/\x1b\\done\x1b(B\x1b[m in\x1b8 1 s\x1b]0;ti") == "done in 1 s"
    )


names = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() and bool(text.strip()))


@st.composite
def events(draw: st.DrawFn) -> list[Any]:
    build = st.sampled_from(["a", "b", draw(names)])
    kinds = st.one_of(
        st.builds(StageStarted, build=build, at=st.floats(0, 100), stage=st.sampled_from(Stage)),
        st.builds(
            StageFinished,
            build=build,
            at=st.floats(0, 100),
            stage=st.sampled_from(Stage),
            seconds=st.just(1),
            ok=st.booleans(),
        ),
        st.builds(OutputLine, build=build, at=st.floats(0, 100), text=st.text()),
        st.builds(Waiting, build=build, at=st.floats(0, 100), what=st.text()),
        st.builds(
            Finished,
            build=build,
            at=st.floats(0, 100),
            status=st.sampled_from([state for state in State if state.over]),
            seconds=st.floats(0, 1e6),
            text=st.text(),
        ),
    )
    return draw(st.lists(kinds, max_size=20))


@settings(deadline=None, max_examples=200)
@given(events(), st.integers(1, 200), st.integers(1, 12), st.sampled_from([0.0, 50.0, 1e7]))
def test_whatever_happens_it_fits_the_terminal(happened: list[Event], width: int, height: int, now: float) -> None:
    lines = render(after(View.of(["a", "b"], 0.0), happened), now, width, height)
    assert 1 <= len(lines) <= height
    for line in lines:
        assert cell_len(line) <= width
        assert not any(letter in line for letter in "\n\r\x1b\t")
