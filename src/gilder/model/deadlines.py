"""How long a build and its stages may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gilder.model.events import Stage

_UNDOING = (Stage.CHROOT_LEFT, Stage.UNMOUNT, Stage.DETACH, Stage.CLEAN_UP)
"""Stages that give something back: each is bounded by itself, and must not be cut short."""


def stage_word(stage: Stage) -> str:
    """A stage as users write it and events.jsonl has it, such as `pre-mount`."""
    return stage.name.lower().replace("_", "-")


LIMITED: Mapping[str, Stage] = {stage_word(stage): stage for stage in Stage if stage not in _UNDOING}
"""The stages that may have a deadline, by their words."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a build may take, from when it has a place on the VM to when its images are there, and its stages.

    None, and stages left out: any time.
    """

    build: float | None = None
    stages: Mapping[Stage, float] = field(default_factory=dict)

    def and_(self, other: Deadlines) -> Deadlines:
        """The shorter of both."""
        builds = [one for one in (self.build, other.build) if one is not None]
        found = dict(self.stages)
        for stage, seconds in other.stages.items():
            found[stage] = min(seconds, found.get(stage, seconds))
        return Deadlines(min(builds, default=None), found)


def duration_told(seconds: float) -> str:
    """Seconds as users write them: `1h30m`, `45s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(f"{hours:g}h", hours), (f"{minutes:g}m", minutes), (f"{rest:g}s", rest)]
    return "".join(text for text, amount in parts if amount) or "0s"
