"""What all sweeps have in common: cells that are counted, a seed, a line that says what was found, an exit code.

A new sweep is a `Sweep` in the table of `tests/sweeps/__main__.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Say = Callable[[str], None]


@dataclass
class Tally:
    """What a sweep found: its cells by kind, and each violation with the cell that shows it.

    A cell counts only when its fault fired. `remarks` are figures beyond that, a line each.
    """

    cells: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.cells.values())

    def add(self, more: Tally) -> None:
        """Count what another found as well."""
        self.cells += more.cells
        self.violations += more.violations
        self.remarks += more.remarks


@dataclass(frozen=True)
class Effort:
    """How much a sweep shall do. `everything`: all cells and not a sample; `jobs`: processes at once."""

    folder: Path
    """Empty, and removed afterwards."""
    seed: int
    everything: bool = False
    jobs: int = 1
    say: Say = lambda line: None


@dataclass(frozen=True)
class Sweep:
    """One sweep by name. `root`: it needs real devices, and is left out by who may not have them."""

    name: str
    about: str
    run: Callable[[Effort], Tally]
    root: bool = False


def verdict(name: str, tally: Tally, seed: int) -> str:
    """The line that says what a sweep found."""
    return f"{name}: {tally.total} cells, {len(tally.violations)} violations, seed {seed}"
