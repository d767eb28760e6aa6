"""Did you mean …?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

_WORD = re.compile(r"[^-_.,\s*?\[\]]+")
"""What stands between the signs of names and globs."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, or None when none is like it."""
    by_fold = {name.casefold().replace("-", "_"): name for name in sorted(known)}
    match = get_close_matches(word.casefold().replace("-", "_"), by_fold, n=1, cutoff=0.6)
    return by_fold[match[0]] if match else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """`did you mean "x"?`, or `otherwise`."""
    match = closest(word, known)
    return f'did you mean "{match}"?' if match is not None else otherwise


def glob_meant(glob: str, known: Collection[str], *, otherwise: str = "") -> str:
    """`did_you_mean` for a glob that none of the names matches: its words are looked up among theirs, its signs stay."""
    words = {word for name in known for word in _WORD.findall(name)}

    def meant(word: re.Match[str]) -> str:
        right = any(word[0] in one for one in words)  # a part of one will do, beside a *
        return word[0] if right else closest(word[0], words) or word[0]

    mended = _WORD.sub(meant, glob)
    if any(fnmatchcase(name, mended) for name in known):
        return f'did you mean "{mended}"?'
    return did_you_mean(glob, known, otherwise=otherwise)


def listed(names: Iterable[str]) -> str:
    """The names for a sentence: `a, b or c`."""
    *most, last = sorted(names) or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last
