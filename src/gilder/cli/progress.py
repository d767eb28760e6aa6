"""Which way of showing progress fits where it is shown."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import click

from gilder.cli.folded import MOST, FoldedLines, dialect
from gilder.cli.live import LiveBoard, live
from gilder.cli.logs import LogFiles
from gilder.cli.look import Look
from gilder.cli.machine import MachineLines
from gilder.cli.plain import Blocks, PlainLines, Progress, seconds, stamped
from gilder.cli.terminal import Bottom, Painted, has_colour, is_live, symbols_for
from gilder.cli.view import View
from gilder.model.effort import Effort
from gilder.model.events import Finished

TAIL = 20
"""Lines of its log that a failed build shows."""


@asynccontextmanager
async def shown(
    look: Look, builds: Sequence[str], usual: Mapping[str, Effort], logs: LogFiles
) -> AsyncIterator[Progress]:
    """Progress of these builds on standard error, while inside.

    A live board on a terminal; under a CI system that folds, stages and then folded logs; else plain lines.
    """
    if look.machine:
        yield MachineLines(_quietly(click.echo))
        return
    stream = sys.stderr
    speech = dialect(os.environ)
    if look.board is None and speech is not None:
        yield FoldedLines(_echo(look), speech, lambda build: logs.lines(build, MOST), failure_blocks(logs, "--"))
        return
    if look.board is False or not is_live(stream):
        yield PlainLines(_echo(look), failure_blocks(logs, "--"))
        return
    painted = Painted(symbols_for(stream), has_colour(look.colour))
    view = View.of(builds, anyio.current_time(), usual)
    board = LiveBoard(view, Bottom(stream), painted, failure_blocks(logs, painted.symbols.rule * 2))
    async with live(board, stream.encoding):
        yield board


def _echo(look: Look) -> Callable[[str], None]:
    echo = _quietly(functools.partial(click.echo, err=True))
    return stamped(echo) if look.timestamps else echo


def _quietly(echo: Callable[[str], None]) -> Callable[[str], None]:
    def tell(line: str) -> None:
        with suppress(OSError):  # nobody reads any more
            echo(line)

    return tell


def failure_blocks(logs: LogFiles, rule: str) -> Blocks:
    """What is printed when a build failed: the last lines of its log up to there, and what went wrong, in one piece."""

    def block(event: Finished) -> list[str]:
        if event.status != "failed":
            return []
        return [
            f"{rule} {event.build} failed after {seconds(event.seconds)}; the last lines of {logs.path(event.build)}:",
            *(f"   {line}" for line in logs.before_failure(event.build, TAIL)),
            *(f"{rule} {event.build}: {line}" for line in event.text.splitlines()),
        ]

    return block
