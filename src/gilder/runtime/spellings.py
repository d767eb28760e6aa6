"""How programs spell a text: encoded, escaped and quoted."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes, quote_plus


def spellings(text: str) -> Iterator[str]:
    """The text as it is and as it is usually encoded, escaped and quoted; some may be the same."""
    data = text.encode(errors="surrogatepass")
    yield text
    yield from _base64(data)
    yield from _hexadecimal(data)
    yield from _percent(text, data)
    yield from _escaped(text)
    yield from _quoted(text)
    yield from _twice(text)


def _base64(data: bytes) -> Iterator[str]:
    """In base64, alone and with anything around it."""
    alone = base64.b64encode(data).decode()
    spelled = [alone, alone.rstrip("=")]
    # After 0, 1, 2 other bytes: characters that also hold bits of a neighbour are left out, for they vary.
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + data).decode()
        spelled.append(encoded[shared : (before + len(data)) * 8 // 6])
    for form in spelled:
        yield form
        yield form.replace("+", "-").replace("/", "_")


def _hexadecimal(data: bytes) -> Iterator[str]:
    for form in (data.hex(), data.hex(" "), data.hex(":"), data.hex(" ", -2), data.hex("-")):
        yield form
        yield form.upper()
    yield "".join(f"\\x{byte:02x}" for byte in data)


def _percent(text: str, data: bytes) -> Iterator[str]:
    yield "".join(f"%{byte:02X}" for byte in data)
    yield "".join(f"%{byte:02x}" for byte in data)
    forms = [quote_from_bytes(data, safe=""), quote_from_bytes(data), quote_plus(text, errors="surrogatepass")]
    # By encodeURIComponent and by encodeURI of JavaScript.
    forms += [quote(text, safe=kept, errors="surrogatepass") for kept in ("!*'()", "!*'();,/?:@&=+$#")]
    for form in forms:
        yield form
        yield re.sub("%..", lambda found: found[0].lower(), form)


def _escaped(text: str) -> Iterator[str]:
    for form in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield form
        yield form.replace("/", "\\/")
        yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        yield json.dumps(form)[1:-1]
    yield repr(text)[1:-1]
    yield repr(text.encode(errors="surrogatepass"))[2:-1]
    yield "".join(map(_in_yaml, text))
    yield "".join(c if c.isprintable() and not c.isascii() else _in_yaml(c) for c in text)
    # Python; XML; Go, and Jinja; where quotes may stay.
    for quotes in (("&quot;", "&#x27;"), ("&quot;", "&apos;"), ("&#34;", "&#39;"), ('"', "'")):
        yield html.escape(text, quote=False).replace('"', quotes[0]).replace("'", quotes[1])


_YAML = {
    **dict(zip("\0\a\b\t\n\v\f\r\x1b", "0abtnvfre", strict=True)),
    **dict(zip('"\\\x85\xa0\u2028\u2029', '"\\N_LP', strict=True)),
}
"""What YAML escapes by a letter of its own (YAML 1.2, 5.7)."""


def _in_yaml(character: str) -> str:
    """As YAML has it between double quotes, where what is not ASCII is escaped in capitals."""
    if character in _YAML:
        return f"\\{_YAML[character]}"
    code = ord(character)
    if 32 <= code < 127:
        return character
    width, kind = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return f"\\{kind}{code:0{width}X}"


def _quoted(text: str) -> Iterator[str]:
    """As shells quote it, and YAML, CSV and SQL, without the quotes around it where these do not matter."""
    yield text.replace("'", "''")
    yield text.replace('"', '""')
    yield from _for_a_shell(text)
    yield re.sub(r'([\\"$`])', r"\\\1", text)
    yield re.sub(r"([^A-Za-z0-9_@%+=:,./\n-])", r"\\\1", text)
    ansi = text.replace("\\", "\\\\").replace("'", "\\'")
    ansi = ansi.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    yield ansi
    yield "".join(
        c if c.isascii() else "".join(f"\\{byte:03o}" for byte in c.encode(errors="surrogatepass")) for c in ansi
    )


def _twice(text: str) -> Iterator[str]:
    """Quoted, and that again: a message quotes the command or the answer that quotes the text."""
    for once in dict.fromkeys((text, json.dumps(text)[1:-1], *_for_a_shell(text))):
        yield json.dumps(once)[1:-1]
        yield json.dumps(once, ensure_ascii=False)[1:-1]
        yield repr(once)[1:-1]
        yield repr(f"{once}'\"")[1:-4]  # with quotes of both kinds around, Python escapes one of them
        yield from _for_a_shell(once)


def _for_a_shell(text: str) -> tuple[str, str]:
    """Between single quotes: as programs write a quote in them, and as people do."""
    return text.replace("'", "'\"'\"'"), text.replace("'", "'\\''")
