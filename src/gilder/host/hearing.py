"""Hearing what programs print, line by line as it comes; also what they leave running, for as long as somebody keeps that.

The pipes are read by the event loop itself and not by tasks: a program may leave behind what holds them longer than its own
run lasts, and a pipe that nobody reads stops its writer once it is full.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio

OnLine = Callable[[str, str], None]
"""Called with each line that a program prints, without its line end, and its stream: stdout or stderr."""

LONGEST_LINE = 64 * 1024
"""Characters; a longer line is cut into pieces, so that a program without line ends cannot fill the memory."""


class Hearing:
    """The two pipes that a program and its offspring print into. `on_line` gets what they say, until `close`."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._transports: list[asyncio.ReadTransport] = []
        self._open = 0
        self._over = anyio.Event()
        self._said = 0
        self._error: Exception | None = None
        self._scope: anyio.CancelScope | None = None

    async def open(self) -> tuple[int, int]:
        """Make the pipes; returns the ends to print into, which are the caller's to close."""
        loop = asyncio.get_running_loop()
        ends: list[int] = []
        # Shielded: a cancellation would lose what is half made.
        with anyio.CancelScope(shield=True):
            try:
                for stream in ("stdout", "stderr"):
                    reads, writes = os.pipe()
                    ends.append(writes)
                    pipe = await loop.connect_read_pipe(partial(_Pipe, self, stream), io.FileIO(reads))
                    self._transports.append(pipe[0])
                    self._open += 1
            except BaseException:
                self.close()
                for end in ends:
                    os.close(end)
                raise
        return ends[0], ends[1]

    @property
    def over(self) -> bool:
        """Whether nobody can say anything any more."""
        return self._over.is_set()

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Left with the error of `on_line` as soon as it raises one."""
        with anyio.CancelScope() as self._scope:
            if self._error is not None:  # it was heard before anybody waited
                self._scope.cancel()
            yield
        self._scope = None
        if self._error is not None:
            raise self._error

    async def last_words(self, silence: float, within: float) -> None:
        """Wait until all has been said: nobody holds the pipes any more, or nothing came for `silence` seconds; not longer
        than `within`, for what holds them may say things for ever."""
        with anyio.move_on_after(within):
            silent = 0
            # Twice half of it: when the event loop itself was held up, what was said meanwhile is read after the first.
            while silent < 2:
                before = self._said
                with anyio.move_on_after(silence / 2):
                    await self._over.wait()
                    return
                silent = silent + 1 if self._said == before else 0

    def mute(self) -> None:
        """From now on read what is said and tell nobody: of who is being ended, that is what shells say of that."""
        self._on_line = lambda line, stream: None

    def close(self) -> None:
        """Hear nothing more; who prints from now on gets SIGPIPE."""
        for transport in self._transports:
            transport.close()

    def hear(self, line: str, stream: str) -> None:
        """Pass a line on; what the listener raises is kept for those who wait in `checked`."""
        if self._error is not None:
            return
        try:
            self._on_line(line, stream)
        except Exception as error:  # noqa: BLE001 — raised again where the run is waited for
            self._error = error
            if self._scope is not None:
                self._scope.cancel()

    def received(self) -> None:
        """Something was said."""
        self._said += 1

    def closed(self) -> None:
        """One of the pipes is at its end."""
        self._open -= 1
        if not self._open:
            self._over.set()


class _Pipe(asyncio.Protocol):
    """One stream, cut into lines; what is not UTF-8 becomes U+FFFD."""

    def __init__(self, hearing: Hearing, stream: str) -> None:
        self._hearing = hearing
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._cut = False
        """Whether `_rest` goes on with a line of which pieces were heard."""

    def data_received(self, data: bytes) -> None:
        self._hearing.received()
        *whole, self._rest = (self._rest + self._decode(data)).split("\n")
        for text in whole:
            self._ended(text)
        while len(self._rest) > LONGEST_LINE:
            self._hearing.hear(self._rest[:LONGEST_LINE], self._stream)
            self._rest = self._rest[LONGEST_LINE:]
            self._cut = True

    def connection_lost(self, exc: Exception | None) -> None:
        if rest := self._rest + self._decode(b"", True):
            self._ended(rest)
        self._hearing.closed()

    def _ended(self, text: str) -> None:
        # Of a line that was cut, the last piece is heard as it is: without what was written over, a secret that was cut
        # would lack its end, and not be known for one.
        self._hearing.hear(text.rstrip("\r") if self._cut else _shown(text), self._stream)
        self._cut = False


class Lingering:
    """Hears on what programs have left running when they ended: it goes on as before, and is not stopped by a full pipe."""

    def __init__(self) -> None:
        self._hearings: list[Hearing] = []

    def keep(self, hearing: Hearing) -> None:
        """Hear on until it is over, or until `close`."""
        self._hearings = [each for each in (*self._hearings, hearing) if not each.over]

    async def last_words(self) -> None:
        """Wait, for a moment, until all has been heard that those said who have ended by now."""
        for hearing in self._hearings:
            await hearing.last_words(0.1, 1.0)

    def close(self) -> None:
        """Hear nothing more; who prints from now on gets SIGPIPE."""
        for hearing in self._hearings:
            hearing.close()
        self._hearings.clear()


@contextmanager
def lingering() -> Iterator[Lingering]:
    """Hear on, while inside, what programs leave running."""
    kept = Lingering()
    try:
        yield kept
    finally:
        kept.close()


def _shown(line: str) -> str:
    """What a terminal would show of a line in the end: progress bars write over themselves with carriage returns."""
    return line.rstrip("\r").rpartition("\r")[2]
