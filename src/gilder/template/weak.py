"""Weak typing as Packer's JSON templates have it: what a written value becomes where another type is wanted.

An empty text means "not given" wherever a single value is wanted, because the reference cannot tell the two apart:
templates rely on it for variables that may be empty.
"""

from __future__ import annotations

import re

from gilder.template.nodes import Array, Bool, Node, Null, Number, Table, Text, kind


class NotGiven:
    """Stands for an option that is there but empty."""


NOT_GIVEN = NotGiven()


class Unfit(Exception):
    """The value cannot become what is wanted; says why, and what would do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def as_text(node: Node, rendered: str | None) -> str | NotGiven:
    """A text; numbers and truth values become one."""
    match node:
        case Text():
            return rendered or NOT_GIVEN
        case Bool(value=value):
            return "1" if value else "0"
        case Number(written=written) if written:
            return written
        case Number(value=value):
            return str(value) if isinstance(value, int) else f"{value:f}".rstrip("0").rstrip(".")
        case Null():
            return NOT_GIVEN
        case _:
            raise Unfit(f"expected a text, found {kind(node)}", "write one text between double quotes")


def as_integer(node: Node, rendered: str | None) -> int | NotGiven:
    """A whole number; a text that holds one will do."""
    match node:
        case Number(value=int(value)) | Bool(value=value):
            return int(value)
        case Number(value=float(value)) if value.is_integer():
            return int(value)
        case Null():
            return NOT_GIVEN
        case Text():
            if not rendered:
                return NOT_GIVEN
            try:
                octal = re.fullmatch(r"[+-]?0[0-7]+", rendered)
                return int(rendered, 8 if octal else 0)
            except ValueError:
                raise Unfit(f'"{rendered}" is not a whole number') from None
        case _:
            raise Unfit(f"expected a whole number, found {kind(node)}")


def as_bool(node: Node, rendered: str | None) -> bool | NotGiven:
    """True or false; the texts that Go takes for one will do."""
    match node:
        case Bool(value=value):
            return value
        case Number(value=value):
            return value != 0
        case Null():
            return NOT_GIVEN
        case Text():
            if not rendered:
                return NOT_GIVEN
            if rendered not in _TRUE | _FALSE:
                raise Unfit(f'"{rendered}" is neither true nor false', "write true or false, without quotes")
            return rendered in _TRUE
        case _:
            raise Unfit(f"expected true or false, found {kind(node)}")


_SECONDS_HINT = 'write a number with its unit: "10s", "5m", "1h30m"'


def seconds_of(text: str) -> float:
    """A duration as Go writes it (`1h10m`, `1.5s`), in seconds; raises Unfit."""
    if text == "0":
        return 0.0
    if not re.fullmatch(rf"\+?(?:{_DURATION.pattern})+", text):
        raise Unfit(f'"{text}" is not a duration', _SECONDS_HINT)
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def as_seconds(node: Node, rendered: str | None) -> float | NotGiven:
    """A duration as Go writes it, in seconds."""
    match node:
        case Null():
            return NOT_GIVEN
        case Text():
            return seconds_of(rendered) if rendered else NOT_GIVEN
        case Number(value=0):
            return 0.0
        case _:
            raise Unfit(f"expected a duration, found {kind(node)}", _SECONDS_HINT)


def elements(node: Node) -> tuple[Node, ...]:
    """The elements of a list; a single value is a list of one. Texts are split elsewhere, after they are filled in."""
    match node:
        case Array(items=items):
            return items
        case Null():
            return ()
        case Table(entries=()):
            return ()
        case _:
            return (node,)
