"""`$filter` of OData, as far as localarm has it: comparisons by `eq`, joined by `and`."""

from __future__ import annotations

import re
from collections.abc import Collection

from localarm.errors import Refused, gateway

_TERM = re.compile(r"(?P<name>[A-Za-z/]+)\s+eq\s+'(?P<value>(?:[^']|'')*)'", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_BEYOND = re.compile(r"\s(or|ne|gt|ge|lt|le)\s|\bnot\b|\w\(", re.IGNORECASE)
"""What OData has and localarm has not."""


def equalities(text: str, names: Collection[str]) -> dict[str, str]:
    """The values that a filter wants, by lower-case name.

    Args:
        names: which there are, in lower case.

    Raises:
        Refused: 501 for what Azure understands and localarm does not, 400 for what neither does.
    """
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        term = _TERM.match(rest)
        if term is None or term["name"].lower() not in names:
            raise _refused(text)
        found[term["name"].lower()] = term["value"].replace("''", "'")
        rest = rest[term.end() :]
        joint = _AND.match(rest)
        if rest and (joint is None or joint.end() == len(rest)):
            raise _refused(text)
        rest = rest[joint.end() :] if joint else ""
    return found


def _refused(text: str) -> Refused:
    if _BEYOND.search(re.sub(r"'(?:[^']|'')*'", "''", text)):
        return Refused(501, "NotImplemented", f"localarm does not implement the $filter '{text}'.")
    return gateway(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
