"""What one build tells while it runs: stages with their times, output, remarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import anyio

from gilder.model.events import LeftBehind, OutputLine, Said, Sink, Stage, StageFinished, StageStarted, Waiting
from gilder.model.outcomes import Residue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a stage took: `start` on the monotonic clock and `seconds`."""

    stage: Stage
    detail: str
    start: float
    seconds: float
    ok: bool


class Story:
    """Tells a sink about one build, and remembers where it stands and where it failed."""

    def __init__(self, build: str, sink: Sink) -> None:
        self.build = build
        self._sink = sink
        self.stage: Stage | None = None
        """The stage begun last."""
        self.failed_at: Stage | None = None
        self.timings: list[Timing] = []

    @contextmanager
    def telling(self, stage: Stage, detail: str = "") -> Iterator[None]:
        """Be in a stage while inside."""
        start = anyio.current_time()
        self.stage = stage
        self._sink(StageStarted(build=self.build, at=start, stage=stage, detail=detail))
        ok = False
        try:
            yield
            ok = True
        finally:
            if not ok and self.failed_at is None:
                self.failed_at = stage
            now = anyio.current_time()
            self._sink(StageFinished(build=self.build, at=now, stage=stage, seconds=now - start, ok=ok))
            self.timings.append(Timing(stage, detail, start, now - start, ok))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say while inside that the build waits for `what`; "" says nothing."""
        if what:
            self._sink(Waiting(build=self.build, at=anyio.current_time(), what=what))
        yield
        if what:
            self._sink(Waiting(build=self.build, at=anyio.current_time(), what=""))

    def waits_for(self, what: str) -> None:
        """Say that the build waits for `what`, until its next stage."""
        self._sink(Waiting(build=self.build, at=anyio.current_time(), what=what))

    def say(self, text: str) -> None:
        """Make a remark."""
        self._sink(Said(build=self.build, at=anyio.current_time(), text=text))

    def output(self, text: str, stream: str = "stdout") -> None:
        """Pass on a line that a program printed."""
        self._sink(OutputLine(build=self.build, at=anyio.current_time(), text=text, stream=stream))

    def left_behind(self, residue: Residue) -> None:
        """Tell that something could not be given back."""
        self._sink(LeftBehind(build=self.build, at=anyio.current_time(), what=residue.what, remedy=residue.remedy))


class told(AbstractAsyncContextManager[T]):  # noqa: N801 — reads as the block it is: `async with told(…)`
    """A block whose entering and leaving are stages of the story: `attached`, told as attaching and detaching."""

    def __init__(
        self, story: Story, entering: Stage, leaving: Stage, block: AbstractAsyncContextManager[T], detail: str = ""
    ) -> None:
        self._story = story
        self._entering = entering
        self._leaving = leaving
        self._block = block
        self._detail = detail

    async def __aenter__(self) -> T:
        with self._story.telling(self._entering, self._detail):
            return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with self._story.telling(self._leaving):
            return await self._block.__aexit__(kind, error, trace)
