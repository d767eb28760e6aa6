"""The tree of a Go template. `start` and `end` count characters of the template's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Syntax:
    """Anything in the tree."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal(Syntax):
    """A constant: text, number, true or false; None is `nil`."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Dot(Syntax):
    """`.`"""


@dataclass(frozen=True, slots=True)
class Field(Syntax):
    """`.Name.Name`"""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable(Syntax):
    """`$name`"""

    name: str


@dataclass(frozen=True, slots=True)
class Function(Syntax):
    """The name of a function."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain(Syntax):
    """An operand followed by fields: `$x.Name`, `(…).Name`."""

    operand: Operand
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command(Syntax):
    """An operand, or a function with its arguments."""

    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline(Syntax):
    """Commands joined by `|`, with the variables that take the result."""

    commands: tuple[Command, ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


Operand = Literal | Dot | Field | Variable | Function | Chain | Pipeline


@dataclass(frozen=True, slots=True)
class Plain(Syntax):
    """Text outside the braces."""

    text: str


@dataclass(frozen=True, slots=True)
class Action(Syntax):
    """`{{pipeline}}`"""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch(Syntax):
    """`{{if}}`, `{{with}}` or `{{range}}`, by `keyword`."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Jump(Syntax):
    """`{{break}}` or `{{continue}}`."""

    keyword: str


Statement = Plain | Action | Branch | Jump


def walk(node: Syntax) -> Iterator[Syntax]:
    """The node and everything below it."""
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, Syntax):
                yield from walk(child)
