"""One `gilder build` from connection to summary."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

import anyio
import click
from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.arm import connected
from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.azure.identity import credential_for
from gilder.azure.metadata import Machine, this_machine
from gilder.build import Site
from gilder.cli.build import BuildOptions
from gilder.cli.embedded import Lease
from gilder.cli.eventlog import EventLog
from gilder.cli.logs import LogFiles
from gilder.cli.main import BUILT, FAILED
from gilder.cli.progress import shown
from gilder.cli.sinks import Redaction, Together
from gilder.cli.summary import succeeded, summary
from gilder.cli.templates import TemplateFile
from gilder.engine import Run, RunOptions, Stopping, must_differ, signals_heard
from gilder.model.errors import UserError
from gilder.model.spec import Auth, BuildSpec
from gilder.model.vm import VmFacts
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import opened
from gilder.runtime.locks import KeyedLocks
from gilder.slots import LunDevices, SlotWriter

LOCKS = Path("/run/gilder")


async def build_all(file: TemplateFile, options: BuildOptions, lease: Lease | None) -> int:
    """Build everything in the template; returns the exit code."""
    start = anyio.current_time()
    auth = _shared_auth(file.loaded().builds)
    cloud = await _cloud(auth, lease)
    machine = await this_machine(cloud)
    loaded = file.loaded(_facts(machine))
    if file.report(loaded):
        return FAILED
    must_differ(loaded.builds)
    redaction = Redaction.of([*loaded.sensitive, *(value for spec in loaded.builds for value in spec.sensitive)])
    with LogFiles(options.logs) as logs, EventLog(options.logs) as events:
        async with opened(options.journal) as journal:
            names = [spec.name for spec in loaded.builds]
            async with shown(options.look, names, await journal.usual_seconds(), logs) as progress:
                with lease.heard_by(progress.say) if lease else nullcontext():
                    stopping = Stopping(progress.say)
                    sink = redaction.before(Together([logs, events, progress], progress.say))
                    async with _site(cloud, auth, machine, options.run, progress.say) as site, signals_heard(stopping):
                        events.run("run-started", run=options.run, vm=str(machine.id), builds=names)
                        await journal.run_started(options.run, str(machine.id), file.name)
                        policy = RunOptions(options.parallel_builds, options.fail_fast)
                        outcomes = await Run(site, journal, sink, stopping, policy).outcomes(loaded.builds)
                        await journal.run_finished(options.run, "done" if succeeded(outcomes) else "failed")
                        events.run("run-finished", run=options.run, ok=succeeded(outcomes))
        took = anyio.current_time() - start
        for line in summary(outcomes, {spec.name: logs.path(spec.name) for spec in loaded.builds}, took):
            click.echo(redaction.text(line))
    return BUILT if succeeded(outcomes) and not stopping.signals else FAILED


async def _cloud(auth: Auth, lease: Lease | None) -> Cloud:
    if lease is not None:
        embedded = lease.cloud()
        # azure-identity finds another metadata service by this variable only.
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = embedded.metadata_url
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    if auth.metadata_host:
        return await discovered_cloud(auth.metadata_host)
    return named_cloud(auth.cloud_environment_name)


@asynccontextmanager
async def _site(
    cloud: Cloud, auth: Auth, machine: Machine, run: str, say: Callable[[str], None]
) -> AsyncIterator[Site]:
    transport = AioHttpTransport(connection_verify=str(cloud.ca_file) if cloud.ca_file else True)
    credential = credential_for(auth, cloud, transport)
    lock = LOCKS / f"{sha256(str(machine.id).lower().encode()).hexdigest()[:16]}.lock"
    devices = LunDevices()
    async with connected(cloud, credential, transport, say) as arm:
        writer = SlotWriter(arm, machine.id, devices, lambda: file_locked(lock))
        yield Site(arm, machine, writer, devices, run, turns=KeyedLocks(LOCKS))


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
