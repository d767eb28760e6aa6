"""`gilder version`."""

from __future__ import annotations

import click

from gilder import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"gilder {__version__}")
