"""Progress that nobody reads: a pager that is not scrolled, Ctrl-S. The builds go on, and three signals end gilder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from gilder.cli import outlet as module
from gilder.cli.outlet import Outlet, outlet


class Pipe:
    """A pipe with a stream on its writing end."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream: TextIO = os.fdopen(writing, "w", encoding="utf-8")

    def read(self, size: int = 2**20) -> str:
        """What can be read at once."""
        fcntl.fcntl(self.reading, fcntl.F_SETFL, os.O_NONBLOCK)
        found = b""
        while True:
            try:
                part = os.read(self.reading, size)
            except BlockingIOError:
                return found.decode()
            found += part


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    found = Pipe()
    yield found
    found.stream.close()
    os.close(found.reading)


def test_lines_come_out_in_their_order_and_without_colours(pipe: Pipe) -> None:
    with outlet(pipe.stream) as (echo, flush):
        for number in range(1000):
            echo(f"\x1b[31m{number}\x1b[0m ü")
        assert flush(5.0)
    assert pipe.read().splitlines() == [f"{number} ü" for number in range(1000)]


def test_what_does_not_fit_is_counted_and_the_next_line_says_so(pipe: Pipe) -> None:
    out = Outlet(pipe.stream, most=300_000)
    begin = time.monotonic()
    for number in range(1000):
        out(f"{number} " + "x" * 1000)
    assert time.monotonic() - begin < 1, "nobody was waited for"
    assert not out.flush(0.1)
    seen = ""
    while not out.flush(0.02):
        seen += pipe.read()
    out("the last")
    assert out.flush(5.0)
    lines = (seen + pipe.read()).splitlines()
    shown = [line for line in lines if line[0].isdigit()]
    assert 250 < len(shown) < 500
    assert lines[-2:] == [
        f"==> {1000 - len(shown)} lines are not shown here, for nobody read them; the logs have them",
        "the last",
    ]
    out.close()


def test_a_reader_that_is_gone_is_no_error(pipe: Pipe) -> None:
    with outlet(pipe.stream) as (echo, flush):
        reading, pipe.reading = pipe.reading, os.open(os.devnull, os.O_RDONLY)
        os.close(reading)
        for _ in range(10):
            echo("to nobody")
        assert flush(5.0)


def test_who_takes_nothing_any_more_is_not_waited_for_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STUCK", 0.2)
    begin = time.monotonic()
    with outlet(pipe.stream) as (echo, _):
        for _ in range(100):
            echo("x" * 10_000)
    assert time.monotonic() - begin < 3
    pipe.read()


def test_a_file_that_lets_nobody_wait_gets_it_all(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.stream.fileno(), fcntl.F_SETFL, os.O_NONBLOCK)
    out = Outlet(pipe.stream)
    for _ in range(30):
        out("x" * 10_000)
    seen = ""
    while not out.flush(0.02):
        seen += pipe.read()
    assert (seen + pipe.read()).count("x") == 300_000
    out.close()


PROGRAM = """
import sys
from pathlib import Path
import anyio
from gilder.cli.ending import hear_out
from gilder.cli.logs import LogFiles
from gilder.cli.look import Look
from gilder.cli.progress import shown
from gilder.engine import Stopping, signals_heard
from gilder.model.events import Said

async def main():
    ticks = Path(sys.argv[1])
    with LogFiles(ticks.parent / "logs") as logs:
        async with shown(Look(board=False, machine=sys.argv[2] == "machine"), ["tiny"], {}, logs) as progress:
            stopping = Stopping(progress.say, progress.flush)
            hear_out()
            with signals_heard(stopping):
                for tick in range(10**9):
                    for _ in range(200):
                        progress(Said(build="tiny", at=0.0, text="x" * 1000))
                    ticks.write_text(str(tick))
                    await anyio.sleep(0.01)

anyio.run(main)
"""


@pytest.mark.parametrize("look", ["plain", "folded", "machine"])
def test_builds_go_on_while_nobody_reads_and_three_signals_end_them(tmp_path: Path, look: str) -> None:
    ticks = tmp_path / "ticks"
    command = [sys.executable, "-c", PROGRAM, str(ticks), look]
    environment = {**os.environ, "GITHUB_ACTIONS": "true" if look == "folded" else ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            _wait_for(ticks, 50)
            for _ in range(3):
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
            assert process.wait(10) == 1
        finally:
            process.kill()


def _wait_for(ticks: Path, number: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if ticks.exists() and int(ticks.read_text() or "0") > number:
            return
        time.sleep(0.05)
    raise AssertionError("the event loop stands still")


STUCK = """
import sys, time
import anyio
from gilder.engine import Stopping, signals_heard

async def main():
    with signals_heard(Stopping(print)):
        print("stuck", flush=True)
        time.sleep(60)

anyio.run(main)
"""


def test_three_signals_end_a_loop_that_is_stuck() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait(10) == 1
