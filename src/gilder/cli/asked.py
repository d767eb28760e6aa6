"""What the command line asked for; values of their own, because reading it must not load what does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gilder.cli.look import Look
from gilder.cli.places import Places
from gilder.model.deadlines import Deadlines


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Of `gilder build`."""

    logs: Path
    places: Places
    run: str
    parallel_builds: int
    fail_fast: bool
    on_error: str
    force: bool
    debug: bool
    attended: bool
    """Whether there is a person to ask."""
    recover: bool
    deadlines: Deadlines
    look: Look

    @property
    def recovery(self) -> str:
        """The command that recovers this run."""
        return self.places.command("recover", self.run)


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """Of `gilder doctor`."""

    places: Places
    logs: Path
    force: bool
