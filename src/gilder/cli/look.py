"""How progress is to be shown; a value of its own, because choosing it must not load what draws it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """How progress is to be shown. `board` None: where the terminal can."""

    board: bool | None = None
    colour: bool = True
    timestamps: bool = False
    machine: bool = False
    """Packer's -machine-readable, on standard output."""
