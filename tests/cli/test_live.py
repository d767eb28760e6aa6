"""Drawing on a terminal: only what changed, ten times a second at most, and never in the way of a build."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import click
import pytest
from tests.cli.screen import Screen

from gilder.cli.board import ASCII, UNICODE
from gilder.cli.live import LiveBoard, live
from gilder.cli.terminal import Bottom, Painted, has_colour, is_live, plain, symbols_for
from gilder.cli.view import View
from gilder.model.events import Finished, LeftBehind, OutputLine, Stage, StageStarted
from gilder.model.gauges import Gauges


class Terminal(io.StringIO):
    """A stream that a screen shows, and whose writes are counted."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.screen = Screen(columns, lines)
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self.screen.feed(text)
        return len(text)


class SizedBottom(Bottom):
    """At the bottom of a terminal that has no file descriptor to ask."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self.terminal = terminal

    def size(self) -> tuple[int, int]:
        return self.terminal.screen.columns, self.terminal.screen.lines


def board_on(terminal: Terminal, *builds: str) -> LiveBoard:
    view = View.of(builds, anyio.current_time())
    return LiveBoard(view, SizedBottom(terminal), Painted(UNICODE, colour=False), lambda event: ["block"])


def line(build: str, text: str) -> OutputLine:
    return OutputLine(build=build, at=anyio.current_time(), text=text)


def began(build: str) -> StageStarted:
    return StageStarted(build=build, at=anyio.current_time(), stage=Stage.PROVISION)


def test_lines_scroll_by_above_what_stays() -> None:
    terminal = Terminal(40, 6)
    bottom = SizedBottom(terminal)
    bottom.draw(["one", "two"])
    for number in range(10):
        bottom.draw(["one", f"two {number}"], deque([f"above {number}"]))
    assert terminal.screen.everything == [*(f"above {number}" for number in range(10)), "one", "two 9"]
    bottom.draw([])
    assert terminal.screen.shown[-1] == "above 9"
    assert terminal.screen.modes == set()


def test_a_drawing_that_comes_too_late_is_not_shown() -> None:
    terminal = Terminal()
    bottom = SizedBottom(terminal)
    bottom.draw(["the end"], last=True)
    bottom.draw(["too late"])
    assert terminal.screen.everything == ["the end"]


async def test_what_is_said_at_the_very_end_is_never_lost() -> None:
    """The drawing under way is given up at any moment: before it began, or while it writes."""
    for delay in range(60):
        terminal = Terminal()
        board = board_on(terminal, "a")
        async with live(board):
            board(began("a"))
            await anyio.sleep(delay / 500)
            board(Finished(build="a", at=2, status="failed", seconds=2, text="no"))
            await anyio.sleep(0 if delay % 2 else delay / 5000)
        first, second = terminal.screen.everything
        assert first == "block"
        assert second.startswith("1 failed in ")


def test_the_same_lines_are_not_written_twice() -> None:
    terminal = Terminal()
    bottom = SizedBottom(terminal)
    bottom.draw(["one"])
    before = terminal.writes
    bottom.draw(["one"])
    assert terminal.writes == before


def test_after_the_terminal_became_narrow_nothing_of_the_wide_drawing_stays() -> None:
    terminal = Terminal(40, 10)
    bottom = SizedBottom(terminal)
    bottom.draw(["x" * 35, "y" * 35])
    wide = terminal.screen
    terminal.screen = Screen(20, 10)
    terminal.screen.feed("".join(f"{row}\n" for row in wide.shown))  # terminals wrap what is there already
    bottom.draw(["x" * 15], deque(["above"]))
    assert terminal.screen.everything == ["above", "x" * 15]


async def test_what_the_builds_share_is_read_at_each_drawing() -> None:
    terminal = Terminal()
    board = board_on(terminal, "a")
    used = 0
    board.watch(lambda: Gauges(used, 32))
    board(began("a"))
    for used in (1, 2):
        board.flush(1.0)
        assert terminal.screen.shown[-1].endswith(f"; {used} of 32 slots in use")


async def test_many_events_are_few_drawings() -> None:
    terminal = Terminal()
    board = board_on(terminal, "a")
    async with live(board):
        board(began("a"))
        for number in range(1000):
            board(line("a", f"line {number}"))
            await anyio.sleep(0.0005)
        began_at = anyio.current_time()
        await anyio.sleep(0.25)
        assert anyio.current_time() - began_at < 1
        assert "line 999" in terminal.screen.shown[0]
    assert terminal.writes < 25


async def test_when_nothing_happens_it_is_drawn_once_a_second() -> None:
    terminal = Terminal()
    async with live(board_on(terminal, "a")):
        await anyio.sleep(0.3)
        before = terminal.writes
        await anyio.sleep(1.1)
        assert terminal.writes - before <= 2


async def test_failures_and_residues_scroll_by_and_the_totals_stay() -> None:
    terminal = Terminal(60)
    board = board_on(terminal, "a", "b")
    async with live(board):
        board(began("a"))
        board(LeftBehind(build="a", at=1, what="disk x", remedy="az disk delete"))
        board(Finished(build="a", at=2, status="failed", seconds=2, text="no"))
        await anyio.sleep(0.25)
        assert terminal.screen.shown[:3] == [
            "==> a: LEFT BEHIND: disk x",
            "==> a:   remove with: az disk delete",
            "block",
        ]
        board(began("b"))
        board(Finished(build="b", at=2, status="built", seconds=2))
    assert terminal.screen.shown[-1].startswith("1 built, 1 failed in ")
    assert not any("▸" in row or "✔" in row for row in terminal.screen.everything), "the rows are gone"


async def test_what_others_print_to_standard_error_goes_above() -> None:
    terminal = Terminal()
    board = board_on(terminal, "a")
    async with live(board):
        print("a stranger's remark", file=sys.stderr)
        click.echo("another", err=True)
        board.say("about the run")
        await anyio.sleep(0.25)
    assert terminal.screen.shown[:3] == ["a stranger's remark", "another", "==> about the run"]


async def test_flushing_standard_error_shows_what_was_said_at_once() -> None:
    """Before the process leaves on the third Ctrl-C."""
    terminal = Terminal()
    board = board_on(terminal, "a")
    async with live(board):
        board.say("leaving")
        sys.stderr.flush()
        assert terminal.screen.shown[0] == "==> leaving"


class Gone(Terminal):
    """A terminal that somebody closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_when_the_garbage_is_collected_nothing_is_drawn_any_more() -> None:
    """Closing it draws nothing: that needs an event loop, which has ended by then."""

    async def main() -> object:
        async with live(board_on(Terminal(), "a")):
            return sys.stderr

    above = anyio.run(main)
    assert isinstance(above, io.TextIOBase)
    above.close()


