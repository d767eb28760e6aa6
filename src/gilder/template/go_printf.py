"""Go's printf (https://pkg.go.dev/fmt): a format with verbs, and its mistakes, which Go writes into the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gilder.template.go_values import Value, shown, type_name
from gilder.template.go_verbs import formatted

_FLAGS = re.compile(r"[+\-# 0]*")
_NUMBER = re.compile(r"\d+")
_INDEX = re.compile(r"\[([^\]]*)\]")
_MAX_WIDTH = 10_000


def printf(template: str, values: Sequence[Value]) -> str:
    """What `printf` gives, mistakes included (`%!d(string=x)`)."""
    return _Printf(template, values).text()


class _Printf:
    def __init__(self, template: str, values: Sequence[Value]) -> None:
        self.template = template
        self.values = values
        self.at = 0
        self.next = 0
        """The value that comes next."""
        self.reordered = False
        """Whether the template chose a value by its number: then it may leave some out."""

    def text(self) -> str:
        out: list[str] = []
        while (start := self.template.find("%", self.at)) >= 0:
            out.append(self.template[self.at : start])
            self.at = start + 1
            out.append(self.directive())
        out.append(self.template[self.at :])
        if self.next < len(self.values) and not self.reordered:
            left = (f"{type_name(v)}={shown(v)}" if v is not None else "<nil>" for v in self.values[self.next :])
            out.append(f"%!(EXTRA {', '.join(left)})")
        return "".join(out)

    def directive(self) -> str:
        """What stands for `%` and what follows it, in the order in which Go reads that."""
        flags = self.match(_FLAGS)
        chosen, good = self.choice()
        complaint, precision = "", None
        starred = self.skip("*")
        width, bad = self.size(starred, "WIDTH")
        complaint += bad
        good = good and not (chosen and width is not None and not starred)
        chosen = chosen and not starred
        if width is not None and width < 0:
            flags, width = flags.replace("0", "") + "-", -width
        if self.skip("."):
            good = good and not chosen
            chosen, fine = self.choice()
            starred = self.skip("*")
            precision, bad = self.size(starred, "PREC")
            complaint, good = complaint + bad, good and fine
            chosen = chosen and not starred
            precision = 0 if precision is None and not starred else precision
            precision = None if precision is not None and precision < 0 else precision
        if not chosen:
            _, fine = self.choice()
            good = good and fine
        return complaint + self.verb(flags, width, precision, good=good)

    def verb(self, flags: str, width: int | None, precision: int | None, *, good: bool) -> str:
        verb = self.template[self.at : self.at + 1]
        self.at += 1
        if verb in ("", "%"):
            return verb or "%!(NOVERB)"
        if not good:
            return f"%!{verb}(BADINDEX)"
        if self.next >= len(self.values):
            return f"%!{verb}(MISSING)"
        self.next += 1
        return formatted(self.values[self.next - 1], verb, flags, width, precision)

    def match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.template, self.at)
        self.at = found.end() if found else self.at
        return found[0] if found else ""

    def skip(self, character: str) -> bool:
        found = self.template.startswith(character, self.at)
        self.at += found
        return found

    def choice(self) -> tuple[bool, bool]:
        """The number of a value (`[2]`), which comes next then: whether there is one, and whether nothing is wrong."""
        if not self.template.startswith("[", self.at):
            return False, True
        self.reordered = True
        found = _INDEX.match(self.template, self.at)
        self.at = found.end() if found else self.at + 1
        number = int(found[1]) if found and _NUMBER.fullmatch(found[1]) else 0
        if not 1 <= number <= len(self.values):
            return bool(found and _NUMBER.fullmatch(found[1])), False
        self.next = number - 1
        return True, True

    def size(self, starred: bool, name: str) -> tuple[int | None, str]:
        """A width or precision, written or the next value; and the complaint about one that is none."""
        if not starred:
            digits = self.match(_NUMBER)
            too_much = len(digits) > len(str(_MAX_WIDTH))
            return (None, f"%!(BAD{name})") if too_much else (int(digits) if digits else None, "")
        value = self.values[self.next] if self.next < len(self.values) else None
        self.next += self.next < len(self.values)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_WIDTH:
            return None, f"%!(BAD{name})"
        return value, ""
