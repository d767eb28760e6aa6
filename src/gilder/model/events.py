"""What happens during a build, told as frozen values; drawing them is the business of `cli`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """Where a build is; the words are what a person reads."""

    RESOLVE = "looking up the source"
    CREATE_DISK = "creating the disk"
    ATTACH = "attaching the disk"
    PRE_MOUNT = "running pre-mount commands"
    MOUNT = "mounting"
    POST_MOUNT = "running post-mount commands"
    CHROOT = "preparing the chroot"
    PROVISION = "provisioning"
    PRE_UNMOUNT = "running pre-unmount commands"
    CHROOT_LEFT = "putting the chroot back in order"
    UNMOUNT = "unmounting"
    SNAPSHOT = "taking the snapshot"
    PUBLISH = "publishing the image"
    DETACH = "detaching the disk"
    CLEAN_UP = "cleaning up"
    POST_PROCESS = "running post-processors"


WAITING_FOR = "waiting for "
"""How the record of a wait begins, where that of a stage has the stage: `waiting for a slot on the VM`."""


THROTTLED = "Azure, which throttles this"
"""What a build waits for when Azure allows no request of its kind for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to the build named; `at` is monotonic time in seconds (anyio.current_time)."""

    build: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """A stage began. `detail` says with what, such as the LUN or the image's name."""

    stage: Stage
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished(Event):
    """A stage ended, well or not, after `seconds`."""

    stage: Stage
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine(Event):
    """A program of the build printed a line; `stream` is stdout or stderr."""

    text: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Event):
    """Something worth telling that is neither a stage nor a program's output."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """The build waits for `what` (a slot, a VM write, a clone's turn); "" when it goes on."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind(Event):
    """Something could not be given back; `remedy` is the command that removes it."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The build is over; `status` is built, failed or cancelled, `text` the artifact or the error."""

    status: str
    seconds: float
    text: str = field(default="")


Sink = Callable[[Event], None]
"""Where events go. Must not block and must not raise."""
