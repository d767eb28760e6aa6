"""Go's fmt: %v of a value and the verbs of printf (https://pkg.go.dev/fmt)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from gilder.template.go_quoting import quote

Value = object
"""str, int, float, bool, None (nil), a list, or a mapping with text keys."""

_VERB = re.compile(r"%([+\-# 0]*)(\*|\d+)?(?:(\.)(\*|\d+)?)?(.)?", re.DOTALL)
_MAX_WIDTH = 10_000
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


def printf(template: str, values: Sequence[Value]) -> str:
    """What `printf` gives, mistakes included: Go writes them into the text (`%!d(string=x)`)."""
    left = list(values)
    out: list[str] = []
    at = 0
    for match in _VERB.finditer(template):
        out.append(template[at : match.start()])
        at = match.end()
        out.append(_verb(match, left))
    out.append(template[at:])
    if left:
        extra = ", ".join(f"{type_name(v)}={shown(v)}" if v is not None else "<nil>" for v in left)
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _verb(match: re.Match[str], left: list[Value]) -> str:
    flags, width_text, dot, precision_text, verb = match.groups()
    if verb is None:
        return "%!(NOVERB)"
    width, bad_width = _size(width_text, left, "WIDTH")
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    precision, bad_precision = _size(precision_text or ("0" if dot else None), left, "PREC")
    complaint = bad_width + bad_precision
    if verb == "%":
        return complaint + "%"
    if not left:
        return f"{complaint}%!{verb}(MISSING)"
    text = _formatted(left.pop(0), verb, flags, precision)
    return complaint + _padded(text, flags, width, verb)


def _size(text: str | None, left: list[Value], name: str) -> tuple[int | None, str]:
    if text is None:
        return None, ""
    if text != "*":
        size: Value = int(text)
    else:
        size = left.pop(0) if left else None
    if not isinstance(size, int) or isinstance(size, bool) or abs(size) > _MAX_WIDTH:
        return None, f"%!(BAD{name})"
    return size, ""


def _padded(text: str, flags: str, width: int | None, verb: str) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and verb not in "Uc":
        sign = text[:1] if text[:1] in ("+", "-", " ") and verb not in "sqv" else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _formatted(value: Value, verb: str, flags: str, precision: int | None) -> str:
    if verb == "T":
        return type_name(value)
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_formatted(item, verb, flags, precision) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = sorted(value.items())
        return "map[" + " ".join(f"{k}:{_formatted(v, verb, flags, precision)}" for k, v in pairs) + "]"
    text: str | None = None
    if isinstance(value, bool):
        text = shown(value) if verb in "tv" else None
    elif isinstance(value, str):
        text = _text(value, verb, flags, precision)
    elif isinstance(value, int):
        text = _integer(value, verb, flags, precision)
    elif isinstance(value, float):
        text = _float(value, verb, flags, precision)
    elif value is None and verb == "v":
        text = "<nil>"
    if text is None:
        return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({type_name(value)}={shown(value)})"
    return text


def _text(value: str, verb: str, flags: str, precision: int | None) -> str | None:
    cut = value if precision is None else value[:precision]
    if verb == "v" and "#" in flags:
        return quote(cut)
    if verb in "sv":
        return cut
    if verb == "q":
        if "#" in flags and "`" not in cut and cut.isprintable():
            return f"`{cut}`"
        return quote(cut, ascii_only="+" in flags)
    if verb in "xX":
        data = value.encode()[:precision]
        text = data.hex(" ") if " " in flags else data.hex()
        return text.upper() if verb == "X" else text
    return None


def _integer(value: int, verb: str, flags: str, precision: int | None) -> str | None:
    if verb == "c":
        return chr(value) if 0 <= value <= 0x10FFFF else "\ufffd"
    if verb == "q":
        return quote(chr(value) if 0 <= value <= 0x10FFFF else "\ufffd", "'")
    if verb == "U":
        return f"U+{value:04X}"
    base = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}.get(verb)
    if base is None:
        return None
    digits = format(abs(value), base).rjust(precision or 0, "0")
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else "0o" if verb == "O" else ""
    return _sign(value < 0, flags) + prefix + digits


def _sign(negative: bool, flags: str) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _float(value: float, verb: str, flags: str, precision: int | None) -> str | None:
    if verb == "v" or (verb in "gG" and precision is None):
        text = shown(abs(value)).upper() if verb == "G" else shown(abs(value))
    elif verb in "eEfFgG":
        text = format(abs(value), f".{6 if precision is None else precision}{verb}")
    else:
        return None
    return _sign(value < 0, flags) + text
