"""One `gilder build` from connection to summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import anyio
import click

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.build import Attendance, OnError
from gilder.cli.asked import BuildOptions
from gilder.cli.asking import Asker
from gilder.cli.connection import Login, found_cloud
from gilder.cli.earlier import earlier_runs_settled
from gilder.cli.embedded import Lease
from gilder.cli.ending import hear_out
from gilder.cli.errand import Errand
from gilder.cli.eventlog import EventLog
from gilder.cli.logs import LogFiles
from gilder.cli.machine import MachineLines
from gilder.cli.main import BUILT, FAILED
from gilder.cli.progress import shown
from gilder.cli.secrecy import errors_hidden, open_files
from gilder.cli.sinks import Together
from gilder.cli.stopping import until_stopped
from gilder.cli.summary import succeeded, summary
from gilder.cli.templates import Templates
from gilder.engine import Run, RunOptions, Stopping, login_secrets, must_differ, shared_auth, signals_heard, site_on
from gilder.model.errors import HostError, JournalDamaged
from gilder.model.events import Sink
from gilder.model.outcomes import Outcome
from gilder.model.spec import Auth
from gilder.runtime.history import efforts
from gilder.runtime.journal import Journal, opened
from gilder.runtime.living import living
from gilder.runtime.redaction import Redactor
from gilder.template import Loaded
from gilder.template.secrecy import secrets_of


async def build_all(templates: Templates, options: BuildOptions, lease: Lease | None) -> int:
    """Build everything that was asked for; returns the exit code."""
    start = anyio.current_time()
    login = Login(lease, _warn)
    cloud = await found_cloud(await login.settled(shared_auth(templates.loaded().builds)), lease)
    machine = await this_machine(cloud)
    loaded = templates.loaded(machine.facts)
    if templates.report(loaded, machine=options.look.machine):
        return FAILED
    auth = await login.settled(shared_auth(loaded.builds))
    redactor, short = Redactor.of(secrets_of(loaded, os.environ) | login_secrets(auth))
    warnings = [f"the value of {name} is too short to be hidden" for name in short]
    for warning in warnings + open_files(loaded, auth, templates.texts):
        _warn(warning)
    with errors_hidden(redactor):
        must_differ(loaded.builds, auth, machine)
        return await _built(_Work(options, templates.name, loaded, cloud, auth, machine, redactor), lease, start)


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


async def _built(work: _Work, lease: Lease | None, start: float) -> int:
    options, hide = work.options, work.redactor.text
    async with opened(options.places.journal, hide) as journal, living(options.run, journal.path):
        here = Errand(work.cloud, work.auth, work.machine, work.redactor)
        earlier = partial(earlier_runs_settled, journal, here, options.places, first=options.recover)
        if not await until_stopped(earlier):
            return FAILED
        with LogFiles(options.logs) as logs, EventLog(options.logs) as events:
            outcomes, interrupted = await work.done(journal, logs, events, lease)
    _tell_results(work, logs, outcomes, anyio.current_time() - start)
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
    redactor: Redactor

    async def done(
        self, journal: Journal, logs: LogFiles, events: EventLog, lease: Lease | None
    ) -> tuple[list[Outcome], bool]:
        """Build, and show it; returns how each build ended and whether a signal stopped the run."""
        run, names = self.options.run, [spec.name for spec in self.loaded.builds]
        usual = efforts(await journal.last_timings())
        async with shown(self.options.look, names, usual, logs) as progress:

            def say(text: str) -> None:
                progress.say(self.redactor.text(text))

            asker = Asker(say, progress.entered) if self.options.attended else None
            policy = self._policy(asker, embedded=lease is not None)
            stopping = Stopping(say, progress.flush, recovery=self.options.recovery)
            folder = self.options.logs
            sinks: dict[str, Sink] = {
                f"logs in {folder}": logs,
                f"events.jsonl in {folder}": events,
                "progress": progress,
            }
            sink = Together(sinks, say)
            with lease.heard_by(say) if lease else nullcontext():
                site_of_run = site_on(self.cloud, self.auth, self.machine, run, say)
                async with site_of_run as site:
                    work = Run(site, journal, sink, stopping, policy, self.redactor)
                    progress.watch(work.gauges)
                    hear_out()
                    with signals_heard(stopping):
                        outcomes = await self._outcomes(work, journal, events, say)
        return outcomes, stopping.signals > 0

    async def _outcomes(
        self, work: Run, journal: Journal, events: EventLog, say: Callable[[str], None]
    ) -> list[Outcome]:
        run = self.options.run
        events.run("run-started", run=run, vm=str(self.machine.id), builds=[spec.name for spec in self.loaded.builds])
        await journal.run_started(run, str(self.machine.id), self.template)
        outcomes = await work.outcomes(self.loaded.builds)
        try:
            await journal.run_finished(run, "done" if succeeded(outcomes) else "failed")
        except HostError as error:  # a full disk then is told, and hides no outcome
            say(incomplete(error, self.options.recovery))
        events.run("run-finished", run=run, ok=succeeded(outcomes))
        return outcomes

    def _policy(self, asker: Asker | None, *, embedded: bool) -> RunOptions:
        options = self.options
        return RunOptions(
            options.parallel_builds,
            options.fail_fast,
            options.force,
            Attendance(OnError(options.on_error), options.debug, asker),
            options.deadlines,
            options.recovery if embedded else "",  # `az` does not reach the embedded cloud
        )


def incomplete(error: HostError, recovery: str) -> str:
    """That the end of a run could not be noted, and what that asks for; pure."""
    told = f"{error.message}: the record of this run is incomplete"
    if isinstance(error, JournalDamaged):
        return f"{told}; {error.hint}"
    return f"{told}; {error.hint or 'let it be written again'}, and then complete it with: {recovery}"


def _tell_results(work: _Work, logs: LogFiles, outcomes: Sequence[Outcome], took: float) -> None:
    options, builds = work.options, work.loaded.builds

    def echo(line: str) -> None:
        click.echo(work.redactor.text(line))

    if options.look.machine:
        MachineLines(echo).results(outcomes, took)
        return
    for line in summary(outcomes, {spec.name: logs.path(spec.name) for spec in builds}, took):
        echo(line)
    if any(outcome.residues for outcome in outcomes):
        echo(f"           all of it: {options.recovery}")
