"""The command `gilder`; each subcommand lives in a module of its own, imported only when it is called."""

from __future__ import annotations

import difflib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import TextIOWrapper
from itertools import takewhile
from typing import ClassVar

import click

from gilder import __version__
from gilder.cli.descriptors import standard_ones_there
from gilder.model.errors import GilderError, HostError, UserError

BUILT, FAILED, USAGE = 0, 1, 2
"""Exit codes: all built, something failed, wrong usage."""


class LazyGroup(click.Group):
    """A group whose commands are imported when needed: `gilder version` must not wait for the Azure SDK."""

    modules: ClassVar[dict[str, str]] = {
        "build": "gilder.cli.build:command",
        "validate": "gilder.cli.validate:command",
        "inspect": "gilder.cli.inspect:command",
        "doctor": "gilder.cli.doctor:command",
        "recover": "gilder.cli.recover:command",
        "gc": "gilder.cli.gc:command",
        "runs": "gilder.cli.history:runs",
        "show": "gilder.cli.history:show",
        "timeline": "gilder.cli.history:timeline",
        "schema": "gilder.cli.schema:command",
        "init": "gilder.cli.init:command",
        "version": "gilder.cli.version:command",
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; what Packer takes before the command as well as after it is handed on to the command."""
        before = list(takewhile(lambda argument: argument.startswith("-"), args))
        command = args[len(before) : len(before) + 1]
        moved = [argument for argument in before if argument in ("-machine-readable", "--machine-readable")]
        kept = [argument for argument in before if argument not in moved]
        return super().parse_args(ctx, [*kept, *command, *moved * len(command), *args[len(before) + 1 :]])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module, _, name = self.modules[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but a mistyped command is answered with those that are spelled nearly so."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.modules)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx=ctx) from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "-help", "--help"], "max_content_width": 110},
    epilog="Start with: gilder build --cloud local examples/quickstart.json",
)
@click.version_option(__version__, "-v", "-version", "--version", prog_name="gilder", message="%(prog)s %(version)s")
def gilder() -> None:
    """Build Azure VM images on an Azure VM by the chroot method.

    gilder runs on an Azure VM, as root. For each image it creates a managed disk from a source, attaches it to this
    VM, mounts it, runs the template's provisioners in a chroot, and publishes the result. Nothing temporary stays.

    With `--cloud local` it builds on a cloud embedded in gilder, on any Linux machine.
    """


_SELDOM = 100_000
"""New objects between two searches for garbage. By default 700, which made imports and the end a third slower."""


def main() -> None:
    """Run the command line; never returns."""
    standard_ones_there()
    gc.set_threshold(_SELDOM, 20, 50)
    if isinstance(sys.stdout, TextIOWrapper):  # what is no text in the terminal's encoding is told as stderr tells it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = gilder.main(prog_name="gilder", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = USAGE
    except click.ClickException as error:
        error.show()
        status = USAGE
    except click.Abort:  # Ctrl-C where nobody else hears it: before builds begin, and in what only looks
        click.echo("stopped", err=True)
        status = FAILED
    except (GilderError, OSError, BaseExceptionGroup) as error:
        status = _told(error)
    gc.freeze()  # the process ends: nothing is worth searching for garbage once more
    sys.exit(status if isinstance(status, int) else BUILT)


_STRAITS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM)
"""Errors of the system that are no mistake of gilder's."""


def _told(error: GilderError | OSError | BaseExceptionGroup[BaseException]) -> int:
    """Print the error that a person can do something about, out of those that came together."""
    known = list(_known(error))
    if not known:
        raise error
    told = min(known, key=lambda each: isinstance(each, OSError))
    if isinstance(told, GilderError):
        tell_error(told)
        return USAGE if isinstance(told, UserError) else FAILED
    where = f"{told.filename}: " if told.filename else ""
    tell_error(HostError(f"{where}{told.strerror}"))
    _let_go()
    return FAILED


def _known(error: BaseException) -> Iterator[GilderError | OSError]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _known(each)
    elif isinstance(error, GilderError) or (isinstance(error, OSError) and error.errno in _STRAITS):
        yield error


def _let_go() -> None:
    """What standard output could not take, Python would try to write once more at the end, and exit with 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_error(error: GilderError) -> None:
    """Print an error and what to do about it."""
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)
