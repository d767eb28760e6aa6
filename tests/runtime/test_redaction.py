"""No secret shows, however it is spelled and wherever it is cut; nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import shlex
import time
from collections.abc import Callable
from itertools import pairwise, zip_longest
from random import Random
from urllib.parse import quote
from xml.sax.saxutils import escape

import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gilder.cli.view import visible
from gilder.model.events import Event, Finished, LeftBehind, OutputLine, Said, Stage, StageStarted
from gilder.runtime.bare import bare
from gilder.runtime.redaction import MASK, Redactor, Stream, redacted
from gilder.runtime.spellings import spellings as forms_of

PIECE = 32
"""Characters after which lines are cut in these tests."""

# Neither part of the mask nor of the text around: a secret "sens" would show in the mask itself.
_AROUND = "αβγδεζ \t"
texts = st.text(alphabet=_AROUND, max_size=40)
secrets = st.text(
    st.characters(min_codepoint=10, max_codepoint=0x2FFFF, exclude_categories=["Cs"], exclude_characters=_AROUND),
    min_size=4,
    max_size=60,
).filter(lambda text: len(text.strip()) >= 4 and text not in MASK and MASK not in text)


def _around(secret: str, before: int) -> str:
    """In the middle of what is encoded in base64: the characters that belong to the secret alone."""
    encoded = base64.b64encode(b"x" * before + secret.encode() + b"yz").decode()
    return encoded[(before * 8 + 5) // 6 : (before + len(secret.encode())) * 8 // 6]


def printf(secret: str) -> str:
    """As bash's printf %q has what is not ASCII in the C locale: `$'…'`, with octal bytes."""
    quoted = secret.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(c if c.isascii() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in quoted)


def within(quoted: Callable[[str], str], text: str) -> str:
    """As a text is spelled within a longer one that has quotes of both kinds."""
    return quoted(f"\"'α{text}α").split("α")[1]


SPELLED: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64, unpadded": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "base64, url-safe": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64, after one byte": lambda secret: _around(secret, 1),
    "base64, after two bytes": lambda secret: _around(secret, 2),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "HEXADECIMAL": lambda secret: secret.encode().hex().upper(),
    "percent": quote,
    "percent, all": lambda secret: quote(secret, safe=""),
    "percent, by encodeURIComponent": lambda secret: quote(secret, safe="!'()*"),
    "percent, by encodeURI": lambda secret: quote(secret, safe=";,/?:@&=+$-_.!~*'()#"),
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "Python": lambda secret: repr(secret)[1:-1],
    "shell": lambda secret: shlex.quote(secret).removeprefix("'").removesuffix("'"),
    "shell, by hand": lambda secret: secret.replace("'", "'\\''"),
    "shell, by printf %q": lambda secret: printf(secret),
    "Python's bytes": lambda secret: repr(secret.encode())[2:-1],
    "YAML": lambda secret: secret.replace("'", "''"),
    "YAML in ASCII": lambda secret: yaml.dump(secret, default_style='"', width=9999).strip()[1:-1],
    "a command in JSON": lambda secret: json.dumps(within(shlex.quote, secret))[1:-1],
    "a command in Python": lambda secret: within(repr, within(shlex.quote, secret)),
    "a command by hand in Python": lambda secret: within(repr, secret.replace("'", "'\\''")),
    "a command in a command": lambda secret: within(shlex.quote, within(shlex.quote, secret)),
    "JSON in Python": lambda secret: within(repr, json.dumps(secret)[1:-1]),
    "CSV": lambda secret: secret.replace('"', '""'),
    "Python's HTML": html.escape,
    "XML": lambda secret: escape(secret, {"'": "&apos;", '"': "&quot;"}),
    "Go's HTML": lambda secret: escape(secret, {"'": "&#39;", '"': "&#34;"}),
}
spellings = st.sampled_from(sorted(SPELLED))


@given(secrets, spellings, texts, texts)
@settings(max_examples=400, deadline=None)
def test_no_spelling_of_a_secret_shows(secret: str, spelling: str, before: str, after: str) -> None:
    spelled = SPELLED[spelling](secret)
    assume(spelled not in MASK)
    shown = Redactor([secret]).text(f"{before}{spelled}{after}")
    assert spelled not in shown
    assert MASK in shown


