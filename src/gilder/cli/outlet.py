"""Lines printed by a thread of their own: who reads them slowly, or not at all, holds up no build."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TextIO

import click

MOST = 8 * 2**20
"""Characters that may wait to be read; what comes then is not shown. The logs have it all the same."""

_STUCK = 10.0
"""Seconds without a line being taken after which the last ones are given up."""

_FULL = 0.05
"""Seconds between tries to write to what is full and does not let one wait (O_NONBLOCK)."""


class Outlet:
    """Prints lines on a stream; comes only out of `outlet`. May be called from any thread, and from a signal handler."""

    def __init__(self, stream: TextIO, most: int = MOST) -> None:
        self._descriptor = os.dup(
            stream.fileno()
        )  # its own: a thread that is stuck must not write to what has the number next
        self._encoding = stream.encoding or "utf-8"
        self._plain = not stream.isatty()
        self._most = most
        # A SimpleQueue may be put into from a signal handler that came while it is put into; and an RLock taken.
        self._queue: SimpleQueue[str | threading.Event | None] = SimpleQueue()
        self._counting = threading.RLock()
        self._waiting = 0
        self._missing = 0
        self._taken = 0
        self._gone = False
        """Whether nobody reads any more."""
        threading.Thread(target=self._run, name="gilder.cli.outlet", daemon=True).start()

    def __call__(self, line: str) -> None:
        """Have a line printed, unless too many wait already."""
        with self._counting:
            if self._gone or self._waiting + len(line) > self._most:
                self._missing += 1
                return
            missing, self._missing = self._missing, 0
            if missing:
                line = f"==> {missing} lines are not shown here, for nobody read them; the logs have them\n{line}"
            self._waiting += len(line)
        self._queue.put(line)

    def flush(self, within: float) -> bool:
        """Wait until all lines are out, or for some seconds; whether they are."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(within)

    def close(self) -> None:
        """Wait until all lines are out, as long as somebody takes one now and then."""
        taken = -1
        while not self.flush(_STUCK) and taken != self._taken:
            taken = self._taken
        self._queue.put(None)

    def _run(self) -> None:
        while (thing := self._queue.get()) is not None:
            if isinstance(thing, threading.Event):
                thing.set()
                continue
            try:
                self._write(thing)
            except OSError:
                self._gone = True
            with self._counting:
                self._waiting -= len(thing)
                self._taken += 1
        os.close(self._descriptor)

    def _write(self, line: str) -> None:
        if self._gone:
            return
        # As click.echo does: colours are for terminals. Not through the stream, whose lock might be held when gilder ends.
        text = f"{click.unstyle(line) if self._plain else line}\n"
        rest = memoryview(text.encode(self._encoding, "backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                time.sleep(_FULL)


@contextmanager
def outlet(stream: TextIO) -> Iterator[tuple[Callable[[str], None], Callable[[float], object]]]:
    """Have lines printed on a stream while inside: what prints one, and what waits for so many seconds until all are out.

    A stream that is no file is written to at once.
    """
    try:
        stream.flush()
        out = Outlet(stream)
    except (io.UnsupportedOperation, ValueError):  # captured, or closed

        def at_once(line: str) -> None:
            with suppress(OSError, ValueError):  # nobody reads any more
                click.echo(line, file=stream)

        yield at_once, lambda within: None
        return
    except OSError:  # nobody reads any more
        yield lambda line: None, lambda within: None
        return
    try:
        yield out, out.flush
    finally:
        out.close()
