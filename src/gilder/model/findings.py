"""What a check before a build found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it looks: a build can go on, it would fail, or it could not be checked."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing. `remedy` says what to do about one that is not good."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """Nothing is to be done."""
    return Finding(subject, Verdict.GOOD, text)


def bad(subject: str, text: str, remedy: str) -> Finding:
    """A build would fail."""
    return Finding(subject, Verdict.BAD, text, remedy)


def unknown(subject: str, why: str, remedy: str = "") -> Finding:
    """It could not be checked; with `remedy`, what would let it be."""
    return Finding(subject, Verdict.UNKNOWN, why, remedy)
