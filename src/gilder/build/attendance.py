"""What a run does when a build fails, or after each step: the policy, and the person at the terminal who may decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

Ask = Callable[[str], Awaitable[str | None]]
"""Shows a question and returns what a person typed; None when nobody can answer."""


class OnError(StrEnum):
    """What happens to a build that fails (Packer's -on-error)."""

    CLEANUP = "cleanup"
    ABORT = "abort"
    """What is in the cloud stays, attached as it is."""
    ASK = "ask"
    RUN_CLEANUP_PROVISIONER = "run-cleanup-provisioner"
    """As `ABORT`, after the error-cleanup-provisioner."""


class Verdict(StrEnum):
    """What a person, or the policy, has decided about a failed step."""

    CLEANUP = "c"
    ABORT = "a"
    RETRY = "r"


@dataclass(frozen=True, slots=True)
class Attendance:
    """The policy of a run. With `debug` a build waits for the person after each step."""

    on_error: OnError = OnError.CLEANUP
    debug: bool = False
    ask: Ask | None = None
    """None: there is nobody."""

    @property
    def keeps_unasked(self) -> bool:
        """Whether a failed or cancelled build keeps what it has in the cloud, without a question."""
        return self.on_error in (OnError.ABORT, OnError.RUN_CLEANUP_PROVISIONER)

    async def verdict(self, question: str, *, may_retry: bool) -> Verdict:
        """What to do about a failure. Without anybody to ask, and for any answer that is none, it is cleaned up."""
        if self.on_error is not OnError.ASK:
            return Verdict.ABORT if self.keeps_unasked else Verdict.CLEANUP
        choices = "[c] clean up and exit, [a] abort without cleanup" + ", [r] retry this step" * may_retry
        allowed = {word for word in Verdict if may_retry or word is not Verdict.RETRY}
        while self.ask is not None:
            answer = await self.ask(f"{question}\n{choices}?")
            if answer is None or not answer:  # nobody, or the terminal was closed
                break
            if (word := answer.strip().lower()[:1]) in allowed:
                return Verdict(word)
            question = f"{answer.strip()!r} is none of the answers"
        return Verdict.CLEANUP
