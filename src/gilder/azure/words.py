"""Words from the service: the SDK gives an enum member where it knows the word, and plain text where it does not."""

from __future__ import annotations

from enum import Enum


def word(value: str | Enum | None) -> str:
    """The word as the service wrote it, "" for none. (`str` of an SDK enum gives the member's Python name.)"""
    if value is None:
        return ""
    return str(value.value) if isinstance(value, Enum) else str(value)
