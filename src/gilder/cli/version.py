"""`gilder version`."""

from __future__ import annotations

import time

import click

from gilder import __version__
from gilder.cli.flags import PackerCommand, machine_readable_option


@click.command("version", cls=PackerCommand)
@machine_readable_option("The version in Packer's format for programs.")
def command(machine_readable: bool) -> None:
    """Print the version."""
    if not machine_readable:
        click.echo(f"gilder {__version__}")
        return
    from gilder.cli.machine import machine_line  # here: `gilder version` is quick because it imports little

    now = time.time()
    click.echo(machine_line(now, "", "version", __version__))
    click.echo(machine_line(now, "", "version-prelease", ""))
    click.echo(machine_line(now, "", "version-commit", ""))
    click.echo(machine_line(now, "", "ui", "say", f"gilder {__version__}"))
