"""Values of the template language, and how Go prints them without being told how (%v)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

Value = object
"""str, int, float, bool, None (nil), a list, or a mapping with text keys."""

_EXPONENT_FROM = 6


def type_name(value: Value) -> str:
    """The name of the Go type that a value has."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int"
        case float():
            return "float64"
        case Mapping():
            return "map[string]interface {}"
        case _:
            return "[]interface {}"


def shown(value: Value) -> str:
    """The value as %v prints it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return _shortest(value)
        case Mapping():
            return "map[" + " ".join(f"{k}:{shown(v)}" for k, v in sorted(value.items())) + "]"
        case list() | tuple():
            return "[" + " ".join(shown(item) for item in value) + "]"
        case _:
            return str(value)


def _shortest(value: float) -> str:
    """The %g of Go without precision: exponents from 6 on, and below -4."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    sign, number, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, number)).rstrip("0") or "0"
    power = len(number) + int(exponent) - 1 if digits != "0" else 0
    if -4 <= power < _EXPONENT_FROM:
        text = f"{Decimal(repr(value)):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{power:+03d}"


def print_values(values: Sequence[Value]) -> str:
    """What `print` gives: a space between neighbours of which neither is a text."""
    out: list[str] = []
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            out.append(" ")
        out.append(shown(value))
    return "".join(out)
