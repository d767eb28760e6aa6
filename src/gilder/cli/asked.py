"""What the command line asked for; values of their own, because reading it must not load what does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gilder.cli.look import Look
from gilder.model.deadlines import Deadlines


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Of `gilder build`."""

    logs: Path
    journal: Path
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
    recovery: str
    """The command that recovers this run."""


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """Of `gilder doctor`."""

    local: bool
    cloud_state: Path
    logs: Path
    journal: Path
    force: bool
