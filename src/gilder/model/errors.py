"""The errors that a user may meet.

GilderError
  UserError        the template or the options are wrong; nothing was touched
  Refused          the world is not as the build needs it; found out before anything was created
  CloudError       Azure said no
    NotFound · Denied · Throttled · Conflict · OperationFailed · Untold · Unreachable
  HostError        this machine said no
    CommandFailed (CommandTimedOut) · ScriptFailed · ProvisionerTimedOut · Busy · DeviceMissing · JournalDamaged
  DeadlineMissed   a build or a stage of it took longer than it was given
  ReleaseFailed    something could not be given back; says what is left and how to remove it
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Self

from gilder.model.endings import advice, ending


class GilderError(Exception):
    """An error with an optional hint: what the user can do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def adding(self, text: str) -> Self:
        """The same error with more in its message, as one of its own.

        One error may be raised to many builds, such as a refusal of the token: changed in place, it would tell each of them
        what another lost.
        """
        more = type(self).__new__(type(self))  # not by __init__: each kind has its own
        more.__dict__ = {name: value for name, value in self.__dict__.items() if name != "__notes__"}
        more.message = f"{self.message}{text}"
        more.args = (more.message,)
        return more


class UserError(GilderError):
    """The template or the options are wrong; nothing was touched."""


class Refused(GilderError):
    """The world is not as the build needs it, and nothing was created."""


class CloudError(GilderError):
    """Azure refused or failed a request. `code` is Azure's error code, `status` the HTTP status (0: none came)."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status


class NotFound(CloudError):
    """The resource, or its parent, does not exist."""


class Denied(CloudError):
    """The identity may not do this, or the token was not accepted. `actions` are those it lacks, where Azure names them."""

    def __init__(
        self, message: str, *, code: str = "", status: int = 0, hint: str | None = None, actions: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, code=code, status=status, hint=hint)
        self.actions = actions


class Throttled(CloudError):
    """Too many requests, and waiting did not help. `retry_after` is the wait in seconds that Azure asked for, if it did."""

    retry_after: float | None = None


class Conflict(CloudError):
    """Another change to the same resource is under way, or its state forbids this one (409, 412)."""


class OperationFailed(CloudError):
    """The request was accepted and its long-running operation ended as Failed or Canceled."""


class Untold(CloudError):
    """Azure refuses to tell of an operation that it accepted, which goes on all the same: its resource shows how it ends."""


class Unreachable(CloudError):
    """No answer came: whether the request took effect is unknown, so look before acting again."""


_DMESG = "dmesg(1) may have more information"
"""What mount(8) adds to every error."""


class HostError(GilderError):
    """This machine could not do what was asked."""


class CommandFailed(HostError):
    """A program ended with a status that means failure. Not raised when it was cancelled."""

    def __init__(
        self,
        argv: Sequence[str],
        status: int,
        tail: Sequence[str] = (),
        *,
        where: str = "",
        hint: str | None = None,
    ) -> None:
        place = f" ({where})" if where else ""
        said = [line for line in tail if line.strip() and _DMESG not in line][-3:]
        super().__init__(
            "\n".join([f"{shlex.join(argv)}{place} {ending(status)}", *said]), hint=hint or advice(status, tail)
        )
        self.argv = tuple(argv)
        self.status = status
        self.tail = tuple(tail)


class CommandTimedOut(CommandFailed):
    """A program took longer than it was given (`seconds`); it was ended."""

    def __init__(self, argv: Sequence[str], seconds: float, tail: Sequence[str] = (), *, where: str = "") -> None:
        super().__init__(argv, -15, tail, where=where)
        place = f" ({where})" if where else ""
        last = f"; its last line: {tail[-1]}" if tail else ""
        self.message = f"{shlex.join(argv)}{place} did not end within {seconds:g} s{last}"
        self.args = (self.message,)
        self.seconds = seconds


LAST_LINES = "; its last lines:"
"""Ends the first line of an error that shows them."""


class ScriptFailed(HostError):
    """A provisioner's script ended with a status that the template does not allow; `tail` are its last lines."""

    def __init__(self, script: str, status: int, allowed: Sequence[int], tail: Sequence[str] = ()) -> None:
        only = f" (allowed: {', '.join(map(str, allowed))})" if tuple(allowed) != (0,) else ""
        last = "".join(f"\n    {line}" for line in tuple(tail)[-8:])
        text = f"{script} {ending(status)}{only}" + (f"{LAST_LINES}{last}" if last else "")
        super().__init__(text, hint=advice(status, tail))
        self.status = status
        self.tail = tuple(tail)


class ProvisionerTimedOut(HostError):
    """A provisioner took longer than its `timeout`; it was ended."""


class Busy(HostError):
    """A mount or device is still in use; `holders` names by whom."""

    def __init__(self, path: str, holders: Sequence[str] = ()) -> None:
        by = f" by {', '.join(holders)}" if holders else ""
        super().__init__(f"{path} is still in use{by}")
        self.path = path
        self.holders = tuple(holders)


class DeviceMissing(HostError):
    """The disk was attached, but this machine does not show its device."""


class JournalDamaged(HostError):
    """What is in the file of the journal is none, or not all of one; rights and space are not to blame."""

    def __init__(self, path: object, why: object) -> None:
        hint = (
            "move it away, with the files beside it (-wal, -shm), or name another with --journal; "
            "what its runs left in the cloud, `gilder gc` then finds by the tags"
        )
        super().__init__(f"the journal {path} is damaged: {why}", hint=hint)


class DeadlineMissed(GilderError):
    """A build or a stage of it took longer than it was given; what it held was given back."""


class ReleaseFailed(GilderError):
    """A thing could not be given back. `what` names it, `remedy` is the command that removes it by hand (None: what it is
    in will go, and takes it along)."""

    def __init__(self, what: str, cause: BaseException | str, remedy: str | None) -> None:
        hint = f"remove it with: {remedy}" if remedy else getattr(cause, "hint", None)
        super().__init__(f"{what} could not be given back: {cause}", hint=hint)
        self.what = what
        self.remedy = remedy