@given(secrets, spellings, texts, texts, st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=400, deadline=None)
def test_no_cut_of_a_stream_shows_a_secret(
    secret: str, spelling: str, before: str, after: str, cuts: list[int]
) -> None:
    spelled = SPELLED[spelling](secret)
    assume(spelled not in MASK)
    text = before + spelled + after
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stream = Stream(Redactor([secret]))
    shown = [stream.feed(text[a:b]) for a, b in pairwise(places)]
    assert spelled not in "".join([*shown, stream.rest()])


@given(st.text(alphabet="abcdefghij'\"$%/+\u00e9", min_size=4, max_size=50), spellings, texts, texts)
@settings(max_examples=400, deadline=None)
def test_no_line_that_was_cut_shows_a_secret(secret: str, spelling: str, before: str, after: str) -> None:
    spelled = SPELLED[spelling](secret)
    line = before + spelled + after
    heard: list[Event] = []
    sink = redacted(heard.append, Redactor([secret]), PIECE)
    while len(line) > PIECE:
        sink(OutputLine(build="web", at=0, text=line[:PIECE]))
        sink(OutputLine(build="web", at=0, text="another stream", stream="stderr"))
        line = line[PIECE:]
    sink(OutputLine(build="web", at=0, text=line))
    sink(Said(build="web", at=0, text="end"))
    shown = "".join(e.text for e in heard if isinstance(e, OutputLine) and e.stream == "stdout")
    assert spelled not in shown
    assert MASK in shown


@given(secrets, st.text(alphabet=_AROUND + "\n", max_size=200), st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=200, deadline=None)
def test_text_without_secrets_is_unchanged(secret: str, text: str, cuts: list[int]) -> None:
    redactor = Redactor([secret])
    assert redactor.text(text) == text
    stream = Stream(redactor)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    assert "".join(stream.feed(text[a:b]) for a, b in pairwise(places)) + stream.rest() == text


@given(st.text("abcd/", min_size=6, max_size=12), st.text("abcd /\n", max_size=150))
@settings(max_examples=600, deadline=None)
def test_text_of_the_same_characters_is_unchanged_too(secret: str, text: str) -> None:
    """As long as the secret is not in it, nor a good part of it at a break between lines."""
    forms = [form for form in forms_of(secret.strip()) if len(form) >= 4]
    flat = "".join(line.strip() for line in text.split("\n"))
    lines = [line.strip() for line in text.split("\n")]
    assume(len(secret.strip()) >= 4)
    assume(not any(form in text or form in flat for form in forms))
    assume(not any(_ends_in(line, form) for line in lines for form in forms))
    assert Redactor([secret]).text(text) == text


def _ends_in(line: str, form: str) -> bool:
    """Whether a line is, begins or ends with eight or more characters of a form."""
    parts = [(form[:length], form[-length:]) for length in range(8, len(form))]
    return (len(line) >= 8 and line in form) or any(line.endswith(a) or line.startswith(b) for a, b in parts)


UNSEEN = [
    "\x1b[1m",
    "\x1b[38;2;255;0;128m",
    "\x1b[m\x1b[K",  # grep --color
    "\x1b(B\x1b[m",  # tput sgr0
    "\x1b]0;a title\x07",
    "\x1b]8;;https://example.org/\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b7",
    "\x1b[0m\0",
    "\0",
    "\a",
    "\x7f",
]
printable = st.text(
    st.characters(max_codepoint=0x2FFFF, exclude_categories=["Cc", "Cs"], exclude_characters=_AROUND),
    min_size=4,
    max_size=30,
).filter(lambda text: len(text.strip()) >= 4 and text not in MASK and MASK not in text)
unseen = st.lists(st.sampled_from(["", *UNSEEN]), max_size=60)


def _with(text: str, between: list[str]) -> str:
    """The text with these between its characters, as far as they go."""
    return "".join(c + filling for c, filling in zip_longest(text, between[: len(text) - 1], fillvalue=""))


