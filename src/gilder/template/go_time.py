"""Moments as text: Go's layouts (for `isotime`) and the codes of Packer's `strftime`. Everything is UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00|Z0700|Z07"
    r"|__2|_2(?!006)|002|01|02|03|04|05|06|15|PM|pm|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5"
)
"""In the order in which Go's time package looks; `_2006` is an underscore and a year."""

_GO: dict[str, Callable[[datetime], str]] = {
    "January": lambda t: _MONTHS[t.month - 1],
    "Jan": lambda t: _MONTHS[t.month - 1][:3],
    "Monday": lambda t: _DAYS[t.weekday()],
    "Mon": lambda t: _DAYS[t.weekday()][:3],
    "MST": lambda t: "UTC",
    "2006": lambda t: f"{t.year:04d}",
    "__2": lambda t: f"{t.timetuple().tm_yday:>3}",
    "_2": lambda t: f"{t.day:>2}",
    "002": lambda t: f"{t.timetuple().tm_yday:03d}",
    "01": lambda t: f"{t.month:02d}",
    "1": lambda t: str(t.month),
    "02": lambda t: f"{t.day:02d}",
    "2": lambda t: str(t.day),
    "03": lambda t: f"{t.hour % 12 or 12:02d}",
    "3": lambda t: str(t.hour % 12 or 12),
    "15": lambda t: f"{t.hour:02d}",
    "04": lambda t: f"{t.minute:02d}",
    "4": lambda t: str(t.minute),
    "05": lambda t: f"{t.second:02d}",
    "5": lambda t: str(t.second),
    "06": lambda t: f"{t.year % 100:02d}",
    "PM": lambda t: "PM" if t.hour >= 12 else "AM",
    "pm": lambda t: "pm" if t.hour >= 12 else "am",
    "-07:00:00": lambda t: "+00:00:00",
    "-070000": lambda t: "+000000",
    "-07:00": lambda t: "+00:00",
    "-0700": lambda t: "+0000",
    "-07": lambda t: "+00",
}

_STRFTIME: dict[str, Callable[[datetime], str]] = {
    "A": _GO["Monday"],
    "a": _GO["Mon"],
    "B": _GO["January"],
    "b": _GO["Jan"],
    "d": _GO["02"],
    "H": _GO["15"],
    "I": _GO["03"],
    "L": lambda t: f".{t.microsecond // 1000:03d}",
    "M": _GO["04"],
    "m": _GO["01"],
    "p": _GO["PM"],
    "S": _GO["05"],
    "Y": _GO["2006"],
    "y": _GO["06"],
    "Z": _GO["MST"],
    "z": _GO["-0700"],
    "%": lambda t: "%",
}


def go_time(moment: datetime, layout: str) -> str:
    """The moment in a layout of Go's time package, such as `2006-01-02`."""
    moment = moment.astimezone(UTC)
    out: list[str] = []
    at = 0
    for match in _LAYOUT.finditer(layout):
        out.append(layout[at : match.start()])
        out.append(_part(moment, match[0]))
        at = match.end()
    return "".join(out) + layout[at:]


def _part(moment: datetime, token: str) -> str:
    if token[0] in ".,":
        digits = f"{moment.microsecond:06d}".ljust(len(token) - 1, "0")[: len(token) - 1]
        if token[1] == "9":
            digits = digits.rstrip("0")
        return token[0] + digits if digits else ""
    if token[0] == "Z":
        return "Z"
    return _GO[token](moment)


def rfc3339(moment: datetime) -> str:
    """The moment as RFC 3339 to the second."""
    return go_time(moment, "2006-01-02T15:04:05Z07:00")


def strftime(moment: datetime, template: str) -> str:
    """The moment in the codes that Packer's `strftime` knows; other codes stay as they are."""
    moment = moment.astimezone(UTC)
    return re.sub(r"%(.)", lambda m: _STRFTIME[m[1]](moment) if m[1] in _STRFTIME else m[0], template, flags=re.DOTALL)
