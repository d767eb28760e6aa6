"""Splits a Go template into tokens (https://pkg.go.dev/text/template)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

LEFT, RIGHT = "{{", "}}"


class TemplateMistake(Exception):
    """A template is wrong, or cannot be evaluated. `start` and `end` count characters of the template."""

    def __init__(self, message: str, start: int, end: int, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.hint = message, start, end, hint


class Kind(Enum):
    """What a token is."""

    TEXT = "text"
    OPEN = LEFT
    CLOSE = RIGHT
    SPACE = "space"
    IDENTIFIER = "identifier"
    KEYWORD = "keyword"
    FIELD = "field"
    VARIABLE = "variable"
    STRING = "string"
    CHARACTER = "character"
    NUMBER = "number"
    DOT = "."
    OPERATOR = "operator"
    END = "end of the template"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a template. Of a TEXT the white space that `{{-` and `-}}` take away is already gone."""

    kind: Kind
    text: str
    start: int
    end: int


_KEYWORDS = frozenset(("block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"))
_SPACE = " \t\r\n"
_TOKENS = re.compile(
    r"""
      (?P<SPACE>[ \t\r\n]+)
    | (?P<VARIABLE>\$\w*)
    | (?P<NUMBER>[+-]?(?:
          0[xX][0-9a-fA-F_]+ | 0[bB][01_]+ | 0[oO][0-7_]+
        | (?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?
      ))
    | (?P<FIELD>\.(?!\d)\w+)
    | (?P<DOT>\.)
    | (?P<IDENTIFIER>(?!\d)\w+)
    | (?P<STRING>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)
    | (?P<CHARACTER>'(?:[^'\\\n]|\\[^\n])+')
    | (?P<OPERATOR>:=|[=|(),])
    """,
    re.VERBOSE,
)
_WORDS = (Kind.IDENTIFIER, Kind.KEYWORD, Kind.FIELD, Kind.VARIABLE, Kind.NUMBER)
_MAY_FOLLOW_WORD = frozenset(" \t\r\n.,|:=()")


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a template, ending with one END; raises TemplateMistake."""
    at = 0
    trim_next = False
    while True:
        start = text.find(LEFT, at)
        stop = len(text) if start < 0 else start
        trims = start >= 0 and text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4] in tuple(_SPACE)
        plain, begin = text[at:stop], at
        if trim_next:
            plain = plain.lstrip(_SPACE)
            begin = stop - len(plain)
        if trims:
            plain = plain.rstrip(_SPACE)
        if plain:
            yield Token(Kind.TEXT, plain, begin, begin + len(plain))
        if start < 0:
            yield Token(Kind.END, "", len(text), len(text))
            return
        inside = start + (3 if trims else 2)
        if (after_comment := _comment_end(text, start, inside + (1 if trims else 0))) is not None:
            at, trim_next = after_comment
            continue
        yield Token(Kind.OPEN, LEFT, start, inside)
        for token in _action(text, start, inside):
            yield token
            at, trim_next = token.end, token.kind is Kind.CLOSE and token.text.startswith("-")


def _comment_end(text: str, start: int, inside: int) -> tuple[int, bool] | None:
    """Where the text goes on after a comment, and whether it is trimmed there; None when this is no comment."""
    if not text.startswith("/*", inside):
        return None
    end = text.find("*/", inside + 2)
    if end < 0:
        raise TemplateMistake("a comment that is not closed", start, len(text), hint="comments are {{/* … */}}")
    end += 2
    if text.startswith(RIGHT, end):
        return end + 2, False
    if text[end : end + 1] in tuple(_SPACE) and text.startswith("-}}", end + 1):
        return end + 4, True
    raise TemplateMistake("a comment must end just before the }}", start, end, hint="comments are {{/* … */}}")


def _action(text: str, start: int, at: int) -> Iterator[Token]:
    while True:
        if text.startswith(RIGHT, at):
            yield Token(Kind.CLOSE, RIGHT, at, at + 2)
            return
        if text[at : at + 1] in tuple(_SPACE) and text.startswith("-}}", at + 1):
            yield Token(Kind.CLOSE, "-}}", at + 1, at + 4)
            return
        if at >= len(text):
            raise TemplateMistake("an action is not closed: }} is missing", start, len(text))
        token = _token(text, at)
        if token.kind in _WORDS and not _may_follow(text, token.end):
            bad = text[token.end]
            hint = _by_index(text[start : token.end], text[token.end :]) if bad == "-" else ""
            raise TemplateMistake(f"bad character {bad!r} after {token.text!r}", token.start, token.end + 1, hint=hint)
        yield token
        at = token.end


def _by_index(before: str, after: str) -> str:
    """How to reach a field whose name a template cannot write, because it has a - in it."""
    field = re.search(r"((?:\.\w+)*)\.(\w+)\Z", before)
    rest = re.match(r"[\w-]*\w", after)
    if field is None or rest is None:
        return ""
    return f'for a name with - in it, write {{{{ index {field[1] or "."} "{field[2]}{rest[0]}" }}}}'


def _may_follow(text: str, at: int) -> bool:
    return at >= len(text) or text[at] in _MAY_FOLLOW_WORD or text.startswith(RIGHT, at)


def _token(text: str, at: int) -> Token:
    match = _TOKENS.match(text, at)
    if match is None:
        if text[at] in "\"`'":
            raise TemplateMistake("a quoted text that is not closed", at, len(text))
        raise TemplateMistake(f"unexpected {text[at]!r} in an action", at, at + 1)
    assert match.lastgroup
    kind, found, end = Kind[match.lastgroup], match[0], match.end()
    if kind is Kind.SPACE:  # the space before -}} belongs to the delimiter
        trim = re.search(r"[ \t\r\n]-\}\}\Z", text[at : end + 3])
        if trim and end - at > 1:
            end -= 1
            found = text[at:end]
    if kind is Kind.IDENTIFIER and found in _KEYWORDS:
        kind = Kind.KEYWORD
    return Token(kind, found, at, end)
