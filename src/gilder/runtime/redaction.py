"""What must never be shown: the secrets of a run, in every form in which programs print them.

A secret is hidden as it is, in base64 (both alphabets, wherever it begins in what was encoded, with and without
padding), in hexadecimal, percent-encoded, escaped as in JSON, YAML, XML and Python, quoted for a shell, and in part: each
of its longer lines, and eight or more characters of it at a break between lines. All of that also where terminal escapes
or NUL bytes stand within: who looks at it, and gilder itself before it shows a line, takes them out afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import methodcaller
from typing import Any

from gilder.model.events import Event, OutputLine, Sink
from gilder.runtime.bare import Span, bare
from gilder.runtime.spellings import spellings

MASK = "<sensitive>"
SHORTEST = 4
"""Characters; hiding a shorter value would make the output unreadable, and hide little."""
PART = 8
"""Characters of a secret, or of one of its lines, that are hidden on their own."""
_BREAK = re.compile(r"[ \t]{0,8}(?:\r\n|\n|\r|\\n)[ \t]{0,8}")
"""Between lines of one text; an error within an error has its line ends escaped."""

_BEGIN = 16
"""Characters by which a form is looked for; whether the rest of it is there is seen then."""
_PIECE, _STEP = 5, 4
"""Characters of a piece of a form, and between the begins of two; together one more than PART."""
_UNSEEN = 64 * 1024
"""Characters that a stream holds beyond the longest form: without an end, escapes and NUL bytes would fill the memory."""


class Redactor:
    """The secrets of one run. Immutable; without secrets it changes nothing."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = _forms(secrets)
        self._flat = {flat: None for form in self._forms if len(flat := _BREAK.sub("", form)) >= SHORTEST}
        self._whole = _Words(self._forms)
        self._unbroken = _Words(self._flat)
        self._heads = _Words(form[:PART] for form in self._flat if len(form) > PART)
        self._tails = _Words(form[-PART:] for form in self._flat if len(form) > PART)
        # Searching all forms for each line would take long, and nearly no line begins with a piece of one. A piece begins at
        # every _STEP characters of a form, so among the first _STEP of any PART characters of it.
        self._pieces = {form[at : at + _PIECE] for form in self._flat for at in range(0, len(form) - _PIECE + 1, _STEP)}
        self.longest = max(map(len, self._forms), default=0)
        """Characters of the longest form."""

    @classmethod
    def of(cls, named: Mapping[str, str]) -> tuple[Redactor, tuple[str, ...]]:
        """A redactor of these values, and the names of those too short to be hidden."""
        short = tuple(name for name, value in named.items() if 0 < len(value) < SHORTEST)
        return cls(named.values()), short

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """The text with every secret hidden, also those that its line breaks cut."""
        if not self._forms or not text:
            return text
        spans = self.spans(text)
        if _BREAK.search(text):
            spans += _seen(text, self._across_breaks)
            start = 0
            for end in [*(found.start() for found in re.finditer("\n", text)), len(text)]:
                spans += [(start + a, start + b) for a, b in self.parts(text[start:end])]
                start = end + 1
        return _masked(text, spans)

    def remedy(self, text: str) -> str:
        """A command that removes something. With a part of it hidden it is no use: then it is said where the whole one is."""
        hidden = self.text(text)
        return (
            hidden if hidden == text else f"{hidden} (a part equals a secret; gilder show has commands for Azure whole)"
        )

    def spans(self, text: str) -> list[Span]:
        """Where whole secrets are; spans may overlap."""
        return _seen(text, self._whole.found)

    def parts(self, line: str) -> list[Span]:
        """Where a line begins or ends with a part of a secret, or is one."""
        return _seen(line, self._parts)

    def _parts(self, line: str) -> list[Span]:
        spans: list[Span] = []
        ended, stripped = line.rstrip(), line.strip()
        skipped = len(line) - len(line.lstrip())
        if self._may_be_part(stripped) and any(stripped in form for form in self._flat):
            return [(skipped, len(ended))]
        # No part is longer than the longest form: of a long line only its ends are looked at.
        for start, _ in self._heads.found(ended, len(ended) - self.longest):
            if any(map(methodcaller("startswith", ended[start:]), self._flat)):
                spans.append((start, len(ended)))
                break
        for _, end in reversed(self._tails.found(line[: skipped + self.longest])):
            if any(map(methodcaller("endswith", line[skipped:end]), self._flat)):
                spans.append((skipped, end))
                break
        return spans

    def _may_be_part(self, text: str) -> bool:
        """Whether a form may have this in it; False is certain."""
        return len(text) >= PART and any(text[at : at + _PIECE] in self._pieces for at in range(_STEP))

    def rests(self, line: str) -> tuple[str, ...]:
        """How the next line would begin, if this one ends within a secret that was cut there."""
        found = self._heads.found(line, len(line) - self.longest)
        stripped = line.strip()
        rests = {f[len(line) - start :] for start, _ in found for f in self._flat if f.startswith(line[start:])}
        if len(stripped) >= PART:
            rests |= {f.partition(stripped)[2] for f in self._flat if stripped in f}
        return tuple(rest for rest in rests if rest)

    def _across_breaks(self, text: str) -> list[Span]:
        """Where secrets are when the breaks are taken out."""
        pieces: list[str] = []
        places: list[int] = []
        at = 0
        for found in [*_BREAK.finditer(text), None]:
            end = found.start() if found else len(text)
            pieces.append(text[at:end])
            places += range(at, end)
            at = found.end() if found else end
        return [(places[a], places[b - 1] + 1) for a, b in self._unbroken.found("".join(pieces))]


