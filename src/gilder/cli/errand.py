"""A command that works on the cloud and builds nothing: whom it logs in as, and what it says without secrets."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.cli.connection import Login, found_cloud
from gilder.cli.embedded import Lease
from gilder.cli.secrecy import errors_hidden
from gilder.engine import login_secrets
from gilder.model.spec import Auth
from gilder.runtime.redaction import Redactor
from gilder.template.secrecy import environment_secrets


@dataclass(frozen=True)
class Errand:
    """What such a command needs."""

    cloud: Cloud
    auth: Auth
    machine: Machine
    redactor: Redactor

    def tell(self, text: str) -> None:
        """Progress, on stderr."""
        click.echo(f"==> {self.redactor.text(text)}", err=True)

    def show(self, text: str) -> None:
        """A result, on stdout."""
        click.echo(self.redactor.text(text))


@asynccontextmanager
async def errand(lease: Lease | None) -> AsyncIterator[Errand]:
    """Be on an errand while inside, as whom the environment names or else as this VM; errors leave without secrets."""
    redactor, short = Redactor.of(environment_secrets(os.environ))
    for name in short:
        click.echo(f"warning: the value of {name} is too short to be hidden", err=True)
    with errors_hidden(redactor):
        auth = await Login(lease, lambda text: click.echo(redactor.text(text), err=True)).settled(Auth())
        cloud = await found_cloud(auth, lease)
    redactor, _ = Redactor.of(environment_secrets(os.environ) | login_secrets(auth))
    with errors_hidden(redactor):
        yield Errand(cloud, auth, await this_machine(cloud), redactor)
