"""Options written as Packer's users write them: one dash or two, `-x=v` or `-x v`, and `-color=false`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
"""The words of Go's strconv.ParseBool."""


_WITHOUT_MEANING = (
    *("warn-on-undeclared-var", "no-warn-undeclared-var", "evaluate-datasources"),
    *("ignore-prerelease-plugins", "use-sequential-evaluation", "skip-enforcement"),
)
"""Switches of Packer's build and validate about plugins, HCL and HCP: scripts may go on giving them."""


def machine_readable_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--machine-readable`, which Packer takes anywhere."""
    return click.option("--machine-readable", is_flag=True, help=text)


class PackerCommand(click.Command):
    """A command whose long options may be written in Go's manner. They are declared with two dashes."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        hidden = [
            click.Option([f"--{name}"], is_flag=True, hidden=True, expose_value=False) for name in _WITHOUT_MEANING
        ]
        return [*super().get_params(ctx), *hidden]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spelled_out(args, self.get_params(ctx)))


def spelled_out(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """The arguments with two dashes; switches without a value. Raises BadParameter for `-switch=perhaps`."""
    options = {
        name.lstrip("-"): param
        for param in params
        if isinstance(param, click.Option)
        for name in param.opts
        if len(name) > 2
    }
    found: list[str] = []
    rest = iter(args)
    for argument in rest:
        if argument == "--":
            return [*found, argument, *rest]
        if not argument.startswith("-") or len(argument.lstrip("-")) < 2:
            found.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        option = options.get(name)
        if option is None:
            found.append(f"--{name}{equals}{value}")
        elif option.is_flag:
            found.extend(_switch(option, name, value if equals else "true"))
        elif equals:
            found.append(f"--{name}={value}")
        else:
            following = next(rest, None)  # whatever it looks like: `-var -x` is for the option to judge
            found.append(f"--{name}" if following is None else f"--{name}={following}")
    return found


def _switch(option: click.Option, name: str, value: str) -> list[str]:
    if value in _TRUE:
        return [f"--{name}"]
    if value in _FALSE:
        return option.secondary_opts[:1]
    raise click.BadParameter(f"{value!r} is neither true nor false", param=option)
