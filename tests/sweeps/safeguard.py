"""A safeguard of gilder, as the sweeps' own test disables it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.sweeps.cells import Cell
from tests.sweeps.trees import Changing, Tree

Disabled = AbstractContextManager[Any]


@dataclass(frozen=True)
class Safeguard:
    """One safeguard: how it is disabled, and the cells that may show it, always the same. `root`: they need root."""

    name: str
    disabled: Callable[[], Disabled]
    cells: Callable[[], Sequence[Cell | Tree | Changing]]
    root: bool = False


async def nothing(*args: object, **options: object) -> None:
    """Do nothing, in place of what would have been done."""


@contextmanager
def both(*patches: Disabled) -> Iterator[None]:
    """Disable several at once."""
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield
