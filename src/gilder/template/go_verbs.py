"""The verbs of Go's printf: one value in the form that a directive asks for."""

from __future__ import annotations

from collections.abc import Mapping
from math import frexp

from gilder.template.go_quoting import quote
from gilder.template.go_values import Value, shown, type_name


def formatted(value: Value, verb: str, flags: str, width: int | None, precision: int | None) -> str:
    """The value as `%[flags][width][.precision]verb` has it; mistakes are written out as Go does."""
    if verb == "T":
        return _padded(type_name(value), flags, width)
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(formatted(item, verb, flags, width, precision) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = sorted(value.items())
        return "map[" + " ".join(f"{k}:{formatted(v, verb, flags, width, precision)}" for k, v in pairs) + "]"
    text: str | None = None
    if isinstance(value, bool):
        text = shown(value) if verb in "tv" else None
    elif isinstance(value, str):
        text = _text(value, verb, flags, precision)
    elif isinstance(value, int):
        text = _integer(value, verb, flags, width, precision)
    elif isinstance(value, float):
        text = _float(value, verb, flags, precision)
    elif value is None and verb == "v":
        text = "<nil>"
    if text is None:
        return f"%!{verb}(<nil>)" if value is None else f"%!{verb}({type_name(value)}={shown(value)})"
    zeros = "0" in flags and "-" not in flags and verb not in "Uc" and not _is_whole(value)
    return _filled(text, width) if zeros and width is not None else _padded(text, flags, width)


def _is_whole(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _padded(text: str, flags: str, width: int | None) -> str:
    return text.ljust(width or 0) if "-" in flags else text.rjust(width or 0)


def _filled(text: str, width: int) -> str:
    """With zeros up to the width, after the sign if there is one."""
    sign = text[:1] if text[:1] in ("+", "-") and text[1:2].isdigit() else ""
    return sign + text[len(sign) :].rjust(width - len(sign), "0")


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
        data = value.encode(errors="surrogateescape")[:precision]
        mark = "0x" if "#" in flags and data else ""
        text = mark + data.hex(" ").replace(" ", f" {mark}") if " " in flags else mark + data.hex()
        return text.upper() if verb == "X" else text
    return None


def _integer(value: int, verb: str, flags: str, width: int | None, precision: int | None) -> str | None:
    if verb == "c":
        return _character(value)
    if verb == "q":
        return quote(_character(value), "'", ascii_only="+" in flags)
    if verb == "U":
        said = (
            f" '{chr(value)}'" if "#" in flags and _character(value) == chr(value) and chr(value).isprintable() else ""
        )
        return f"U+{value:0{max(4, precision or 0)}X}{said}"
    base = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}.get(verb)
    if base is None:
        return None
    sign = _sign(value < 0, flags)
    digits = precision or 0
    if precision is None and "0" in flags and "-" not in flags:
        digits = (width or 0) - len(sign)  # as a precision, so before the prefix
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else "0o" if verb == "O" else ""
    return sign + prefix + format(abs(value), base).rjust(digits, "0")


def _character(code: int) -> str:
    """The character of a code; of what is none, the one that stands for that."""
    return chr(code) if 0 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"


def _sign(negative: bool, flags: str) -> str:
    return "-" if negative else "+" if "+" in flags else " " if " " in flags else ""


def _float(value: float, verb: str, flags: str, precision: int | None) -> str | None:
    if verb == "v" or (verb in "gG" and precision is None):
        text = shown(abs(value)).upper() if verb == "G" else shown(abs(value))
    elif verb in "eEfFgG":
        text = format(abs(value), f".{6 if precision is None else precision}{verb}")
    elif verb in "xX" and precision is None and "#" not in flags:
        text = _hexadecimal(abs(value))
        text = text.upper() if verb == "X" else text
    elif verb == "b":
        mantissa, exponent = frexp(abs(value))
        text = f"{int(mantissa * 2**53)}p{exponent - 53:+d}"
    else:
        return None
    return _sign(value < 0, flags) + text


def _hexadecimal(value: float) -> str:
    """As Python has it, but without zeros at the end, and with two digits of exponent at least."""
    mantissa, _, exponent = value.hex().partition("p")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}p{int(exponent):+03d}" if exponent else mantissa
