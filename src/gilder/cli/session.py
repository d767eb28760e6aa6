"""One `gilder build` from connection to summary."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import anyio
import click

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.cli.build import BuildOptions
from gilder.cli.connection import found_cloud
from gilder.cli.earlier import earlier_runs_settled
from gilder.cli.embedded import Lease
from gilder.cli.eventlog import EventLog
from gilder.cli.logs import LogFiles
from gilder.cli.machine import MachineLines
from gilder.cli.main import BUILT, FAILED
from gilder.cli.progress import shown
from gilder.cli.sinks import Redaction, Together
from gilder.cli.summary import succeeded, summary
from gilder.cli.templates import Templates
from gilder.engine import ALIVE, Run, RunOptions, Stopping, must_differ, signals_heard, site_on
from gilder.model.errors import UserError
from gilder.model.outcomes import Outcome
from gilder.model.spec import Auth, BuildSpec
from gilder.model.vm import VmFacts
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import Journal, opened
from gilder.template import Loaded


async def build_all(templates: Templates, options: BuildOptions, lease: Lease | None) -> int:
    """Build everything that was asked for; returns the exit code."""
    start = anyio.current_time()
    auth = _shared_auth(templates.loaded().builds)
    cloud = await found_cloud(auth, lease)
    machine = await this_machine(cloud)
    loaded = templates.loaded(_facts(machine))
    if templates.report(loaded):
        return FAILED
    must_differ(loaded.builds)
    async with opened(options.journal) as journal, file_locked(ALIVE / options.run, ephemeral=True):
        if not await earlier_runs_settled(journal, cloud, auth, machine, first=options.recover):
            return FAILED
        with LogFiles(options.logs) as logs, EventLog(options.logs) as events:
            work = _Work(options, templates.name, loaded, cloud, auth, machine, journal)
            outcomes, interrupted = await work.done(logs, events, lease)
    _tell_results(options, loaded, logs, outcomes, anyio.current_time() - start)
    return BUILT if succeeded(outcomes) and not interrupted else FAILED


@dataclass(frozen=True)
class _Work:
    """A run that is ready to begin."""

    options: BuildOptions
    template: str
    loaded: Loaded
    cloud: Cloud
    auth: Auth
    machine: Machine
    journal: Journal

    async def done(self, logs: LogFiles, events: EventLog, lease: Lease | None) -> tuple[list[Outcome], bool]:
        """Build, and show it; returns how each build ended and whether a signal stopped the run."""
        run, names = self.options.run, [spec.name for spec in self.loaded.builds]
        usual = await self.journal.usual_seconds()
        policy = RunOptions(self.options.parallel_builds, self.options.fail_fast)
        async with shown(self.options.look, names, usual, logs) as progress:
            stopping = Stopping(progress.say)
            sinks = Together({"logs": logs, "events.jsonl": events, "progress": progress}, progress.say)
            sink = _redaction(self.loaded).before(sinks)
            with lease.heard_by(progress.say) if lease else nullcontext():
                site_of_run = site_on(self.cloud, self.auth, self.machine, run, progress.say)
                async with site_of_run as site, signals_heard(stopping):
                    events.run("run-started", run=run, vm=str(self.machine.id), builds=names)
                    await self.journal.run_started(run, str(self.machine.id), self.template)
                    outcomes = await Run(site, self.journal, sink, stopping, policy).outcomes(self.loaded.builds)
                    await self.journal.run_finished(run, "done" if succeeded(outcomes) else "failed")
                    events.run("run-finished", run=run, ok=succeeded(outcomes))
        return outcomes, stopping.signals > 0


def _redaction(loaded: Loaded) -> Redaction:
    return Redaction.of([*loaded.sensitive, *(value for spec in loaded.builds for value in spec.sensitive)])


def _tell_results(
    options: BuildOptions, loaded: Loaded, logs: LogFiles, outcomes: Sequence[Outcome], took: float
) -> None:
    hidden = _redaction(loaded)

    def echo(line: str) -> None:
        click.echo(hidden.text(line))

    if options.look.machine:
        MachineLines(echo).results(outcomes, took)
        return
    for line in summary(outcomes, {spec.name: logs.path(spec.name) for spec in loaded.builds}, took):
        echo(line)


def _shared_auth(specs: tuple[BuildSpec, ...]) -> Auth:
    """The authentication of the run: one VM has one identity towards its own disk list."""
    first, *others = [spec.auth for spec in specs]
    if any(auth != first for auth in others):
        raise UserError(
            "the builders of this template authenticate in different ways",
            hint="give all of them the same authentication options, or build them in separate runs (-only)",
        )
    return first


def _facts(machine: Machine) -> VmFacts:
    return VmFacts(
        name=machine.name,
        subscription_id=machine.id.subscription,
        resource_group=machine.id.resource_group,
        location=machine.location,
        zone=machine.zone,
        resource_id=str(machine.id),
    )