@given(printable, spellings, texts, texts, unseen, st.lists(st.integers(0, 600), max_size=12))
@settings(max_examples=400, deadline=None)
def test_no_escape_nor_nul_within_a_secret_shows_it(
    secret: str, spelling: str, before: str, after: str, between: list[str], cuts: list[int]
) -> None:
    spelled = SPELLED[spelling](secret)
    assume(spelled not in MASK)
    text = before + _with(spelled, between) + after
    redactor = Redactor([secret])
    stream = Stream(redactor)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    streamed = "".join([*(stream.feed(text[a:b]) for a, b in pairwise(places)), stream.rest()])
    for shown in (redactor.text(text), streamed, *_shown([text], secret)):
        assert spelled not in bare(shown).text
        assert spelled not in visible(shown)
        assert spelled not in shown.replace("\0", "")
        assert MASK in shown


@given(st.text("abc_\x1b[]0;m\x07\x08\0(B \n\r\\", max_size=60), st.data())
def test_what_is_bare_is_the_text_at_the_places_it_names(text: str, data: st.DataObject) -> None:
    seen = bare(text)
    places = [seen.place(at) for at in range(len(seen.text))]
    assert places == sorted(set(places))
    assert "".join(text[place] for place in places) == seen.text
    if places:
        start = data.draw(st.integers(0, len(places) - 1))
        stop = data.draw(st.integers(start + 1, len(places)))
        [(a, b)] = seen.back([(start, stop)])
        assert seen.text[start:stop] in bare(text[a:b]).text


def test_a_secret_in_colours_is_hidden() -> None:
    secret = "s3cr3t!Pa55 w&rd/xyz"
    lines = ["a \x1b[1ms3cr3t\x1b[0m!Pa55 w&rd/xyz b", "'s3cr3t!\x1b[31mPa55 w&rd\x1b[0m/xyz'", "\0".join(f"{secret}!")]
    assert _shown(lines, secret) == [f"a \x1b[1m{MASK} b", f"'{MASK}'", f"{MASK}\0!"]
    assert Redactor([secret]).text("\n".join(lines)) == "\n".join(_shown(lines, secret))


def test_a_secret_printed_to_be_bold_or_underlined_is_hidden() -> None:
    """With the last character too, which stands once more after it; and when it comes in pieces, be it the longest form."""
    for form in ("hunter22", max(forms_of("hunter22"), key=len)):
        bold, underlined = "".join(f"{c}\b{c}" for c in form), "".join(f"_\b{c}" for c in form)
        for text, expected in ((f"a {bold} b", f"a {MASK} b"), (f"a {underlined} b", f"a _\b{MASK} b")):
            assert _shown([text], "hunter22") == [expected]
            stream = Stream(Redactor(["hunter22"]))
            for cut in range(len(text)):
                assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.rest() == expected


def test_a_secret_whose_last_character_is_taken_back_is_hidden() -> None:
    """As what asks for a password does; an underscore is no underlining then."""
    for secret in ("hunter22", "hunter_"):
        spelled = f"hunt\x1b[1m{secret[4:]}"
        assert _shown([f"{spelled}\b \b"], secret) == [f"{MASK}\b \b"]


def test_a_secret_around_a_long_title_is_hidden_wherever_that_is_cut() -> None:
    text = f"a hunt\x1b]0;{'title' * 100}\x07er22 b"
    for size in (1, 100, 400):
        stream = Stream(Redactor(["hunter22"]))
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        assert "".join(map(stream.feed, chunks)) + stream.rest() == f"a {MASK} b"


def test_a_link_hides_what_is_in_it() -> None:
    link = "\x1b]8;;https://me:hunter22@example.org/\x1b\\the \x1b[1msite\x1b]8;;\x1b\\"
    assert _shown([link], "hunter22") == [link.replace("hunter22", MASK)]


def test_a_secret_with_escapes_in_itself_is_hidden_without_them_too() -> None:
    assert _shown(["a hunter22 b", "a \x1b[1mhunter\x1b[m22 b"], "\x1b[1mhunter\x1b[m22") == [f"a {MASK} b"] * 2


def test_a_stream_holds_no_more_than_so_many_unseen_characters() -> None:
    """An escape that does not end, and NUL bytes alone: both may be followed by the rest of a secret."""
    for begin, endless in (("hunter", "\0"), ("hunter\x1b]0;", "x")):
        stream = Stream(Redactor(["hunter22"]))
        start = time.process_time()
        shown = stream.feed(begin) + "".join(stream.feed(endless * 65536) for _ in range(40))
        assert len(shown) > 38 * 65536
        assert shown + stream.rest() == begin + endless * 65536 * 40
        assert time.process_time() - start < 2, "a tenth of what was measured"


KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\nq1w2\n-----END KEY-----\n"


def _shown(lines: list[str], *secrets: str) -> list[str]:
    heard: list[Event] = []
    sink = redacted(heard.append, Redactor(secrets), 65536)
    for line in lines:
        sink(OutputLine(build="web", at=0, text=line))
    return [event.text for event in heard if isinstance(event, OutputLine)]


def test_each_line_of_a_key_is_hidden_and_the_short_ones_after_them() -> None:
    shown = _shown([*KEY.splitlines(), "done"], KEY)
    assert shown == [MASK, MASK, MASK, MASK, MASK, "done"]


def test_each_line_of_a_key_is_hidden_in_a_coloured_difference() -> None:
    shown = _shown([*(f"\x1b[32m{line}\x1b[m" for line in KEY.splitlines()), "done"], KEY)
    assert shown == [*[f"\x1b[32m{MASK}\x1b[m"] * 5, "done"]


def test_a_wrapped_encoding_is_hidden_to_its_last_line() -> None:
    wrapped = base64.encodebytes(b"user: me, secret: " + KEY.encode() + b" and so on").decode().splitlines()
    shown = _shown(wrapped, KEY)
    middle = base64.b64encode(KEY.encode()).decode()
    assert len(shown) == len(wrapped)
    assert not [line for line in shown if len(line) >= 40]
    coloured = [f"\x1b[32m{line}\x1b[m" for line in wrapped]
    assert _shown(coloured, KEY) == [f"\x1b[32m{line}\x1b[m" for line in shown]
    assert _shown([middle[:50], middle[50:-3], middle[-3:], "abc"], KEY) == [MASK, MASK, MASK, "abc"]


def test_an_error_whose_lines_cut_a_secret_hides_it() -> None:
    redactor = Redactor(["hunter22-and-more"])
    assert redactor.text("failed:\n    hunt\n    er22-and-more") == f"failed:\n    {MASK}"
    assert redactor.text(repr("failed:\n    hunt\n    er22-and-more")) == f"'failed:\\n    {MASK}'"
    coloured = "failed:\n    \x1b[31mhunt\x1b[m\n    \x1b[31mer22-and-\x1b[1mmore\x1b[m"
    assert redactor.text(coloured) == f"failed:\n    \x1b[31m{MASK}\x1b[m"
    assert redactor.text("its last lines:\n  r22-and-more\nbye") == f"its last lines:\n  {MASK}\nbye"


def test_a_message_that_quotes_a_command_or_an_answer_hides_what_is_quoted_in_it() -> None:
    secret = 'it\'s "hunter22"'
    redactor = Redactor([secret])
    trace = f'+ echo {shlex.quote(secret)} "and"'
    answer = json.dumps({"stderr": trace})
    for message in (repr(f"the script failed:\n{trace}"), answer, shlex.join(["sh", "-c", trace])):
        assert "hunter22" not in redactor.text(message)


def test_secrets_that_overlap_or_hold_each_other_are_all_hidden() -> None:
    redactor = Redactor(["hunter22", "hunter2234", "34xyz9"])
    assert redactor.text("password=hunter2234xyz9 hunter22.") == f"password={MASK} {MASK}."
    stream = Stream(Redactor(["hunter22", "hunter2234"]))
    assert "".join(map(stream.feed, "a hunter2234 b")) + stream.rest() == f"a {MASK} b"


@given(
    st.lists(st.text("ab12", min_size=4, max_size=12), min_size=1, max_size=4),
    st.text("ab12 ", max_size=120),
    st.lists(st.integers(0, 120), max_size=12),
)
@example(["abcdefgh1234", "1234ZYXWVUTSRQPONM"], "x abcdefgh1234ZYXWVUTSRQPONM y" + " z" * 100, list(range(1, 200)))
@example(["aa\\x31", "12345678"], r"aa\x31\x32\x33\x34\x35\x36\x37\x38 b b b b b", list(range(1, 60)))
@settings(max_examples=600, deadline=None)
def test_a_stream_shows_what_the_whole_text_would_show(words: list[str], text: str, cuts: list[int]) -> None:
    """Also where secrets overlap: a mask that ended within a second secret once showed the rest of that."""
    redactor = Redactor(words)
    stream = Stream(redactor)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    shown = [stream.feed(text[a:b]) for a, b in pairwise(places)]
    assert "".join([*shown, stream.rest()]) == redactor.text(text)


