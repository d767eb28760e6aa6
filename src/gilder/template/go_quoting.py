"""Go's quoting of texts: reading a quoted constant, and the %q of printf."""

from __future__ import annotations

import re

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_BACK = {v: k for k, v in _SIMPLE.items()}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))?", re.DOTALL)


def unquote(inner: str, quote: str) -> str:
    """The text between a pair of quotes; raises ValueError for an escape that Go does not know."""
    raw = bytearray()
    at = 0
    for match in _ESCAPE.finditer(inner):
        raw += inner[at : match.start()].encode()
        at = match.end()
        raw += _escaped(match, quote)
    raw += inner[at:].encode()
    return raw.decode(errors="replace")


def _escaped(match: re.Match[str], quote: str) -> bytes:
    byte, short, long, octal, letter = match.groups()
    if byte or octal:
        value = int(byte, 16) if byte else int(octal, 8)
        if value > 255:
            raise ValueError(f"{match[0]} is more than a byte")
        return bytes((value,))
    if short or long:
        code = int(short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"{match[0]} is no character")
        return chr(code).encode()
    if letter == quote:
        return quote.encode()
    if letter is None or letter not in _SIMPLE:
        raise ValueError(f"{match[0]} is no escape of Go; between backquotes a backslash is just a backslash")
    return _SIMPLE[letter].encode()


def quote(text: str, mark: str = '"', *, ascii_only: bool = False) -> str:
    """The text as a Go constant."""
    return mark + "".join(_quoted(c, mark, ascii_only) for c in text) + mark


def _quoted(character: str, mark: str, ascii_only: bool) -> str:
    if character == mark or character in _BACK:
        return "\\" + _BACK.get(character, character)
    code = ord(character)
    if (character.isprintable() and (code < 0x80 or not ascii_only)) and character != "\x7f":
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
