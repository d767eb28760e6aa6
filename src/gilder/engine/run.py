"""Many images: each build's failure is a value, the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from gilder.build import Site, Story, build_image
from gilder.engine.signals import Stopping
from gilder.model.errors import GilderError
from gilder.model.events import Finished, Sink, Stage
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome
from gilder.model.spec import BuildSpec
from gilder.runtime.release import MemoryLedger
from gilder.slots import served


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Policy of a run. `parallel_builds` 0 means as many as the real limits allow."""

    parallel_builds: int = 0
    fail_fast: bool = False


class Run:
    """One run of builds on one VM."""

    def __init__(self, site: Site, tell: Sink, stopping: Stopping, options: RunOptions) -> None:
        self._site = site
        self._tell = tell
        self._stopping = stopping
        self._options = options
        self._limit = anyio.CapacityLimiter(options.parallel_builds or 10_000)
        self._outcomes: dict[str, Outcome] = {}

    async def outcomes(self, specs: Sequence[BuildSpec]) -> list[Outcome]:
        """Build all of them and say how each ended, in the order given. Raises only for bugs outside of builds."""
        async with served(self._site.writer):
            with anyio.CancelScope() as scope:
                self._stopping.stops(scope)
                async with anyio.create_task_group() as group:
                    for spec in specs:
                        group.start_soon(self._one, spec, scope, name=spec.name)
        return [self._outcomes.get(spec.name, Cancelled(spec.name, None, 0.0)) for spec in specs]

    async def _one(self, spec: BuildSpec, everything: anyio.CancelScope) -> None:
        async with self._limit:
            outcome = await self._outcome(spec)
        if isinstance(outcome, Failed) and self._options.fail_fast:
            everything.cancel()

    async def _outcome(self, spec: BuildSpec) -> Outcome:
        story = Story(spec.name, self._tell)
        ledger = MemoryLedger(story.left_behind, self._stopping.patience)
        self._stopping.watch(ledger)
        start = anyio.current_time()
        result: Outcome | None = None
        try:
            artifacts = await build_image(spec, self._site, ledger, story)
            result = Built(spec.name, artifacts, anyio.current_time() - start, ledger.residues)
        except Exception as error:  # noqa: BLE001 — the failure of one image, whatever it is, must not end the others
            result = _failed(spec, story, error, anyio.current_time() - start, ledger)
        finally:
            if result is None:
                took = anyio.current_time() - start
                result = Cancelled(spec.name, story.failed_at or story.stage, took, ledger.residues)
            self._outcomes[spec.name] = result
            self._tell(_finished(result, anyio.current_time()))
        return result


def _failed(spec: BuildSpec, story: Story, error: Exception, took: float, ledger: MemoryLedger) -> Failed:
    cause = _cause(error)
    stage = story.failed_at or story.stage or Stage.RESOLVE
    if isinstance(cause, GilderError):
        return Failed(spec.name, stage, cause.message, cause.hint, took, ledger.residues)
    for line in "".join(traceback.format_exception(error)).splitlines():
        story.output(line, "stderr")
    hint = "this is a mistake in gilder: please report it with the log of this build"
    return Failed(spec.name, stage, f"{type(cause).__name__}: {cause}", hint, took, ledger.residues)


def _cause(error: BaseException) -> BaseException:
    """The first error of a group: what went wrong, not the form in which it came."""
    while isinstance(error, BaseExceptionGroup):
        known = [e for e in error.exceptions if isinstance(e, GilderError | BaseExceptionGroup)]
        error = (known or list(error.exceptions))[0]
    return error


def _finished(outcome: Outcome, now: float) -> Finished:
    match outcome:
        case Built():
            text = "\n".join(str(artifact) for artifact in outcome.artifacts)
            return Finished(build=outcome.build, at=now, status="built", seconds=outcome.seconds, text=text)
        case Failed():
            return Finished(build=outcome.build, at=now, status="failed", seconds=outcome.seconds, text=outcome.error)
        case Cancelled():
            return Finished(build=outcome.build, at=now, status="cancelled", seconds=outcome.seconds)
