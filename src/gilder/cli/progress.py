"""Which way of showing progress fits where it is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from gilder.cli.folded import MOST, FoldedLines, dialect
from gilder.cli.live import LiveBoard, live
from gilder.cli.logs import LogFiles
from gilder.cli.look import Look
from gilder.cli.machine import MachineLines
from gilder.cli.outlet import outlet
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

    A live board on a terminal; under a CI system that folds, stages and then folded logs; else plain lines. None of them
    holds the builds up when nobody reads.
    """
    if look.machine:
        with outlet(sys.stdout) as (echo, flush):
            yield MachineLines(echo, flush=flush)
        return
    stream = sys.stderr
    speech = dialect(os.environ) if look.board is None else None
    if speech is not None or look.board is False or not is_live(stream):
        with outlet(stream) as (echo, flush):
            lines = stamped(echo) if look.timestamps else echo
            blocks = failure_blocks(logs, "--")
            if speech is None:
                yield PlainLines(lines, blocks, flush)
            else:
                yield FoldedLines(lines, speech, lambda build: logs.lines(build, MOST), blocks, flush)
        return
    painted = Painted(symbols_for(stream), has_colour(look.colour))
    view = View.of(builds, anyio.current_time(), usual)
    board = LiveBoard(view, Bottom(stream), painted, failure_blocks(logs, painted.symbols.rule * 2))
    async with live(board, stream.encoding):
        yield board


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
