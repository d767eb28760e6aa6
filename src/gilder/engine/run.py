"""Many images: each build's failure is a value, the others go on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio

from gilder.azure.metadata import Machine
from gilder.build import Attendance, Site, Story, Workplace, build_image, on_this_machine
from gilder.build.leases import renewed
from gilder.build.site import gallery_subscription
from gilder.engine.order import in_order
from gilder.engine.signals import Stopping
from gilder.host.hearing import LONGEST_LINE
from gilder.model.deadlines import Deadlines
from gilder.model.errors import GilderError, HostError, UserError
from gilder.model.events import Finished, Sink, Stage
from gilder.model.gauges import Gauges
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome, Residue
from gilder.model.spec import Auth, BuildSpec
from gilder.runtime.history import efforts
from gilder.runtime.journal import Journal, TimingRecord
from gilder.runtime.ledger import JournalLedger
from gilder.runtime.redaction import Redactor, redacted
from gilder.runtime.release import MemoryLedger
from gilder.slots import served


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Policy of a run. `parallel_builds` 0 means as many as the real limits allow."""

    parallel_builds: int = 0
    fail_fast: bool = False
    force: bool = False
    """Replace destinations that exist already."""
    attendance: Attendance = field(default_factory=Attendance)
    """What to do when a build fails, and who may be asked."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    """Of every build; where a build has deadlines of its own, the shorter ones count."""
    remedy: str = ""
    """The command that removes what is left in the cloud, where Azure's own commands do not reach; "": they do."""


class Run:
    """One run of builds on one VM."""

    def __init__(
        self,
        site: Site,
        journal: Journal,
        tell: Sink,
        stopping: Stopping,
        options: RunOptions,
        redactor: Redactor | None = None,
        workplace: Workplace = on_this_machine,
    ) -> None:
        self._site = replace(site, force=options.force, attendance=options.attendance)
        self._journal = journal
        self._redactor = redactor or Redactor(())
        self._tell = redacted(tell, self._redactor, LONGEST_LINE)
        self._stopping = stopping
        self._options = options
        self._workplace = workplace
        self._limit = anyio.CapacityLimiter(options.parallel_builds or 10_000)
        self._outcomes: dict[str, Outcome] = {}

    def gauges(self) -> Gauges:
        """What is left now of what the builds share."""
        return replace(self._site.gauges(), builds=self._options.parallel_builds or None)

    async def outcomes(self, specs: Sequence[BuildSpec]) -> list[Outcome]:
        """Build all of them and say how each ended, in the order given.

        Raises UserError when two of them want one destination; else only for mistakes of gilder outside of builds.
        """
        must_differ(specs, self._site.auth, self._site.machine)
        by_name = {spec.name: spec for spec in specs}
        order = [by_name[name] for name in in_order(list(by_name), efforts(await self._journal.last_timings()))]
        async with renewed(self._site.leases), served(self._site.writer):
            with anyio.CancelScope() as scope:
                self._stopping.stops(scope)
                self._stopping.hurries(self._site.writer.hurry)
                self._site.writer.tells_width(self._site.limits.slots_known)
                async with anyio.create_task_group() as group:
                    group.start_soon(self._learn_slots)
                    for spec in order:
                        group.start_soon(self._one, spec, scope, name=spec.name)
        return [self._outcomes.get(spec.name, Cancelled(spec.name, None, 0.0)) for spec in specs]

    async def _learn_slots(self) -> None:
        with suppress(GilderError):  # the builds meet the same error, and it is theirs to tell
            await self._site.writer.free_luns()

    async def _one(self, spec: BuildSpec, everything: anyio.CancelScope) -> None:
        async with self._limit:
            outcome = await self._outcome(spec)
        if isinstance(outcome, Failed) and self._options.fail_fast:
            everything.cancel()

    async def _outcome(self, spec: BuildSpec) -> Outcome:
        deadlines = self._options.deadlines.and_(spec.deadlines)
        story = Story(spec.name, self._tell, self._site.attendance, deadlines)
        ledger = JournalLedger(
            self._journal, self._site.run, spec.name, story.left_behind, self._stopping.patience, story.keeps,
            self._options.remedy,
        )  # fmt: skip
        self._stopping.watch(ledger)
        result: Outcome | None = None
        try:
            await self._journal.build_started(self._site.run, spec.name)
            artifacts = await build_image(spec, self._site, ledger, story, self._workplace)
            result = Built(spec.name, artifacts, story.seconds, ledger.residues)
        except Exception as error:  # noqa: BLE001 — the failure of one image, whatever it is, must not end the others
            result = _failed(spec, story, error, ledger)
        finally:
            if result is None:
                result = _interrupted(spec, story, ledger)
            result = _hidden(result, self._redactor)
            self._outcomes[spec.name] = result
            with anyio.CancelScope(shield=True):  # in the journal's own thread, a few milliseconds
                await self._note(result, story)
            self._tell(_finished(result, anyio.current_time()))
        return result

    async def _note(self, outcome: Outcome, story: Story) -> None:
        """Write the end of a build into the journal; a full disk then is told, and changes no outcome."""
        run, build = self._site.run, outcome.build
        wall = time.time() - anyio.current_time()
        timings = [TimingRecord(run, build, t.stage, t.detail, wall + t.start, t.seconds, t.ok) for t in story.timings]
        try:
            match outcome:
                case Built():
                    await self._journal.build_finished(run, build, "built", "", "", [str(a) for a in outcome.artifacts])
                case Failed():
                    await self._journal.build_finished(run, build, "failed", outcome.stage, outcome.error, [])
                case Cancelled():
                    await self._journal.build_finished(run, build, "cancelled", outcome.stage or "", "", [])
            await self._journal.timed(timings)
        except HostError as error:
            story.say(f"{error.message}: the record of this build is incomplete, and may need `gilder recover`")


