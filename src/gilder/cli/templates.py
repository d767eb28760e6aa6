"""Template files and variables from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gilder.model.diagnostics import Severity, render
from gilder.model.errors import UserError
from gilder.model.vm import VmFacts
from gilder.template.inputs import Inputs
from gilder.template.load import load
from gilder.template.loaded import Loaded


def template_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and options that all commands about templates share."""
    function = click.option(
        "-var-file",
        "--var-file",
        "var_files",
        multiple=True,
        metavar="FILE",
        help="JSON file with variables; may be given again, the later wins.",
    )(function)
    function = click.option(
        "-var",
        "--var",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a variable; wins over variable files. May be given again.",
    )(function)
    return click.argument("template", metavar="TEMPLATE")(function)


class TemplateFile:
    """One template on disk (or `-` for stdin), to be read once offline and once knowing the VM."""

    def __init__(self, name: str, variables: Sequence[str], var_files: Sequence[str]) -> None:
        self.name = "<stdin>" if name == "-" else name
        self.text = sys.stdin.read() if name == "-" else _text(name)
        self._inputs = Inputs(
            variables=dict(_pair(pair) for pair in variables),
            var_files=[(file, _text(file)) for file in var_files],
        )

    def loaded(self, vm: VmFacts | None = None) -> Loaded:
        """What the template means; without `vm`, placeholders stand for what only an Azure VM knows."""
        return load(self.text, file=self.name, inputs=replace(self._inputs, vm=vm))

    def report(self, loaded: Loaded) -> int:
        """Print the diagnostics to stderr; returns how many errors there are."""
        sources = dict(self._inputs.var_files) | {self.name: self.text}
        for diagnostic in loaded.diagnostics:
            text = sources.get(diagnostic.where.file) if diagnostic.where else None
            for line in render(diagnostic, text):
                click.echo(line, err=True)
        return sum(d.severity is Severity.ERROR for d in loaded.diagnostics)


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name} cannot be read: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"-var {text!r} is not NAME=VALUE", hint="for example: -var region=westeurope")
    return name, value
