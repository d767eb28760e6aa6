"""The template engine does what Go's text/template does; texts were tried with Go's own documentation at hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilder.template.go_builtins import GO_BUILTINS
from gilder.template.go_evaluate import Evaluation
from gilder.template.go_lexer import TemplateMistake
from gilder.template.go_parser import parse

DATA = {"Name": "sdc", "List": ["a", "b"], "Map": {"k": {"z": 1}}, "Empty": ""}


def evaluated(text: str, *, strict: bool = False) -> str:
    return Evaluation(GO_BUILTINS, DATA, strict=strict).text(parse(text, GO_BUILTINS))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain } }} text", "plain } }} text"),
        ("a{{`x`}}b", "axb"),
        ("a  {{- `x` -}}  b", "axb"),
        ("a {{- /* note }} */ -}} b", "ab"),
        ("a{{/* note */}}b", "ab"),
        ('{{"\\t\\x41\\u00e9\\101\\""}}', '\tAéA"'),
        ("{{`a\\n`}}", "a\\n"),
        ("{{1}} {{-3}} {{0x10}} {{'a'}} {{1.5}} {{1e3}} {{1e6}} {{true}}", "1 -3 16 97 1.5 1000 1e+06 true"),
        ("{{.Name}} {{$.Name}} {{.Map.k.z}} {{(index .Map `k`).z}}", "sdc sdc 1 1"),
        ("{{.Nothing}} {{.Nothing.more}}", "<no value> <no value>"),
        ("{{if .Name}}yes{{end}}{{if .Empty}}no{{else if eq 1 1}}elif{{end}}", "yeselif"),
        ("{{with .Map}}{{len .}}{{end}}{{with .Empty}}{{else}}none{{end}}", "1none"),
        ("{{range $i, $v := .List}}{{$i}}{{$v}},{{end}}{{range .Empty2}}{{else}}none{{end}}", "0a,1b,none"),
        ("{{range .List}}{{if eq . `b`}}{{break}}{{end}}{{.}}{{end}}", "a"),
        ("{{range $k, $v := .Map}}{{$k}}{{$v}}{{end}}", "kmap[z:1]"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := `a`}}{{with $y := `b`}}{{$x}}{{$y}}{{end}}", "ab"),
        ("{{`a` | printf `%s-%s` `b`}}", "b-a"),
        (
            "{{printf `%05d|%-4s|%q|%x|%X|%+d|%t|%v|%%` 3 `a` `b` `c` 255 7 true .List}}",
            '00003|a   |"b"|63|FF|+7|true|[a b]|%',
        ),
        ("{{printf `%d %s` `x`}}", "%!d(string=x) %!s(MISSING)"),
        ("{{printf `%[2]s %[1]s|%[3]s|%[2]*[1]d|%s` 2 6}}", "%!s(int=6) %!s(int=2)|%!s(BADINDEX)|     2|%!s(int=6)"),
        ("{{printf `%x|%#U|%#x|% #x|%#08x` 1.5 65 `hi` `hi` 255}}", "0x1.8p+00|U+0041 'A'|0x6869|0x68 0x69|0x000000ff"),
        ("{{printf `%c%q` 55296 55296}}", "\ufffd'\ufffd'"),
        ("{{printf `%s` `a` `b`}}", "a%!(EXTRA string=b)"),
        ("{{printf `%*d|%.2f|%6.2f|%c|%U` 4 7 3.14159 2.5 65 65}}", "   7|3.14|  2.50|A|U+0041"),
        ("{{print 1 2 `a` `b` 3}}", "1 2ab3"),
        ("{{println `a` 1}}", "a 1\n"),
        ("{{and 1 0 2}} {{or 0 `` 3}} {{not 1}}", "0 3 false"),
        (
            "{{eq 1 2 1}} {{ne `a` `b`}} {{lt 1 2}} {{le 2 2}} {{gt `b` `a`}} {{ge 1 2}}",
            "true true true true true false",
        ),
        ("{{len `é`}} {{slice `abcdef` 1 3}} {{index .List 1}} {{index `a` 0}}", "2 bc b 97"),
        ("{{html `<a'>`}} {{js `'<`}} {{urlquery `a b&c`}}", "&lt;a&#39;&gt; \\'\\u003C a+b%26c"),
        ("{{\n`a`\n}}", "a"),
    ],
)
def test_evaluates(text: str, result: str) -> None:
    assert evaluated(text) == result


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("ab{{foo 1}}", 'function "foo" not defined', "foo"),
        ("{{$x}}", "undefined variable '$x'", "$x"),
        ("{{if true}}a", "{{if}} without {{end}}", "{{if true}}a"),
        ("{{end}}", "unexpected {{end}}", "end"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "a second {{else}}", "else"),
        ("{{", "}} is missing", "{{"),
        ("{{`a}}", "not closed", "`a}}"),
        ("{{}}", "a value is missing", "}}"),
        ("{{1 | 2}}", "is no function", "2"),
        ("{{`a``b`}}", "unexpected", "`b`"),
        ("{{`a` `b`}}", "is no function", "`a`"),
        ("{{print (1}}", "parenthesis", "(1}}"),
        ("{{len 3}}", "error calling len: len of type int", "len 3"),
        ("{{printf 3}}", "expected string; got int", "3"),
        ("{{len 99999999999999999999}}", "overflows int", "99999999999999999999"),
        ("{{len}}", "wrong number of args for len: want 1 got 0", "len"),
        ("{{eq 1 `a`}}", "incompatible types", "eq 1 `a`"),
        ("{{.Name.x}}", "can't evaluate field x in type string", ".Name.x"),
        ("{{nil}}", "nil is not a command", "nil"),
        ("{{break}}", "outside {{range}}", "break"),
        ("{{define `x`}}{{end}}", "not supported", "define"),
        ("{{/* a }}", "comment", "{{/* a }}"),
        ('{{"\\q"}}', "is no escape", '"\\q"'),
        ("{{range `abc`}}{{end}}", "range can't iterate", "`abc`"),
        ("{{slice `abc` 2 9}}", "out of range", "slice `abc` 2 9"),
        ("{{range 1000}}{{range 1000}}{{end}}{{end}}", "more than", "{{range 1000}}{{end}}"),
        ("{{range 1000}}{{range 10}}{{printf `%9999d` 1}}{{end}}{{end}}", "more than", "{{printf `%9999d` 1}}"),
    ],
)
def test_refuses_and_points_at(text: str, message: str, marked: str) -> None:
    with pytest.raises(TemplateMistake) as caught:
        evaluated(text)
    assert message in caught.value.message
    assert text[caught.value.start : caught.value.end].startswith(marked)


def test_unknown_functions_get_a_proposal() -> None:
    with pytest.raises(TemplateMistake) as caught:
        evaluated("{{prnt 1}}")
    assert caught.value.hint == 'did you mean "print"?'


def test_strict_data_refuses_missing_names() -> None:
    with pytest.raises(TemplateMistake, match=r"there is no \.Nane here") as caught:
        evaluated("{{.Nane}}", strict=True)
    assert caught.value.hint == 'did you mean "Name"?'


PIECES = """{{ }} {{- -}} if else end range with $x := = , | ( ) . .Name .List print len index `a` "b"
1 1.5 'c' nil true break /* */ é"""
pieces = st.sampled_from([*PIECES.split(), " ", "\n"])


@given(st.lists(pieces, max_size=25).map("".join) | st.text(max_size=20))
def test_any_text_evaluates_or_is_a_mistake_inside_it(text: str) -> None:
    try:
        evaluated(text)
    except TemplateMistake as mistake:
        assert 0 <= mistake.start <= mistake.end <= len(text)  # noqa: PT017 — most texts raise nothing


@given(st.text().filter(lambda t: "{{" not in t))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert evaluated(text) == text


@given(st.text())
def test_quoting_goes_both_ways(text: str) -> None:
    from gilder.template.go_quoting import quote, unquote

    assert unquote(quote(text)[1:-1], '"') == text
    assert unquote(quote(text, ascii_only=True)[1:-1], '"') == text
