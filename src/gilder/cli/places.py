"""Where gilder builds and keeps its files, and the options that say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

LOGS = Path("/var/lib/gilder/runs")
"""A folder for each run: the log of each build, and events.jsonl."""
JOURNAL = Path("/var/lib/gilder/journal.sqlite")
"""The same as gilder.runtime.journal.DEFAULT_PATH, which is not imported here: it takes anyio with it."""
CLOUD_STATE = Path("/var/lib/localarm")
"""Where the embedded cloud keeps its state; localarm's own default."""


class Place(click.Path):
    """A path that was given. Of "" pathlib makes the working directory, or a traceback where a file's name is needed.

    To be used with `readable=False`: click would ask whether a file may be read before the command can say who must be root.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


def is_there(journal: Path) -> bool:
    """Whether there is a journal; also where only root can see that: opening it says so."""
    try:
        return journal.exists()
    except PermissionError:
        return True


def cloud_options(about: str) -> Decorator:
    """The options `--cloud`, of which `about` says what is there, and `--cloud-state`."""

    def options(function: Callable[..., Any]) -> Callable[..., Any]:
        state = click.option(
            "--cloud-state",
            type=Place(path_type=Path, file_okay=False, readable=False),
            default=CLOUD_STATE,
            metavar="DIR",
            show_default=True,
            help="Where the embedded cloud keeps its state.",
        )
        choice = click.Choice(["azure", "local"])
        return click.option("--cloud", type=choice, default="azure", show_default=True, help=about)(state(function))

    return options


def log_dir_option(about: str) -> Decorator:
    """The option `--log-dir`."""
    kind = Place(path_type=Path, file_okay=False, readable=False)
    return click.option("--log-dir", type=kind, default=LOGS, show_default=True, help=about)


def journal_option(about: str) -> Decorator:
    """The option `--journal`."""
    kind = Place(path_type=Path, dir_okay=False, readable=False)
    return click.option("--journal", type=kind, default=JOURNAL, show_default=True, help=about)
