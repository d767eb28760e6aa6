"""JSON (RFC 8259) with the place of every key and value. Duplicate keys are errors, as they are to Packer."""

from __future__ import annotations

import re
from collections.abc import Callable

from gilder.model.diagnostics import Diagnostic, Severity
from gilder.template.nodes import Array, Bool, Node, Null, Number, Table, Text
from gilder.template.source import Region, Source

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MAX_DEPTH = 200
"""Deeper is no template; the limit keeps hostile input from exhausting the stack."""
_MAX_DIGITS = 400


class _SyntaxMistake(Exception):
    def __init__(self, summary: str, start: int, end: int, detail: str) -> None:
        super().__init__(summary)
        self.summary, self.start, self.end, self.detail = summary, start, end, detail


def read_json(source: Source) -> tuple[Node | None, list[Diagnostic]]:
    """The value of a JSON text and its mistakes: at most one of syntax (then there is no value), any of duplicate keys."""
    reader = _Reader(source)
    try:
        return reader.document(), reader.diagnostics
    except _SyntaxMistake as mistake:
        where = source.span(mistake.start, mistake.end)
        return None, [Diagnostic(Severity.ERROR, f"JSON syntax: {mistake.summary}", mistake.detail, where)]


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 1 if source.text.startswith("\ufeff") else 0
        self.depth = 0
        self.diagnostics: list[Diagnostic] = []

    def document(self) -> Node:
        node = self.value("a value")
        if self.peek():
            raise self.mistake("there is something after the end of the value", detail="one file holds one JSON value")
        return node

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        match = _SPACE.match(self.text, self.at)
        assert match
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def mistake(self, summary: str, *, detail: str = "", start: int | None = None) -> _SyntaxMistake:
        begin = self.at if start is None else start
        if self.text.startswith(("//", "/*", "#"), begin):
            detail = 'JSON has no comments; at the top level of a template, a key that starts with "_" is one'
        return _SyntaxMistake(summary, begin, max(self.at, begin + 1), detail)

    def found(self) -> str:
        word = _WORD.match(self.text, self.at)
        return repr(word[0] if word else self.text[self.at]) if self.at < len(self.text) else "the end of the file"

    def region(self, start: int) -> Region:
        return Region(self.source, start, self.at)

    def value(self, expected: str) -> Node:
        first = self.peek()
        start = self.at
        if first == '"':
            return self.string()
        if first in ("{", "["):
            return self.nested(self.table if first == "{" else self.array)
        if first == "-" or first.isdigit():
            return self.number()
        if word := _WORD.match(self.text, start):
            if word[0] in ("true", "false", "null"):
                self.at = word.end()
                return Null(self.region(start)) if word[0] == "null" else Bool(word[0] == "true", self.region(start))
            hint = f"did you mean {word[0].lower()}?" if word[0].lower() in ("true", "false", "null", "none") else ""
            raise self.mistake(
                f"expected {expected}, found {word[0]!r}", detail=hint or "texts stand between double quotes"
            )
        hint = "texts stand between double quotes" if first == "'" else ""
        raise self.mistake(f"expected {expected}, found {self.found()}", detail=hint)

    def nested(self, read: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.mistake(f"more than {_MAX_DEPTH} levels of nesting")
        node = read()
        self.depth -= 1
        return node

    def array(self) -> Array:
        start = self.at
        self.at += 1
        items: list[Node] = []
        if self.peek() != "]":
            while True:
                items.append(self.value("a value" if items else "a value or ']'"))
                if not self.comma("]"):
                    break
        self.at += 1
        return Array(tuple(items), self.region(start))

    def table(self) -> Table:
        start = self.at
        self.at += 1
        entries: dict[str, tuple[Text, Node]] = {}
        if self.peek() != "}":
            while True:
                key = self.key()
                value = self.value("a value")
                if key.value in entries:
                    self.duplicate(key, entries[key.value][0])
                else:
                    entries[key.value] = (key, value)
                if not self.comma("}"):
                    break
        self.at += 1
        return Table(tuple(entries.values()), self.region(start))

    def key(self) -> Text:
        if self.peek() != '"':
            detail = "keys stand between double quotes" if self.peek() not in ("", "}") else ""
            raise self.mistake(f"expected a key, found {self.found()}", detail=detail)
        key = self.string()
        if self.peek() != ":":
            raise self.mistake(f"expected ':' after the key {key.value!r}, found {self.found()}")
        self.at += 1
        return key

    def comma(self, closing: str) -> bool:
        """Whether another element follows; leaves the closing bracket to the caller."""
        found = self.peek()
        if found == closing:
            return False
        if found != ",":
            raise self.mistake(f"expected ',' or {closing!r}, found {self.found()}")
        comma = self.at
        self.at += 1
        if self.peek() == closing:
            raise self.mistake(
                "a comma before the closing bracket", start=comma, detail="JSON allows no trailing comma"
            )
        return True

    def duplicate(self, key: Text, first: Text) -> None:
        line = first.region.span.line
        self.diagnostics.append(
            Diagnostic(
                Severity.ERROR,
                f"the key {key.value!r} stands here a second time",
                f"the first is on line {line}; remove one of them",
                key.region.span,
            )
        )

    def number(self) -> Number:
        start = self.at
        match = _NUMBER.match(self.text, start)
        if not match:
            raise self.mistake("a number without digits")
        self.at = match.end()
        rest = self.text[self.at : self.at + 1]
        if rest.isalnum() or rest in (".", "_", "+", "-"):
            raise self.mistake(
                f"{match[0] + rest!r} is not a JSON number", start=start, detail="leading zeros are not allowed"
            )
        if len(match[0]) > _MAX_DIGITS:
            raise self.mistake("a number with too many digits", start=start)
        whole = match[1] is None and match[2] is None
        number = int(match[0]) if whole else float(match[0])
        if number in (float("inf"), float("-inf")):
            raise self.mistake("a number beyond all bounds", start=start)
        return Number(number, self.region(start))

    def string(self) -> Text:
        start = self.at
        self.at += 1
        pieces: list[str] = []
        offsets: list[int] = []
        while True:
            if plain := _PLAIN.match(self.text, self.at):
                pieces.append(plain[0])
                offsets.extend(range(plain.start(), plain.end()))
                self.at = plain.end()
            end = self.text[self.at : self.at + 1]
            if end == '"':
                self.at += 1
                return Text("".join(pieces), self.region(start), tuple(offsets))
            if end != "\\":
                what = "ends nowhere" if end == "" else "goes over the end of the line" if end in "\r\n" else ""
                detail = (
                    'write \\n for a new line and \\" for a quote'
                    if what
                    else "write it as \\u followed by four hex digits"
                )
                raise self.mistake(
                    f"a text that {what}" if what else "a control character in a text",
                    detail=detail,
                    start=None if not what else start,
                )
            offsets.append(self.at)
            pieces.append(self.escape())

    def escape(self) -> str:
        start = self.at
        letter = self.text[start + 1 : start + 2]
        self.at += 2
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != "u":
            raise self.mistake(
                f"\\{letter} is no JSON escape", start=start, detail="a backslash itself is written \\\\"
            )
        code = self.code_unit(start)
        if 0xD800 <= code < 0xDC00 and self.text.startswith("\\u", self.at):
            before = self.at
            self.at += 2
            low = self.code_unit(before)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
            self.at = before
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)  # half a pair: what Go makes of it

    def code_unit(self, start: int) -> int:
        match = _HEX4.match(self.text, self.at)
        if not match:
            raise self.mistake("\\u needs four hex digits", start=start)
        self.at = match.end()
        return int(match[0], 16)
