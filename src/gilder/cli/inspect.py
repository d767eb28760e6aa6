"""`gilder inspect`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import click
from pydantic import BaseModel

from gilder.cli.flags import PackerCommand, machine_readable_option
from gilder.cli.machine import machine_line
from gilder.cli.main import FAILED
from gilder.cli.templates import Templates, template_options
from gilder.model.diagnostics import Span
from gilder.model.spec import BuildSpec, PostProcessor, Provisioner
from gilder.template import Loaded, Variable
from gilder.template.azure_chroot import SHAPE

_HIDDEN = "<sensitive>"


@click.command("inspect", cls=PackerCommand, short_help="Show what templates mean.")
@template_options
@machine_readable_option("In Packer's format for programs.")
@click.option("--defaults", is_flag=True, help="Also the options that are left to their defaults.")
@click.pass_context
def command(ctx: click.Context, templates: Templates, machine_readable: bool, defaults: bool) -> None:
    """Show what templates mean: their variables, their builds, and where each value comes from.

    Nothing is asked of a cloud: what only an Azure VM knows is shown with names like offline-vm, and variables need no
    values. Exits with 1 when a template has mistakes.
    """
    loaded = templates.described()
    errors = templates.report(loaded, machine=machine_readable)
    hide = templates.redactor(loaded).text
    lines = (
        machine_lines(loaded, time.time(), hide) if machine_readable else inspection(loaded, hide, defaults=defaults)
    )
    for line in lines:
        click.echo(line)
    if errors:
        ctx.exit(FAILED)


def inspection(loaded: Loaded, hide: Callable[[str], str], *, defaults: bool = False) -> Iterator[str]:
    """What templates mean, for a person; with `defaults` also what they leave to them. `hide` takes secrets out."""
    yield from map(hide, _inspection(loaded, defaults))


def _inspection(loaded: Loaded, defaults: bool) -> Iterator[str]:
    if loaded.description:
        yield from [loaded.description, ""]
    if loaded.variables:
        yield "Variables:"
        width = max(len(variable.name) for variable in loaded.variables)
        yield from (f"  {variable.name:{width}}  {_variable(variable)}" for variable in loaded.variables)
        yield ""
    yield "Builds:"
    for build in loaded.builds:
        cell = loaded.cells.get(build.name, {})
        yield from _build(build, loaded.origins.get(build.name, {}), cell, defaults)


def _variable(variable: Variable) -> str:
    if variable.value is None:
        return "(required, not set)" if variable.default is None else "(no value)"
    value = _HIDDEN if variable.sensitive else repr(variable.value)
    where = f", {_place(variable.where)}" if variable.where and variable.origin == "default" else ""
    return f"{value}  ({variable.origin}{where})"


def _build(build: BuildSpec, origins: Mapping[str, Span], cell: Mapping[str, str], defaults: bool) -> Iterator[str]:
    yield f"  {build.name}"
    left = [name for name in SHAPE.options if name not in origins] if defaults else []
    options = {name: _shown(value) for name, value in _options(build, [*origins, *left])}
    width = max((len(name) for name in options), default=0)
    if cell:
        yield f"    {'matrix':{width}}  {', '.join(f'{axis}={value}' for axis, value in cell.items())}"
    for name, value in options.items():
        yield f"    {name:{width}}  {value}  ({_place(origins[name]) if name in origins else 'default'})"
    yield from _steps(build)


def _steps(build: BuildSpec) -> Iterator[str]:
    """What is done on the disk, and once the image is there: a line for each, with what the template says of it."""
    rescue = build.error_cleanup_provisioner
    for title, steps in (
        ("provisioners", [_step(provisioner) for provisioner in build.provisioners]),
        ("error-cleanup-provisioner", [_step(rescue)] if rescue else []),
        ("post-processors", [" → ".join(_step(one) for one in chain) for chain in build.post_processors]),
    ):
        if steps:
            yield f"    {title}"
            yield from (f"      {step}" for step in steps)


def _step(block: Provisioner | PostProcessor) -> str:
    given = (name for name in type(block).model_fields if name in block.model_fields_set and name != "type")
    options = ", ".join(f"{name}={_shown(getattr(block, name))}" for name in given)
    return f"{block.type}: {options}" if options else block.type


def _options(build: BuildSpec, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Options of a build and their values."""
    for name in names:
        if name in type(build).model_fields:
            yield name, getattr(build, name)
        elif name in type(build.auth).model_fields:
            secret = type(build.auth).model_fields[name].repr is False
            value = getattr(build.auth, name)
            yield name, _HIDDEN if secret and value else value


def _shown(value: Any) -> str:
    match value:
        case Enum():
            return str(value.value)
        case BaseModel():
            given = (
                (name, getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set
            )
            return ", ".join(f"{name}={_shown(part)}" for name, part in given)
        case dict():
            return ", ".join(f"{key}={_shown(part)}" for key, part in value.items()) or "(none)"
        case tuple() | list():
            return "; ".join(_shown(part) for part in value) or "(none)"
        case bool():
            return "true" if value else "false"
        case None:
            return "(none)"
        case _:
            return str(getattr(value, "text", value)).replace("\n", "\\n")


def _place(where: Span | None) -> str:
    return f"{where.file}:{where.line}" if where else "command line"


def machine_lines(loaded: Loaded, now: float, hide: Callable[[str], str]) -> Iterator[str]:
    """The categories of Packer's `inspect -machine-readable`, without the text for people; `hide` takes secrets out."""
    for variable in loaded.variables:
        required = variable.declared and variable.default is None
        default = _HIDDEN if variable.sensitive else hide(variable.default or "")
        yield machine_line(now, "", "template-variable", variable.name, default, "1" if required else "0")
    for build in loaded.builds:
        yield machine_line(now, "", "template-builder", build.name, "azure-chroot")
    kinds = dict.fromkeys(provisioner.type for build in loaded.builds for provisioner in build.provisioners)
    for kind in kinds:
        yield machine_line(now, "", "template-provisioner", kind)
