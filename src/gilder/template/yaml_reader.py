"""YAML with the place of every key and value.

PyYAML splits the text into events; what plain scalars mean is decided here by the core schema of YAML 1.2, so that
`no` is a text and a version `1.10` keeps its zero. Duplicate keys are errors. Anchors and aliases work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from gilder.model.diagnostics import Diagnostic, Severity
from gilder.template.nodes import Array, Bool, Node, Null, Number, Table, Text
from gilder.template.source import Region, Source

_MAX_DEPTH = 100
_MAX_NODES = 200_000
"""Aliases of aliases can make a small text into an endless value."""
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


class _Mistake(Exception):
    def __init__(self, summary: str, start: int, end: int, detail: str = "") -> None:
        super().__init__(summary)
        self.summary, self.start, self.end, self.detail = summary, start, end, detail


def read_yaml(source: Source) -> tuple[Node | None, list[Diagnostic]]:
    """The value of a YAML text of one document, and its mistakes; None when there is no value or the syntax is wrong."""
    try:
        composer = _Composer(source)
        return composer.document(), composer.diagnostics
    except _Mistake as mistake:
        where = source.span(mistake.start, mistake.end)
        return None, [Diagnostic(Severity.ERROR, mistake.summary, mistake.detail, where)]
    except yaml.reader.ReaderError as error:
        at = error.position if isinstance(error.position, int) else 0
        where = source.span(at, at + 1)
        return None, [Diagnostic(Severity.ERROR, "YAML syntax: a control character", "write it as an escape", where)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = mark.index if mark else 0
        detail = f"{error.context}" if error.context else ""
        where = source.span(at, at + 1)
        return None, [Diagnostic(Severity.ERROR, f"YAML syntax: {error.problem}", detail, where)]


def _place(event: yaml.Event) -> tuple[int, int]:
    assert event.start_mark is not None
    assert event.end_mark is not None
    return event.start_mark.index, event.end_mark.index


class _Composer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=yaml.SafeLoader)
        self.event = next(self.events)
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.diagnostics: list[Diagnostic] = []
        self.nodes = 0
        self.depth = 0

    def take(self) -> yaml.Event:
        event = self.event
        self.event = next(self.events, event)
        return event

    def document(self) -> Node | None:
        self.take()  # the start of the stream
        if isinstance(self.event, yaml.StreamEndEvent):
            return None
        self.take()  # the start of the document
        node = self.node()
        self.take()  # its end
        if not isinstance(self.event, yaml.StreamEndEvent):
            raise _Mistake("a second document", *_place(self.event), "one file holds one")
        return node

    def region(self, start: yaml.Event, end: yaml.Event) -> Region:
        return Region(self.source, _place(start)[0], _place(end)[1])

    def node(self) -> Node:
        event = self.take()
        before = self.nodes
        self.count(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        assert isinstance(event, yaml.NodeEvent)
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _Mistake(f"more than {_MAX_DEPTH} levels of nesting", *_place(event))
        node = self.inner(event)
        self.depth -= 1
        if event.anchor:
            self.anchors[event.anchor] = (node, self.nodes - before)
        return node

    def inner(self, event: yaml.NodeEvent) -> Node:
        tag = getattr(event, "tag", None)
        if tag and tag not in ("!", "tag:yaml.org,2002:str"):
            raise _Mistake(f"the tag {tag} has no meaning here", *_place(event))
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, is_text=bool(tag) or event.style is not None)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(event)
        return self.mapping(event)

    def count(self, more: int, event: yaml.Event) -> None:
        self.nodes += more
        if self.nodes > _MAX_NODES:
            raise _Mistake(f"more than {_MAX_NODES} values", *_place(event))

    def alias(self, event: yaml.AliasEvent) -> Node:
        if event.anchor not in self.anchors:
            raise _Mistake(f"there is no anchor &{event.anchor}", *_place(event))
        node, size = self.anchors[event.anchor]
        self.count(size, event)
        return node

    def scalar(self, event: yaml.ScalarEvent, *, is_text: bool) -> Node:
        region = self.region(event, event)
        value: str = event.value
        if not is_text:
            if value in _WORDS:
                word = _WORDS[value]
                return Null(region) if word is None else Bool(word, region)
            if len(value) < 300 and (_INTEGER.fullmatch(value) or _FLOAT.fullmatch(value)):
                return _number(value, region)
        return Text(value, region, self.offsets(value, region))

    def offsets(self, value: str, region: Region) -> tuple[int, ...] | None:
        """Where the characters stand, if the text stands there as it is: plain or quoted, in one piece."""
        written = self.source.text[region.start : region.end]
        quotes = 1 if written[:1] in "\"'" else 0
        if written[quotes : len(written) - quotes] != value:
            at = written.find(value) if value and "\n" not in value else -1
            return tuple(range(region.start + at, region.start + at + len(value))) if at >= 0 else None
        return tuple(range(region.start + quotes, region.start + quotes + len(value)))

    def sequence(self, start: yaml.Event) -> Array:
        items: list[Node] = []
        while not isinstance(self.event, yaml.SequenceEndEvent):
            items.append(self.node())
        end = self.take()
        return Array(tuple(items), self.end_at(start, end, items[-1] if items else None))

    def mapping(self, start: yaml.Event) -> Table:
        entries: dict[str, tuple[Text, Node]] = {}
        last: Node | None = None
        while not isinstance(self.event, yaml.MappingEndEvent):
            key = self.key()
            last = self.node()
            if key.value not in entries:
                entries[key.value] = (key, last)
                continue
            line = entries[key.value][0].region.span.line
            self.diagnostics.append(
                Diagnostic(
                    Severity.ERROR,
                    f"the key {key.value!r} stands here a second time",
                    f"the first is on line {line}; remove one of them",
                    key.region.span,
                )
            )
        end = self.take()
        return Table(tuple(entries.values()), self.end_at(start, end, last))

    def key(self) -> Text:
        event = self.event
        node = self.node()
        if isinstance(node, Text):
            return node
        if not isinstance(event, yaml.ScalarEvent):
            raise _Mistake("a key must be a text", *_place(event))
        return Text(event.value, node.region)

    def end_at(self, start: yaml.Event, end: yaml.Event, last: Node | None) -> Region:
        """The region of a collection; one in block style ends with its last value, not at the next thing."""
        begin = _place(start)[0]
        if self.source.text[begin : begin + 1] in ("[", "{") or last is None:
            return self.region(start, end)
        return Region(self.source, begin, max(last.region.end, begin))


def _number(text: str, region: Region) -> Number:
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return Number(int(text, base), region, text)
    return Number(float(text), region, text)
