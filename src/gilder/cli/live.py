"""The live board on a terminal: a sink that folds events and draws the result a few times a second."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, redirect_stderr, suppress
from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread

from gilder.cli.board import render
from gilder.cli.plain import Blocks, plain_lines
from gilder.cli.terminal import Bottom, Painted
from gilder.cli.view import View, fold
from gilder.model.events import Event, Finished, LeftBehind
from gilder.model.gauges import Gauges

INTERVAL = 0.1
"""Seconds between two drawings."""


class LiveBoard:
    """A sink that shows a run at the bottom of a terminal. Failures and residues scroll by above it, as blocks.

    The terminal is written from a worker thread: one that does not take any more (Ctrl-S, a stuck connection) must not
    stop the builds. When drawing fails, for whatever reason, the board gives way to plain lines.
    """

    def __init__(self, view: View, bottom: Bottom, painted: Painted, blocks: Blocks) -> None:
        self._view = view
        self._bottom = bottom
        self._painted = painted
        self._blocks = blocks
        self._above: deque[str] = deque()
        self._changed = True
        self._seen: tuple[int, tuple[int, int]] = (-1, (0, 0))
        self._gauges: Callable[[], Gauges] = Gauges
        self.broken: Exception | None = None
        """Why it stopped drawing."""

    def __call__(self, event: Event) -> None:
        if self.broken:
            self._above.extend(plain_lines(event))
            self._spill()
            return
        self._changed = True
        try:
            self._view = fold(self._view, event)
            if isinstance(event, LeftBehind):
                self._above.extend(plain_lines(event))
            elif isinstance(event, Finished):
                self._above.extend(self._blocks(event))
        except Exception as error:  # noqa: BLE001 — whatever is wrong with the board, the builds are not
            self._break(error)

    def say(self, text: str) -> None:
        """Let a line about the whole run scroll by. May be called from any thread."""
        self._above.append(f"==> {text}")

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Show what these say, read at each drawing."""
        self._gauges = gauges

    def entered(self) -> None:
        """Go back to where the board ends: the line that was typed has moved the cursor below."""
        if not self.broken:
            self._bottom.up()

    def through(self, text: str) -> None:
        """Let a line scroll by as it is. May be called from any thread."""
        self._above.append(text)

    async def drawing(self) -> None:
        """Draw until cancelled: at most ten times a second, and only what changed."""
        while not self.broken:
            # The clock on the board counts whole seconds, so it is drawn again when the next one begins.
            seen = (int(anyio.current_time()), self._bottom.size())
            if self._changed or self._above or seen != self._seen:
                self._changed, self._seen = False, seen
                with suppress(_Broken):
                    work = self._prepared(anyio.current_time())
                    await anyio.to_thread.run_sync(self._guarded, work, abandon_on_cancel=True)
            await anyio.sleep(INTERVAL)

    def flush(self, within: float) -> None:
        """Draw at once, in a thread: the terminal may take nothing for longer. May be called from a signal handler."""
        draw = self._spill
        if not self.broken:
            with suppress(_Broken):
                draw = partial(self._guarded, self._prepared(anyio.current_time(), patience=within))
        drawing = threading.Thread(target=draw, daemon=True)
        drawing.start()
        drawing.join(within)

    def close(self) -> None:
        """Leave only the totals standing."""
        if self.broken:
            self._spill()
            return
        with suppress(_Broken):
            self._guarded(self._prepared(anyio.current_time(), height=1, last=True))

    def _prepared(
        self, now: float, *, patience: float = -1.0, height: int | None = None, last: bool = False
    ) -> Callable[[], None]:
        """The next drawing: rendered here, to be written anywhere. It takes what is to scroll by when it is written:
        a drawing that is given up must not take lines with it."""
        try:
            width, lines = self._bottom.size()
            self._view = replace(self._view, gauges=self._gauges())
            # One line is left for the cursor, and one column because writing to the last one makes some terminals wrap.
            drawn = render(self._view, now, width - 1, min(lines - 1, height or lines), self._painted.symbols)
            board = self._painted(drawn)
        except Exception as error:
            self._break(error)
            raise _Broken from error

        def draw() -> None:
            self._bottom.draw(board, self._above, patience=patience, last=last)

        return draw

    def _guarded(self, draw: Callable[[], None]) -> None:
        try:
            draw()
        except Exception as error:  # noqa: BLE001 — in a thread of its own, and nobody waits for what it raises
            # An OSError: the terminal is gone; a ValueError: the stream was closed. There is nobody to tell.
            self._break(error, tell=not isinstance(error, OSError | ValueError))

    def _break(self, error: Exception, *, tell: bool = True) -> None:
        self.broken = error
        if tell:
            self._above.append(f"==> the board failed ({type(error).__name__}: {error}); plain lines from here on")
        self._spill()

    def _spill(self) -> None:
        with suppress(OSError, ValueError):
            self._bottom.draw((), self._above, patience=1.0)


class _Broken(Exception):
    """The board broke; it has said so."""


class _Above(io.TextIOBase):
    """Standard error while the board stands: lines go above it."""

    def __init__(self, board: LiveBoard, encoding: str) -> None:
        self._board = board
        self._rest = ""
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        return self._encoding

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._board.through(line)
        return len(text)

    def flush(self) -> None:
        self._board.flush(1.0)

    def close(self) -> None:
        """Do nothing. Who collects garbage closes files, which flushes them: that drew a board when the event loop had ended,
        and Python 3.13 told of its failure beneath the summary."""


@asynccontextmanager
async def live(board: LiveBoard, encoding: str = "utf-8") -> AsyncIterator[LiveBoard]:
    """Draw the board while inside; what others write to standard error appears above it."""
    try:
        with redirect_stderr(_Above(board, encoding)):
            async with anyio.create_task_group() as group:
                group.start_soon(board.drawing)
                try:
                    yield board
                finally:
                    group.cancel_scope.cancel()
    finally:
        board.close()
