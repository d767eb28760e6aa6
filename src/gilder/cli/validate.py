"""`gilder validate`."""

from __future__ import annotations

import click

from gilder.cli.flags import PackerCommand
from gilder.cli.main import FAILED
from gilder.cli.templates import Templates, template_options


@click.command("validate", cls=PackerCommand, short_help="Check templates, offline.")
@template_options
@click.pass_context
def command(ctx: click.Context, templates: Templates) -> None:
    """Check templates, here and now: no cloud and no metadata service is asked.

    TEMPLATE is a file, a directory with templates, or - for standard input. Reports every mistake with file and line.
    Exits with 0 if there is none, else with 1.
    """
    errors = templates.report(templates.loaded())
    if errors:
        click.echo(f"{templates.name}: {errors} error{'s' if errors > 1 else ''}", err=True)
        ctx.exit(FAILED)
    click.echo("The configuration is valid.")
