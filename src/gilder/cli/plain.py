"""Progress as plain lines, one per change: what a CI log or a pipe gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from gilder.model.errors import LAST_LINES
from gilder.model.events import Event, Finished, LeftBehind, OutputLine, Said, StageFinished, StageStarted, Waiting
from gilder.model.gauges import Gauges


class Progress(Protocol):
    """A sink for a person to look at."""

    def __call__(self, event: Event) -> None:
        """Show an event of a build."""
        ...

    def say(self, text: str) -> None:
        """Show a remark about the whole run. May be called from any thread."""
        ...

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """From here on, `gauges` can be read: what is left of what the builds share."""
        ...

    def entered(self) -> None:
        """A person has typed a line, which the terminal has shown."""
        ...

    def flush(self, within: float) -> object:
        """Wait until all is shown, for so many seconds at most. May be called from a signal handler."""
        ...


Blocks = Callable[[Finished], list[str]]
"""What else is printed when a build ends: the last lines of its log when it failed."""


def seconds(value: float) -> str:
    """A duration for people: 0.4s, 12s, 3m05s, 1h02m."""
    if value < 9.95:
        return f"{value:.1f}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def plain_lines(event: Event) -> list[str]:
    """The lines to print for an event; pure."""
    match event:
        case StageStarted():
            text = f"{event.stage}: {event.detail}" if event.detail else f"{event.stage}"
            return [f"==> {event.build}: {text}"]
        case StageFinished():
            return []
        case OutputLine():
            return [f"    {event.build}: {event.text}"]
        case Said():
            return [f"==> {event.build}: {line}" for line in event.text.splitlines()]
        case Waiting():
            return [f"==> {event.build}: waiting for {event.what}"] if event.what else []
        case LeftBehind():
            return [
                f"==> {event.build}: LEFT BEHIND: {event.what}",
                f"==> {event.build}:   remove with: {event.remedy}",
            ]
        case Finished():
            # All of the error stands in the block below, and what it announces does not follow here.
            return [line.removesuffix(LAST_LINES) for line in ended_line(event).splitlines()[:1]]
        case _:
            return []


def ended_line(event: Finished) -> str:
    """How a build ended, as Packer says it; more than one line where the error has more."""
    took = spoken(event.seconds)
    if event.status == "built":
        return f"Build '{event.build}' finished after {took}."
    return f"Build '{event.build}' errored after {took}: {event.text or event.status}"


def spoken(seconds: float) -> str:
    """A duration as Packer says it, by its two largest units: `1 minute 3 seconds`, `21 milliseconds 832 microseconds`."""
    rest = round(seconds * 1_000_000)
    words = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(words[:2]) or "0 microseconds"


_UNITS = (
    ("hour", 3_600_000_000),
    ("minute", 60_000_000),
    ("second", 1_000_000),
    ("millisecond", 1000),
    ("microsecond", 1),
)


Flush = Callable[[float], object]
"""Waits until all is shown, for so many seconds at most."""


def at_once(within: float) -> None:
    """Where what is printed is shown at once."""


class PlainLines:
    """A sink that prints plain lines, and after a failure its block."""

    def __init__(self, echo: Callable[[str], None], blocks: Blocks = lambda event: [], flush: Flush = at_once) -> None:
        self._echo = echo
        self._blocks = blocks
        self.flush = flush

    def __call__(self, event: Event) -> None:
        for line in plain_lines(event):
            self._echo(line)
        if isinstance(event, Finished):
            for line in self._blocks(event):
                self._echo(line)

    def say(self, text: str) -> None:
        """Print a remark about the whole run."""
        self._echo(f"==> {text}")

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Not shown here: lines are for what changes."""

    def entered(self) -> None:
        """Nothing moves here."""


def stamped(echo: Callable[[str], None]) -> Callable[[str], None]:
    """Print with the local time in front (RFC 3339, seconds): Packer's -timestamp-ui."""
    return lambda line: echo(f"{datetime.now().astimezone().isoformat(timespec='seconds')}: {line}")
