"""`gilder validate`."""

from __future__ import annotations

import time

import click

from gilder.cli.flags import PackerCommand, machine_readable_option
from gilder.cli.machine import machine_line
from gilder.cli.main import FAILED
from gilder.cli.secrecy import open_files
from gilder.cli.templates import Templates, template_options
from gilder.model.spec import Auth


@click.command("validate", cls=PackerCommand, short_help="Check templates, offline.")
@template_options
@click.option(
    "--syntax-only", is_flag=True, help="Only the structure: no variable needs a value, no file is looked for."
)
@machine_readable_option("What is wrong on stdout, in Packer's format for programs.")
@click.pass_context
def command(ctx: click.Context, templates: Templates, syntax_only: bool, machine_readable: bool) -> None:
    """Check templates, here and now: no cloud and no metadata service is asked.

    TEMPLATE is a file, a directory with templates, or - for standard input. Reports every mistake with file and line.
    Exits with 0 if there is none, else with 1.
    """
    loaded = templates.structure() if syntax_only else templates.loaded()
    errors = templates.report(loaded, machine=machine_readable)
    if errors:
        click.echo(f"{templates.name}: {errors} error{'s' if errors > 1 else ''}", err=True)
        ctx.exit(FAILED)
    for warning in () if syntax_only else open_files(loaded, Auth(), templates.texts):
        click.echo(f"warning: {warning}", err=True)
    said = "Syntax-only check passed. Everything looks okay." if syntax_only else "The configuration is valid."
    click.echo(machine_line(time.time(), "", "ui", "say", said) if machine_readable else said)
