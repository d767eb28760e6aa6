"""What a build takes when it waits for nothing: by this builds are put in order, and the end of a run is foretold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Self

from gilder.model.events import Stage

_PART: dict[str, str] = {
    Stage.RESOLVE: "ahead",
    Stage.CREATE_DISK: "ahead",
    Stage.ATTACH: "attaching",
    Stage.PRE_MOUNT: "working",
    Stage.MOUNT: "working",
    Stage.POST_MOUNT: "working",
    Stage.CHROOT: "working",
    Stage.PROVISION: "working",
    Stage.PRE_UNMOUNT: "working",
    Stage.CHROOT_LEFT: "working",
    Stage.UNMOUNT: "working",
    Stage.SNAPSHOT: "after",
    Stage.PUBLISH: "after",
    Stage.CLEAN_UP: "after",
    Stage.POST_PROCESS: "after",
}
"""Where the time of a stage belongs. That of the detach belongs nowhere: it is put off until another write to the VM takes it
along, and overlaps with what comes after the slot."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds of a build without its waits, by what it needs meanwhile.

    Attributes:
        ahead: no slot yet: its source is looked up, its disk created.
        attaching: a slot, and the VM.
        working: a slot, and this machine.
        after: no slot any more: the snapshot is taken, the image published.
    """

    ahead: float = 0.0
    attaching: float = 0.0
    working: float = 0.0
    after: float = 0.0

    @property
    def whole(self) -> float:
        """From the first stage to the end."""
        return self.ahead + self.attaching + self.working + self.after

    @property
    def leaving(self) -> float:
        """How long a disk that is done with still has its slot.

        It leaves as slowly as it came, and before that waits for half of another write to the VM on average.
        """
        return 1.5 * self.attaching

    @property
    def in_slot(self) -> float:
        """How long nobody else can have its slot."""
        return self.attaching + self.working + self.leaving

    @property
    def path(self) -> float:
        """What differs from image to image: the work, and what follows it."""
        return self.working + self.after

    def with_stage(self, stage: str, seconds: float) -> Self:
        """The effort with so many seconds of a stage more."""
        part = _PART.get(stage)
        return replace(self, **{part: getattr(self, part) + seconds}) if part else self

    @classmethod
    def typical(cls, efforts: Sequence[Effort]) -> Effort | None:
        """The middle one in each of its parts; None of nothing."""
        if not efforts:
            return None
        return Effort(**{field.name: median(getattr(one, field.name) for one in efforts) for field in fields(cls)})
