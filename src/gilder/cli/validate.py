"""`gilder validate`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gilder.cli.main import FAILED
from gilder.cli.templates import TemplateFile, template_options


@click.command("validate")
@template_options
@click.pass_context
def command(ctx: click.Context, template: str, variables: Sequence[str], var_files: Sequence[str]) -> None:
    """Check a template, here and now: no cloud and no metadata service is asked.

    Reports every mistake with file and line. Exits with 0 if there is none, else with 1.
    """
    file = TemplateFile(template, variables, var_files)
    errors = file.report(file.loaded())
    if errors:
        click.echo(f"{file.name}: {errors} error{'s' if errors > 1 else ''}", err=True)
        ctx.exit(FAILED)
    click.echo("The configuration is valid.")
