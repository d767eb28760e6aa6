"""Where gilder builds and keeps its files, and the options that say otherwise."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
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


_READING = ("runs", "show", "timeline")
"""Commands that ask no cloud."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a command was told to work. A command that it names must be told so too, or it finds no run, or another cloud."""

    journal: Path = JOURNAL
    cloud: str = "azure"
    cloud_state: Path = CLOUD_STATE

    @property
    def local(self) -> bool:
        """Whether it is the embedded cloud."""
        return self.cloud == "local"

    def command(self, name: str, *words: str) -> str:
        """A command that works there too, for a shell in whatever folder; without the options that are the defaults."""
        options: list[str] = []
        if self.local and name not in _READING:
            options += ["--cloud", self.cloud]
            options += ["--cloud-state", str(self.cloud_state.absolute())] if self.cloud_state != CLOUD_STATE else []
        options += ["--journal", str(self.journal.absolute())] if self.journal != JOURNAL else []
        return shlex.join(["gilder", name, *options, *words])


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