async def test_a_terminal_that_is_gone_fails_nothing() -> None:
    board = board_on(Gone(), "a")
    async with live(board):
        await anyio.sleep(0.2)
        board(line("a", "goes on"))
        board.say("still")
        sys.stderr.flush()
    assert isinstance(board.broken, OSError)


async def test_a_board_that_fails_gives_way_to_plain_lines() -> None:
    terminal = Terminal(200)
    board = board_on(terminal, "a")
    async with live(board):
        board(began("a"))
        board(Finished(build="a", at=1, status="no such state", seconds=1))
        board(line("a", "goes on"))
        await anyio.sleep(0.2)
    assert isinstance(board.broken, ValueError)
    first, second = terminal.screen.shown
    assert "the board failed" in first
    assert second == "    a: goes on"


@contextmanager
def stopped_terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """A terminal that takes nothing more: Ctrl-S was pressed, and its buffer is full."""
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    stream = os.fdopen(slave, "w", encoding="utf-8")
    try:
        yield stream, master
    finally:
        stream.close()
        os.close(master)


async def test_a_stopped_terminal_does_not_stop_the_builds() -> None:
    with stopped_terminal() as (stream, _):
        board = LiveBoard(View.of(["a"], 0.0), Bottom(stream), Painted(UNICODE, colour=True), lambda event: [])
        steps = 0
        async with anyio.create_task_group() as group:
            group.start_soon(board.drawing)
            for _ in range(20):
                board(line("a", "x" * 70))
                await anyio.sleep(0.02)
                steps += 1
            sys.stderr.flush()
            group.cancel_scope.cancel()
        assert steps == 20
        termios.tcflow(stream.fileno(), termios.TCOON)


def test_marks_have_the_colour_of_their_state() -> None:
    lines = ["✔ a  built", "▸ b  mounting", "1 built", "…"]
    painted = Painted(UNICODE, colour=True)(lines)
    assert painted[0] == "\x1b[32m✔\x1b[0m a  built"
    assert [plain(text) for text in painted] == lines
    assert Painted(UNICODE, colour=False)(lines) == lines


@pytest.mark.parametrize(
    ("wanted", "environment", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"PACKER_NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_shown_where_they_are_welcome(wanted: bool, environment: dict[str, str], expected: bool) -> None:
    assert has_colour(wanted, environment) is expected


def test_a_pipe_and_a_dumb_terminal_get_plain_lines() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb"):
        assert is_live(terminal, {"TERM": "xterm-256color"})
        assert not is_live(terminal, {"TERM": "dumb"})
        assert not is_live(terminal, {})
    assert not is_live(io.StringIO(), {"TERM": "xterm"})


@pytest.mark.parametrize(("encoding", "symbols"), [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII)])
def test_an_encoding_without_the_marks_gets_ascii(encoding: str, symbols: object) -> None:
    assert symbols_for(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == symbols
