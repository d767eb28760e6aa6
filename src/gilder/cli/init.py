"""`gilder init`."""

from __future__ import annotations

import click

from gilder.cli.flags import PackerCommand


@click.command(
    "init",
    cls=PackerCommand,
    short_help="Do nothing, for scripts written for Packer.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Do nothing: gilder has no plugins to install. It exists for scripts written for Packer."""
    click.echo("gilder has no plugins: nothing to install", err=True)