def must_differ(specs: Sequence[BuildSpec], auth: Auth, machine: Machine) -> None:
    """Raise UserError when two builds have one name, one destination, or one temporary resource.

    `auth` and `machine` say where a gallery is that names no subscription.
    """
    seen: dict[str, tuple[int, str]] = {}
    for number, spec in enumerate(specs):
        wanted = [f"the name {spec.name}"]
        to = spec.shared_image_destination
        wanted += [
            str(resource)
            for resource in (
                spec.image_resource_id,
                to and to.version_id(gallery_subscription(spec, auth, machine)),
                spec.temporary_os_disk_id,
                spec.temporary_os_disk_snapshot_id,
                spec.temporary_data_disk_id_prefix,
                spec.temporary_data_disk_snapshot_id,
            )
            if resource
        ]
        for thing in wanted:
            first, other = seen.setdefault(thing.lower(), (number, spec.name))
            if first != number:
                hint = "put what tells them apart into the name, such as {{build_name}}"
                raise UserError(f"the builds {other} and {spec.name} would both make {thing}", hint=hint)


def _failed(spec: BuildSpec, story: Story, error: Exception, ledger: MemoryLedger) -> Failed:
    cause = _cause(error)
    stage = story.failed_at or story.stage or Stage.RESOLVE
    if isinstance(cause, GilderError):
        return Failed(spec.name, stage, cause.message, cause.hint, story.seconds, ledger.residues)
    for line in "".join(traceback.format_exception(error)).splitlines():
        story.output(line, "stderr")
    hint = "this is a mistake in gilder: please report it with the log of this build"
    return Failed(spec.name, stage, f"{type(cause).__name__}: {cause}", hint, story.seconds, ledger.residues)


def _interrupted(spec: BuildSpec, story: Story, ledger: MemoryLedger) -> Outcome:
    """How a cancelled build ended: built when all was published, and only giving back remained."""
    if story.published and not spec.post_processors:
        return Built(spec.name, story.published, story.seconds, ledger.residues)
    for artifact in story.published:
        story.say(f"{artifact} was published, and stays")
    return Cancelled(spec.name, story.failed_at or story.stage, story.seconds, ledger.residues)


def _hidden(outcome: Outcome, redactor: Redactor) -> Outcome:
    """The outcome without secrets: it goes into the journal and into the summary."""
    hide = redactor.text
    residues = tuple(Residue(hide(residue.what), redactor.remedy(residue.remedy)) for residue in outcome.residues)
    if isinstance(outcome, Failed):
        hint = outcome.hint and hide(outcome.hint)
        return replace(outcome, error=hide(outcome.error), hint=hint, residues=residues)
    return replace(outcome, residues=residues)


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