class Stream:
    """Text that comes in chunks, cut anywhere: what may be the beginning of a secret is held until it is known. All that is
    shown is what the whole text would show."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        self._hidden: int | None = None
        """How many characters at the begin of what is held the last mask stands for; None when something came after it."""

    def feed(self, chunk: str) -> str:
        """What can be shown after this chunk."""
        text = self._held + chunk
        # A secret that begins before `known` is wholly here. One that goes beyond is hidden up to there, and what it has
        # beyond stays held: skipped, it would take the begin of a secret that overlaps its end along, whose rest would show.
        known = self._known(text)
        spans = self._spans(text, known)
        shown = self._masked(text[:known], spans)
        end = max((end for _, end in spans), default=-1)
        self._held, self._hidden = text[known:], end - known if end >= known else None
        return shown

    def _known(self, text: str) -> int:
        """Where the last characters begin that may be the beginning of a secret, when all that is not seen is left out.

        The last one that is seen may go yet: printed again, it is bold.
        """
        shown, longest = bare(text), self._redactor.longest
        known = shown.place(len(shown.text) - longest) if len(shown.text) > longest else 0
        return max(known, len(text) - longest - _UNSEEN)

    def rest(self) -> str:
        """What is still held, as it can be shown at the end; the next chunk begins anew."""
        shown = self._masked(self._held, self._spans(self._held, len(self._held)))
        self._held, self._hidden = "", None
        return shown

    def _spans(self, text: str, before: int) -> list[Span]:
        spans = [span for span in self._redactor.spans(text) if span[0] < before]
        return spans if self._hidden is None else [(0, self._hidden), *spans]

    def _masked(self, text: str, spans: list[Span]) -> str:
        masked = _masked(text, spans)
        return masked if self._hidden is None else masked.removeprefix(MASK)  # it was shown already


class _Lines:
    """The lines of one stream of one build."""

    def __init__(self, redactor: Redactor, longest_line: int) -> None:
        self._redactor = redactor
        self._longest_line = longest_line
        self._stream = Stream(redactor)
        self._rests: tuple[str, ...] = ()
        self._held: OutputLine | None = None

    def shown(self, event: OutputLine) -> OutputLine:
        """The line to show; of a piece of a line that was cut, what cannot belong to a secret in the next piece."""
        if len(event.text) == self._longest_line:
            self._held = event
            return replace(event, text=self._stream.feed(event.text))
        if self._held is not None:
            self._held = None
            return replace(event, text=self._stream.feed(event.text) + self._stream.rest())
        return replace(event, text=self._line(event.text))

    def flushed(self) -> OutputLine | None:
        """What is held, when nothing came after it."""
        event, self._held = self._held, None
        return replace(event, text=self._stream.rest()) if event else None

    def _line(self, text: str) -> str:
        spans = self._redactor.spans(text) + self._redactor.parts(text)
        shown = bare(text)
        line = shown.text
        rests: set[str] = set()
        for rest in self._rests:
            if line.startswith(rest):
                spans += shown.back([(0, len(rest))])
            elif line and rest.startswith(line):
                spans += shown.back([(0, len(line))])
                rests.add(rest[len(line) :])
        self._rests = (*rests, *self._redactor.rests(line)) if spans else ()
        return _masked(text, spans)


def redacted(sink: Sink, redactor: Redactor, longest_line: int) -> Sink:
    """A sink that hides secrets and passes events on. Lines of `longest_line` characters may be pieces of longer ones."""
    if not redactor:
        return sink
    lines: dict[tuple[str, str], _Lines] = {}

    def tell(event: Event) -> None:
        if isinstance(event, OutputLine):
            key = (event.build, event.stream)
            if key not in lines:
                lines[key] = _Lines(redactor, longest_line)
            sink(lines[key].shown(event))
            return
        for key in [key for key in lines if key[0] == event.build]:
            if rest := lines[key].flushed():
                sink(rest)
        sink(_hidden(event, redactor))

    return tell


def _hidden(event: Event, redactor: Redactor) -> Event:
    ways = {"text": redactor.text, "what": redactor.text, "detail": redactor.text, "remedy": redactor.remedy}
    shown: dict[str, Any] = {
        name: hide(value) for name, hide in ways.items() if isinstance(value := getattr(event, name, None), str)
    }
    return replace(event, **shown)


def _forms(secrets: Iterable[str]) -> dict[str, None]:
    """All forms of all secrets and of their longer lines, in order and once."""
    forms: dict[str, None] = {}
    for secret in secrets:
        lines = [line.strip() for line in secret.splitlines()]
        wanted = [secret, secret.strip(), *(line for line in lines if len(line) >= PART)]
        wanted += [bare(value).text for value in wanted]  # as it looks when what a terminal does not show is in itself
        for value in dict.fromkeys(wanted):
            if len(value) >= SHORTEST:
                forms |= dict.fromkeys(form for form in spellings(value) if len(form) >= SHORTEST)
    return forms


class _Words:
    """Finds any of these words in a text."""

    def __init__(self, words: Iterable[str]) -> None:
        self._by_begin: dict[str, list[str]] = {}
        for word in sorted(set(words), key=len, reverse=True):
            self._by_begin.setdefault(word[:_BEGIN], []).append(word)
        self._lengths = sorted({len(begin) for begin in self._by_begin}, reverse=True)
        # Only of how they begin: compiled whole, the forms of a chain of certificates took many seconds.
        self._begins = re.compile(_tree(sorted(self._by_begin))) if self._by_begin else None

    def found(self, text: str, start: int = 0) -> list[Span]:
        """The longest word at each place from `start` on, also those that overlap."""
        spans = []
        at = self._begins.search(text, max(0, start)) if self._begins else None
        while at and self._begins:
            place = at.start()
            if length := self._longest_at(text, place):
                spans.append((place, place + length))
            at = self._begins.search(text, place + 1)
        return spans

    def _longest_at(self, text: str, place: int) -> int:
        for length in self._lengths:
            for word in self._by_begin.get(text[place : place + length], ()):
                if text.startswith(word, place):
                    return len(word)
        return 0


def _tree(words: list[str]) -> str:
    """A pattern for these words (sorted); beginnings that they share are compared once."""
    branches = []
    for first in dict.fromkeys(word[0] for word in words):
        group = [word for word in words if word[0] == first]
        head = _shared(group[0], group[-1])  # the words between share it, for they are sorted
        tails = [word[len(head) :] for word in group]
        rest = [tail for tail in tails if tail]
        more = f"(?:{_tree(rest)})" + ("?" if len(rest) < len(tails) else "") if rest else ""
        branches.append(re.escape(head) + more)
    return "|".join(branches)


def _shared(one: str, other: str) -> str:
    """The beginning that two words share."""
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _seen(text: str, find: Callable[[str], list[Span]]) -> list[Span]:
    """What is found in a text as it is, for an escape may hold a secret (a link does), and as a terminal shows it."""
    spans = find(text)
    shown = bare(text)
    return spans if shown.text == text else [*spans, *shown.back(find(shown.text))]


def _masked(text: str, spans: list[Span]) -> str:
    """The text with each run of overlapping spans replaced by one mask."""
    if not spans:
        return text
    pieces = []
    at = 0
    begin, end = min(spans)
    for start, stop in sorted(spans):
        if start > end:
            pieces += [text[at:begin], MASK]
            at, begin, end = end, start, stop
        end = max(end, stop)
    return "".join([*pieces, text[at:begin], MASK, text[end:]])