def test_all_texts_of_events_are_hidden_and_nothing_else() -> None:
    heard: list[Event] = []
    sink = redacted(heard.append, Redactor(["hunter22"]), 65536)
    events = [
        StageStarted(build="web", at=0, stage=Stage.PUBLISH, detail="hunter22"),
        LeftBehind(build="web", at=0, what="hunter22", remedy="az hunter22"),
        Finished(build="web", at=0, status="failed", seconds=1, text="hunter22"),
    ]
    for event in events:
        sink(event)
    assert "hunter22" not in repr(heard)
    note = " (a part equals a secret; gilder show has commands for Azure whole)"
    masked = [repr(event).replace("az hunter22", f"az hunter22{note}").replace("hunter22", MASK) for event in events]
    assert repr(heard) == f"[{', '.join(masked)}]"


def test_a_command_of_which_a_part_is_hidden_says_where_the_whole_one_is() -> None:
    redactor = Redactor(["prod"])
    hidden = redactor.remedy("az disk delete --ids /subscriptions/x/resourceGroups/prod/disks/d")
    assert hidden.startswith(f"az disk delete --ids /subscriptions/x/resourceGroups/{MASK}/disks/d (")
    assert "gilder show" in hidden
    assert redactor.remedy("az disk delete --ids d") == "az disk delete --ids d"


def test_short_secrets_hide_nothing_and_are_named() -> None:
    redactor, short = Redactor.of({"ARM_CLIENT_SECRET": "abc", "empty": "", "long": "hunter22"})
    assert short == ("ARM_CLIENT_SECRET",)
    assert redactor.text("abc hunter22") == f"abc {MASK}"


def test_without_secrets_nothing_stands_between() -> None:
    heard: list[Event] = []
    tell = heard.append
    assert redacted(tell, Redactor([]), 10) == tell


def test_long_lines_with_beginnings_of_a_secret_pass_quickly() -> None:
    redactor = Redactor(["https://me:hunter2hunter2@example.org/"])
    sink = redacted(lambda event: None, redactor, 65536)
    line = OutputLine(build="web", at=0, text="https://" * 8000)
    start = time.process_time()
    for _ in range(10):
        sink(line)
    redactor.text("\n".join([line.text] * 10))
    assert time.process_time() - start < 2, (
        "a tenth of what was measured; every beginning with the rest of its line: 5 s"
    )


def test_a_chain_of_certificates_is_learned_quickly() -> None:
    encoded = base64.b64encode(Random(1).randbytes(15_000)).decode()
    chain = "\n".join(encoded[at : at + 64] for at in range(0, len(encoded), 64))
    start = time.process_time()
    redactor = Redactor([chain])
    assert time.process_time() - start < 4, "a third of what was measured; with patterns of whole forms: 7 s"
    assert redactor.text(f"x {chain} y") == f"x {MASK} y"


def test_many_lines_pass_quickly() -> None:
    sink = redacted(lambda event: None, Redactor(["S3cr3t~value.of.a_client", "hunter2!x'y"]), 65536)
    line = OutputLine(
        build="web", at=0, text="Get:17 http://deb.debian.org/debian bookworm/main amd64 libc6 2.36-9 [2,756 kB]"
    )
    start = time.process_time()
    for _ in range(20_000):
        sink(line)
    assert time.process_time() - start < 2, "a tenth of what was measured: 160,000 lines in a second"


def test_many_coloured_lines_and_long_ones_full_of_escapes_pass_quickly() -> None:
    sink = redacted(lambda event: None, Redactor(["S3cr3t~value.of.a_client", "hunter2!x'y"]), 65536)
    line = "\x1b[32mGet:17\x1b[0m http://deb.debian.org/debian \x1b[1mbookworm\x1b[0m/main amd64 libc6 2.36-9"
    start = time.process_time()
    for _ in range(10_000):
        sink(OutputLine(build="web", at=0, text=line))
    for text in ("\x1b]" * 32_768, "\x1b[38;2;255;255;255mx\x1b[0m" * 2_700, "x\0" * 32_768, "\x1b[1;" * 16_384):
        sink(OutputLine(build="web", at=0, text=text))
    assert time.process_time() - start < 4, "a tenth of what was measured"
