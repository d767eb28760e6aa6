"""Progress for CI systems that fold: stages as they happen, and at an image's end its whole log in a group of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gilder.cli.plain import Blocks, Flush, at_once, plain_lines, seconds
from gilder.model.events import Event, Finished, OutputLine
from gilder.model.gauges import Gauges

MOST = 10_000
"""Lines of a log that are repeated; the rest stays in its file."""


class Dialect(Protocol):
    """How a CI system is told to fold. What a guest printed must never be taken for a command."""

    def group(self, title: str, lines: Iterable[str]) -> Iterable[str]:
        """The lines in a group."""
        ...

    def error(self, title: str, text: str) -> str:
        """A mark that shows in the summary of the CI run."""
        ...

    def harmless(self, line: str) -> str:
        """The line as it may stand outside of a group."""
        ...


class GitHub:
    """GitHub Actions: workflow commands (docs.github.com, "Workflow commands for GitHub Actions")."""

    def group(self, title: str, lines: Iterable[str]) -> Iterable[str]:
        token = secrets.token_hex(16)
        yield f"::group::{_escaped(title)}"
        yield f"::stop-commands::{token}"
        yield from lines
        yield f"::{token}::"
        yield "::endgroup::"

    def error(self, title: str, text: str) -> str:
        name = _escaped(title).replace(":", "%3A").replace(",", "%2C")
        return f"::error title={name}::{_escaped(text)}"

    def harmless(self, line: str) -> str:
        line = line.replace("##[", "# #[")
        return line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line


class AzurePipelines:
    """Azure Pipelines: formatting and logging commands (learn.microsoft.com, "Logging commands")."""

    def group(self, title: str, lines: Iterable[str]) -> Iterable[str]:
        yield f"##[group]{self.harmless(title)}"
        for line in lines:
            yield self.harmless(line)
        yield "##[endgroup]"

    def error(self, title: str, text: str) -> str:
        return f"##vso[task.logissue type=error]{_escaped(f'{title}: {text}')}"

    def harmless(self, line: str) -> str:
        return line.replace("##[", "# #[").replace("##vso[", "# #vso[")


def _escaped(text: str) -> str:
    """A value within a command of either system, on one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def dialect(environment: Mapping[str, str]) -> Dialect | None:
    """How the CI system that this runs under folds; None: it does not, or there is none."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return GitHub()
    if environment.get("TF_BUILD", "").lower() == "true":
        return AzurePipelines()
    return None


class FoldedLines:
    """A sink that prints what the builds do, without their output, and the log of each when it ends, folded."""

    def __init__(
        self,
        echo: Callable[[str], None],
        speech: Dialect,
        log_of: Callable[[str], Iterable[str]],
        blocks: Blocks,
        flush: Flush = at_once,
    ) -> None:
        self.flush = flush
        self._echo = echo
        self._speech = speech
        self._log_of = log_of
        self._blocks = blocks

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._ended(event)
        elif not isinstance(event, OutputLine):
            self._all(plain_lines(event))

    def say(self, text: str) -> None:
        """Print a remark about the whole run."""
        self._all([f"==> {text}"])

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Not shown here: lines are for what changes."""

    def entered(self) -> None:
        """Nothing moves here."""

    def _ended(self, event: Finished) -> None:
        title = f"{event.build} {event.status} after {seconds(event.seconds)}"
        for line in self._speech.group(title, self._log_of(event.build)):
            self._echo(line)
        if event.status == "failed":
            self._echo(self._speech.error(f"{event.build} failed", event.text))
            self._all(self._blocks(event))

    def _all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._echo(self._speech.harmless(line))
