"""`gilder schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of matrix files, for editors."""
    from gilder.template.schema import schema  # as slow to import as all models, and only needed here

    click.echo(json.dumps(schema(), indent=2))
