"""Structured data as written: values that know where they stand. JSON and YAML both become these."""

from __future__ import annotations

from dataclasses import dataclass

from gilder.model.diagnostics import Span
from gilder.template.source import Region


@dataclass(frozen=True, slots=True)
class Text:
    """A string. `offsets[i]` is where its character i stands in the source; None: not known (escapes, folding)."""

    value: str
    region: Region
    offsets: tuple[int, ...] | None = None

    def part(self, start: int, end: int) -> Span:
        """Where the characters start..end of the value stand; the whole string if that is not known."""
        if self.offsets is None or not 0 <= start < len(self.offsets):
            return self.region.span
        last = min(max(end, start + 1), len(self.offsets)) - 1
        return self.region.source.span(self.offsets[start], self.offsets[last] + 1)


@dataclass(frozen=True, slots=True)
class Number:
    """A number; whole ones are int."""

    value: int | float
    region: Region
    written: str = ""
    """As it stands in the text, where that matters: 1.10 is also a version."""


@dataclass(frozen=True, slots=True)
class Bool:
    """true or false."""

    value: bool
    region: Region


@dataclass(frozen=True, slots=True)
class Null:
    """null."""

    region: Region


@dataclass(frozen=True, slots=True)
class Array:
    """A list."""

    items: tuple[Node, ...]
    region: Region


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values in the order written. Keys are unique: a second one is reported when read, and dropped."""

    entries: tuple[tuple[Text, Node], ...]
    region: Region

    def get(self, key: str) -> Node | None:
        """The value of a key, or None."""
        return next((value for name, value in self.entries if name.value == key), None)

    def given(self, key: str) -> Node | None:
        """The value of a key, or None, which null says as well."""
        node = self.get(key)
        return None if isinstance(node, Null) else node

    def key(self, key: str) -> Text | None:
        """The key itself, for its place."""
        return next((name for name, _ in self.entries if name.value == key), None)

    def without(self, *keys: str) -> Table:
        """The same without some keys."""
        return Table(tuple(e for e in self.entries if e[0].value not in keys), self.region)

    def updated(self, other: Table) -> Table:
        """This with the entries of another; the other's win."""
        mine = tuple(e for e in self.entries if other.get(e[0].value) is None)
        return Table(mine + other.entries, self.region)


Node = Text | Number | Bool | Null | Array | Table

_KINDS: dict[type[Node], str] = {
    Text: "a text",
    Number: "a number",
    Bool: "true or false",
    Null: "null",
    Array: "a list",
    Table: "an object",
}


def kind(node: Node) -> str:
    """What a node is, in the words of a person."""
    return _KINDS[type(node)]
