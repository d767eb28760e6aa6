"""Several sinks as one, of which none can harm the others or a build."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gilder.model.events import Event, Sink

_MASK = "<sensitive>"
_SHORTEST_LINE = 8
"""Characters of a line of a longer secret that is hidden on its own."""


class Together:
    """A sink that tells all of `sinks`, in order. One that raises is told of by `say`, under its name, and dropped."""

    def __init__(self, sinks: Mapping[str, Sink], say: Callable[[str], None]) -> None:
        self._sinks = dict(sinks)
        self._say = say

    def __call__(self, event: Event) -> None:
        for name, sink in tuple(self._sinks.items()):
            try:
                sink(event)
            except Exception as error:  # noqa: BLE001 — a full disk or a closed terminal must not fail an image
                del self._sinks[name]
                self._say(f"no more {name}, the builds go on: {type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What must never be shown, and how it is hidden. Output comes in lines, so long lines of a secret are hidden too."""

    secrets: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> Redaction:
        """A redaction of these values; the longest go first, for one may hold another."""
        lines = [line.strip() for value in values for line in value.splitlines()]
        parts = {value for value in values if value} | {line for line in lines if len(line) >= _SHORTEST_LINE}
        return cls(tuple(sorted(parts, key=len, reverse=True)))

    def text(self, text: str) -> str:
        """The text with every secret hidden."""
        for secret in self.secrets:
            text = text.replace(secret, _MASK)
        return text

    def before(self, sink: Sink) -> Sink:
        """A sink that hides secrets and passes events on."""
        if not self.secrets:
            return sink

        def tell(event: Event) -> None:
            shown: dict[str, Any] = {
                name: self.text(value)
                for name in ("text", "what", "remedy", "detail")
                if isinstance(value := getattr(event, name, None), str)
            }
            sink(replace(event, **shown))

        return tell
