"""One `gilder build` from connection to summary."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import click
from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.arm import connected
from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.azure.identity import credential_for
from gilder.azure.metadata import Machine, this_machine
from gilder.build import Site
from gilder.cli.build import BuildOptions
from gilder.cli.embedded import Lease
from gilder.cli.logs import LogFiles
from gilder.cli.main import BUILT, FAILED
from gilder.cli.plain import PlainLines
from gilder.cli.summary import succeeded, summary
from gilder.cli.templates import TemplateFile
from gilder.engine import Run, RunOptions, Stopping, must_differ, signals_heard
from gilder.model.errors import UserError
from gilder.model.events import Event, Sink
from gilder.model.spec import Auth, BuildSpec
from gilder.model.vm import VmFacts
from gilder.runtime.filelock import file_locked
from gilder.runtime.journal import opened
from gilder.slots import LunDevices, SlotWriter

LOCKS = Path("/run/gilder")


async def build_all(file: TemplateFile, options: BuildOptions, lease: Lease | None) -> int:
    """Build everything in the template; returns the exit code."""
    auth = _shared_auth(file.loaded().builds)
    cloud = await _cloud(auth, lease)
    machine = await this_machine(cloud)
    loaded = file.loaded(_facts(machine))
    if file.report(loaded):
        return FAILED
    must_differ(loaded.builds)
    stopping = Stopping(lambda text: click.echo(f"==> {text}", err=True))
    with LogFiles(options.logs) as logs:
        plain = PlainLines(lambda line: click.echo(line, err=True))
        async with (
            opened(options.journal) as journal,
            _site(cloud, auth, machine, options.run) as site,
            signals_heard(stopping),
        ):
            policy = RunOptions(options.parallel_builds, options.fail_fast)
            await journal.run_started(options.run, str(machine.id), file.name)
            outcomes = await Run(site, journal, _both(plain, logs), stopping, policy).outcomes(loaded.builds)
            await journal.run_finished(options.run, "done" if succeeded(outcomes) else "failed")
        for line in summary(outcomes, {spec.name: logs.path(spec.name) for spec in loaded.builds}):
            click.echo(line)
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
async def _site(cloud: Cloud, auth: Auth, machine: Machine, run: str) -> AsyncIterator[Site]:
    transport = AioHttpTransport(connection_verify=str(cloud.ca_file) if cloud.ca_file else True)
    credential = credential_for(auth, cloud, transport)
    lock = LOCKS / f"{sha256(str(machine.id).lower().encode()).hexdigest()[:16]}.lock"
    devices = LunDevices()
    async with connected(cloud, credential, transport, lambda text: click.echo(f"==> {text}", err=True)) as arm:
        writer = SlotWriter(arm, machine.id, devices, lambda: file_locked(lock))
        yield Site(arm, machine, writer, devices, run)


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


def _both(first: Sink, second: Sink) -> Sink:
    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell
