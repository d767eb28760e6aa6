"""How a build ended: a value per image, so that one failure is not everyone's.

`seconds` count from its first stage; how long it was queued before depends on the other builds.
"""

from __future__ import annotations

from dataclasses import dataclass

from gilder.model.events import Stage
from gilder.model.ids import ArmId


@dataclass(frozen=True, slots=True)
class Residue:
    """A thing that could not be given back: what it is and the command that removes it by hand."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Built:
    """The image is there. `artifacts` are the resources that the user asked for."""

    build: str
    artifacts: tuple[ArmId, ...]
    seconds: float
    residues: tuple[Residue, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The image is not there; `stage` is where it went wrong."""

    build: str
    stage: Stage
    error: str
    hint: str | None
    seconds: float
    residues: tuple[Residue, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The build was stopped by a person, a signal or fail-fast; `stage` is where it stood (None: never started)."""

    build: str
    stage: Stage | None
    seconds: float
    residues: tuple[Residue, ...] = ()


Outcome = Built | Failed | Cancelled
