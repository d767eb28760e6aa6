"""What one build tells while it runs: stages with their times, output, remarks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import anyio

from gilder.build.attendance import Attendance, OnError, Verdict
from gilder.build.hourglass import Hourglass
from gilder.model.deadlines import Deadlines
from gilder.model.errors import GilderError, UserError
from gilder.model.events import (
    WAITING_FOR,
    LeftBehind,
    OutputLine,
    Said,
    Sink,
    Stage,
    StageFinished,
    StageStarted,
    Waiting,
)
from gilder.model.ids import ArmId
from gilder.model.outcomes import Residue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a stage took, or a wait (`WAITING_FOR`): `start` on the monotonic clock and `seconds`."""

    stage: str
    detail: str
    start: float
    seconds: float
    ok: bool


class Story:
    """Tells a sink about one build, and remembers where it stands and where it failed.

    What is to be done about a failure it asks those in `attendance`, once.
    """

    def __init__(
        self, build: str, sink: Sink, attendance: Attendance | None = None, deadlines: Deadlines | None = None
    ) -> None:
        self.build = build
        self.hourglass = Hourglass(deadlines or Deadlines())
        self.attendance = attendance or Attendance()
        self._sink = sink
        self._verdict: Verdict | None = None
        self._judging = anyio.Lock()
        self.stage: Stage | None = None
        """The stage begun last."""
        self.began: float | None = None
        """When its first stage did."""
        self.failed_at: Stage | None = None
        self.timings: list[Timing] = []
        self.published: tuple[ArmId, ...] = ()
        """All that the build was to make, once it is there."""
        self._wait: tuple[str, float] | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken since its first stage began; the queue before that is no part of it."""
        return 0.0 if self.began is None else anyio.current_time() - self.began

    @contextmanager
    def telling(self, stage: Stage, detail: str = "") -> Iterator[None]:
        """Be in a stage while inside."""
        start = anyio.current_time()
        self.began = start if self.began is None else self.began
        self.stage = stage
        self._sink(StageStarted(build=self.build, at=start, stage=stage, detail=detail))
        ok = False
        try:
            with self.hourglass.stage(stage):
                yield
            ok = True
        finally:
            if not ok and self.failed_at is None:
                self.failed_at = stage
            now = anyio.current_time()
            self._end_wait(now)
            self._sink(StageFinished(build=self.build, at=now, stage=stage, seconds=now - start, ok=ok))
            self.timings.append(Timing(stage, detail, start, now - start, ok))

    @contextmanager
    def ending_in_its_stage(self) -> Iterator[None]:
        """What ends the build inside, between two stages, ends it in the one begun last, not in the clean-up that follows."""
        try:
            yield
        except BaseException:
            self.failed_at = self.failed_at or self.stage
            raise

    async def step(self, stage: Stage, act: Callable[[], Awaitable[T]], detail: str = "", look: str = "") -> T:
        """Be in a stage while `act` runs, again when it fails and a person wants that (-on-error=ask).

        `look` is the command by which the person can look at what it worked on.
        """
        while True:
            try:
                with self.telling(stage, detail):
                    done = await act()
            except (GilderError, ExceptionGroup) as error:  # a group from what is done side by side
                if await self._judged(error, stage, look, may_retry=True) is not Verdict.RETRY:
                    raise
                self._verdict = self.failed_at = None
            else:
                await self.pause(stage, look)
                return done

    async def pause(self, after: Stage, look: str = "") -> None:
        """With -debug: wait until the person wants to go on."""
        if self.attendance.debug and self.attendance.ask is not None:
            hint = f" Look inside with: {look}" if look else ""
            await self._asked(f"{self.build}: done: {after}.{hint} Press enter to continue.")

    async def wait_for_person(self, text: str) -> None:
        """Show a text and wait until the person at the terminal agrees; raises UserError when nobody can."""
        if self.attendance.ask is None or await self._asked(text) is None:
            raise UserError("there is nobody to ask: gilder has no terminal, or not in the foreground")

    async def keeps(self, error: BaseException) -> bool:
        """Whether the build, which ends by `error`, keeps what it has in the cloud."""
        if isinstance(error, Exception):
            return await self._judged(error, self.failed_at, "", may_retry=False) is Verdict.ABORT
        # Cancelled: no time for questions.
        return self.keeping

    @property
    def keeping(self) -> bool:
        """Whether it is decided that a failed build keeps what it has in the cloud."""
        return self._verdict is Verdict.ABORT or self.attendance.keeps_unasked

    @property
    def wants_last_word(self) -> bool:
        """Whether the error-cleanup-provisioner is to run now that a provisioner has failed."""
        return self._verdict is not Verdict.ABORT or self.attendance.on_error is OnError.RUN_CLEANUP_PROVISIONER

    async def _judged(self, error: Exception, stage: Stage | None, look: str, *, may_retry: bool) -> Verdict:
        async with self._judging:  # image and image version are published side by side, and fail so
            return await self._judged_once(error, stage, look, may_retry)

    async def _judged_once(self, error: Exception, stage: Stage | None, look: str, may_retry: bool) -> Verdict:
        if self._verdict is None:
            why = error.message if isinstance(error, GilderError) else f"{error}"
            hint = f"\nlook inside with: {look}" if look else ""
            question = f"{self.build} failed while {stage or 'starting'}: {why}{hint}"
            asks = self.attendance.on_error is OnError.ASK
            with self.waiting("an answer at the terminal" if asks else ""), self.hourglass.paused():
                self._verdict = await self.attendance.verdict(question, may_retry=may_retry)
        return self._verdict

    async def _asked(self, text: str) -> str | None:
        assert self.attendance.ask is not None
        with self.waiting("the person at the terminal"), self.hourglass.paused():
            return await self.attendance.ask(text)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say while inside that the build waits for `what`; "" says nothing."""
        if not what:
            yield
            return
        self.waits_for(what)
        try:
            yield
        finally:
            self.waits_for("")

    def waits_for(self, what: str) -> None:
        """Say that the build waits for `what`, "" when it goes on; the wait becomes a timing of its own."""
        if not what and self._wait is None:
            return
        now = anyio.current_time()
        self._end_wait(now)
        self._wait = (what, now) if what else None
        self._sink(Waiting(build=self.build, at=now, what=what))

    def _end_wait(self, now: float) -> None:
        if self._wait is not None:
            what, since = self._wait
            self._wait = None
            self.timings.append(Timing(WAITING_FOR + what, "", since, now - since, ok=True))

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
    """A block whose entering and leaving are stages of the story: `mounted`, told as mounting and unmounting.

    With None, nothing is told of the entering.
    """

    def __init__(
        self,
        story: Story,
        entering: Stage | None,
        leaving: Stage,
        block: AbstractAsyncContextManager[T],
        detail: str = "",
    ) -> None:
        self._story = story
        self._entering = entering
        self._leaving = leaving
        self._block = block
        self._detail = detail

    async def __aenter__(self) -> T:
        if self._entering is None:
            return await self._block.__aenter__()
        with self._story.telling(self._entering, self._detail):
            return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is not None and self._leaving is Stage.DETACH and self._story.keeping:
            return await self._block.__aexit__(kind, error, trace)
        with self._story.telling(self._leaving):
            return await self._block.__aexit__(kind, error, trace)
