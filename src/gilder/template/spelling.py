"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, or None when none is like it."""
    by_fold = {name.casefold().replace("-", "_"): name for name in sorted(known)}
    match = get_close_matches(word.casefold().replace("-", "_"), by_fold, n=1, cutoff=0.6)
    return by_fold[match[0]] if match else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """`did you mean "x"?`, or `otherwise`."""
    match = closest(word, known)
    return f'did you mean "{match}"?' if match is not None else otherwise


def listed(names: Iterable[str]) -> str:
    """The names for a sentence: `a, b or c`."""
    *most, last = sorted(names) or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last
