"""The JSON reader agrees with the standard library on values, and knows where things stand."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gilder.model.diagnostics import Diagnostic, Severity, render
from gilder.template.json_reader import read_json
from gilder.template.nodes import Array, Bool, Node, Null, Number, Table, Text
from gilder.template.source import Source

characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def plain(node: Node) -> object:
    match node:
        case Text(value=value) | Number(value=value) | Bool(value=value):
            return value
        case Null():
            return None
        case Array(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key.value: plain(value) for key, value in entries}


@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_reads_what_the_standard_library_writes(value: object, ascii_only: bool, indent: int | str | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    node, mistakes = read_json(Source("f", text))
    assert node is not None
    assert mistakes == []
    assert plain(node) == value


@given(st.text(st.sampled_from('{}[]:,"\\ \n\t0123456789-+.eEtruefalsn/u') | characters, max_size=30))
def test_accepts_exactly_what_the_standard_library_accepts(text: str) -> None:
    def never(_: str) -> None:
        raise ValueError("NaN and Infinity are no JSON")

    try:
        expected = json.loads(text, parse_constant=never)
        sound = not _has_infinity(expected)
    except ValueError:
        expected, sound = None, False
    node, mistakes = read_json(Source("f", text))
    assert (node is not None) == sound
    if node is not None and not mistakes:
        assert plain(node) == expected
    lines = len(text.splitlines()) + 1
    assert all(d.where and 1 <= d.where.line <= d.where.end_line <= lines for d in mistakes)


def _has_infinity(value: object) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_infinity(v) for v in inner)


@given(values)
def test_a_region_holds_the_value_itself(value: object) -> None:
    text = json.dumps(value)
    node, _ = read_json(Source("f", text))

    def look(inner: Node) -> None:
        assert plain(inner) == json.loads(text[inner.region.start : inner.region.end])
        for child in inner.items if isinstance(inner, Array) else ():
            look(child)
        for key, child in inner.entries if isinstance(inner, Table) else ():
            look(key)
            look(child)

    assert node is not None
    look(node)


@given(texts)
def test_every_character_of_a_text_is_found_in_the_source(value: str) -> None:
    source = json.dumps(value)
    node, _ = read_json(Source("f", source))
    assert isinstance(node, Text)
    assert node.offsets is not None
    assert len(node.offsets) == len(value)
    for character, offset in zip(value, node.offsets, strict=True):
        assert source[offset] in (character, "\\")


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('{"a": [1, 2,]}', (1, 12), "trailing comma"),
        ('{\n "a": True}', (2, 7), "did you mean true?"),
        ("{'a': 1}", (1, 2), "double quotes"),
        ('{"a": 1 // x\n}', (1, 9), 'starts with "_"'),
        ('{"a": "x\ny"}', (1, 7), "\\n"),
        ('{"a": "\\q"}', (1, 8), "backslash"),
        ('{"a": 01}', (1, 7), "leading zeros"),
        ("", (1, 1), ""),
        ("[" * 1000, (1, 201), ""),
    ],
)
def test_a_syntax_mistake_is_one_diagnostic_where_it_is(text: str, place: tuple[int, int], hint: str) -> None:
    node, mistakes = read_json(Source("f", text))
    assert node is None
    (mistake,) = mistakes
    assert mistake.where
    assert (mistake.where.line, mistake.where.column) == place
    assert hint in mistake.detail


def test_every_duplicate_key_is_reported_at_its_second_place() -> None:
    node, mistakes = read_json(Source("f", '{"a": 1, "a": 2,\n "b": {"c": 1, "c": 2}}'))
    assert node is not None
    assert [(d.where.line, d.where.column) for d in mistakes if d.where] == [(1, 10), (2, 16)]


@pytest.mark.parametrize(
    ("end", "place"), [("\n", (3, 3)), ("\r\n", (3, 3)), ("\r", (3, 3)), ("\u2028", (1, 5)), ("\x85", (1, 5))]
)
def test_lines_are_those_of_an_editor(end: str, place: tuple[int, int]) -> None:
    text = f"{end}{end}  x"
    span = Source("f", text).span(len(text) - 1, len(text))
    assert (span.line, span.column) == place
    shown, carets = render(Diagnostic(Severity.ERROR, "s", "", span), text)[1:]
    assert carets.index("^") == shown.index("x")
    assert Source("f", text + "\n").span(9, 9).line == place[0] + 1


@pytest.mark.parametrize("before", ["", "日本", "e\u0301\u0301", "\u200b", "\t"])
def test_a_caret_stands_below_what_it_marks(before: str) -> None:
    text = f'{{"{before}": 日x}}'
    at = text.index("日x") if before != "日本" else text.rindex("日")
    shown, carets = render(Diagnostic(Severity.ERROR, "s", "", Source("f", text).span(at, at + 1)), text)[1:]
    columns = cell_len(shown[: shown.rindex("日")])
    assert (carets.index("^"), carets.count("^")) == (columns, 2)


@pytest.mark.parametrize("at", [0, 30, 500, 970, 999])
def test_of_a_long_line_what_is_around_the_mistake_is_shown(at: int) -> None:
    text = "-" * at + "XX" + "-" * (1000 - at)
    shown, carets = render(Diagnostic(Severity.ERROR, "s", "", Source("f", text).span(at, at + 2)), text)[1:]
    assert len(shown) < 130
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "XX"
    assert (shown[8] == "…", shown[-1] == "…") == (at > 40, at < 900)
