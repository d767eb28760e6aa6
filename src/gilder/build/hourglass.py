"""The deadlines of one build, as one cancel scope whose deadline is the nearest of those that run now.

A scope for each stage would have to nest with what a stage leaves open when it is over, such as an attachment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from gilder.model.deadlines import Deadlines, duration_told
from gilder.model.errors import DeadlineMissed
from gilder.model.events import Stage


class Hourglass:
    """Measures the time of one build; nothing runs out outside of `running`."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._scope: anyio.CancelScope | None = None
        self._ends: dict[object, tuple[float, str]] = {}
        self._missed = ""
        self._pauses = 0
        self.images_to_come = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have the build's deadline run while inside; raises DeadlineMissed when it or that of a stage was missed.

        When one runs out in the moment in which the last image is there, the block is left early and nothing is raised.
        """
        with anyio.CancelScope() as scope:
            self._scope = scope
            with self._limited(self._deadlines.build, "the build"):
                yield
        self._scope = None
        if scope.cancelled_caught and self._missed:
            raise DeadlineMissed(self._missed, hint="give it more time, or see in its log what it waited for")

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Have the deadline of a stage run while inside."""
        with self._limited(self._deadlines.stages.get(stage), stage.value):
            yield

    def limit(self, stage: Stage) -> float | None:
        """The seconds of a stage that comes after `running`; None: any time."""
        return self._deadlines.stages.get(stage)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have no deadline run while inside: a person is asked."""
        began = anyio.current_time()
        self._pauses += 1
        self._set()
        try:
            yield
        finally:
            self._pauses -= 1
            took = anyio.current_time() - began
            self._ends = {key: (end + took, what) for key, (end, what) in self._ends.items()}
            self._set()

    def image_made(self) -> None:
        """One of the images is there; after the last no deadline counts: what is there must not be called a failure."""
        self.images_to_come -= 1
        if self.images_to_come == 0:
            self._ends.clear()
            self._set()

    @contextmanager
    def _limited(self, seconds: float | None, what: str) -> Iterator[None]:
        if seconds is None or self._scope is None:
            yield
            return
        key = object()
        self._ends[key] = (anyio.current_time() + seconds, f"{what} took longer than {duration_told(seconds)}")
        self._set()
        try:
            yield
        finally:
            # Who ran out is asked at the first block that is left: later ones may have run out in the meantime.
            if self._scope.cancel_called and self._ends and not self._missed:
                self._missed = min(self._ends.values())[1]
            self._ends.pop(key, None)
            self._set()

    def _set(self) -> None:
        if self._scope is not None:
            ends = [end for end, _ in self._ends.values()]
            self._scope.deadline = math.inf if self._pauses else min(ends, default=math.inf)
