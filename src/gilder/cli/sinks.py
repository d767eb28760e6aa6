"""Several sinks as one, of which none can harm the others or a build."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from gilder.model.events import Event, Sink


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
                self._say(f"no more {name}, the builds go on: {_why(error)}")


def _why(error: Exception) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return f"{type(error).__name__}: {error}"
    return error.strerror + ("; free some space there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "")
