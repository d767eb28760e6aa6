"""One text where a list of run-time texts is wanted: Packer fills it in, and then splits it at its commas.

What is known is filled in; what waits for the running build stays as written, whole, for the parts to be filled in later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from gilder.template.functions import Scope, functions
from gilder.template.go_evaluate import Evaluation
from gilder.template.go_lexer import LEFT, TemplateMistake
from gilder.template.go_parser import parse
from gilder.template.go_quoting import quote
from gilder.template.go_syntax import Action, Function, Literal, Plain, Statement, walk
from gilder.template.texts import MAX_EXPANSIONS, waits

_TRIM = re.compile(r"(?<=\A\{\{)-(?=\s)|(?<=\s)-(?=\}\}\Z)")


def parts(text: str, scope: Scope, *, verbatim: bool) -> list[str]:
    """The texts between the commas, those of variables included. Raises TemplateMistake.

    `verbatim`: nothing is filled in, as in the options that Packer keeps as they are until they are used.
    """
    found = [""]
    for piece, as_written in _pieces(text, scope, verbatim, 0):
        if as_written:
            found[-1] += piece
            continue
        first, *more = piece.split(",")
        found[-1] += _literally(first)
        found.extend(map(_literally, more))
    return found


def _pieces(text: str, scope: Scope, verbatim: bool, depth: int) -> Iterator[tuple[str, bool]]:
    """The text piece by piece, and whether a piece is a placeholder as written."""
    for statement in parse(text, functions(scope)):
        written = text[statement.start : statement.end]
        if isinstance(statement, Plain):
            yield statement.text, False
        elif verbatim or depth > MAX_EXPANSIONS:
            yield _untrimmed(written), True
        elif (name := _variable(statement)) is not None:
            yield from _pieces(scope.user(name), scope, verbatim, depth + 1)
        elif (value := _value(statement, scope)) is not None:
            yield value, False
        else:
            yield _untrimmed(written), True


def _variable(statement: Statement) -> str | None:
    """The variable whose value is all that the statement gives: ``{{user `name`}}``."""
    if isinstance(statement, Action) and not statement.pipeline.variables and len(statement.pipeline.commands) == 1:
        match statement.pipeline.commands[0].operands:
            case (Function(name="user"), Literal(value=str(name))):
                return name
    return None


class _NotYet(Exception):
    """A value that has placeholders of its own."""


def _value(statement: Statement, scope: Scope) -> str | None:
    """What a statement gives; None when that is not known before the build runs."""
    if any(waits(node, scope) or (isinstance(node, Function) and node.name == "build") for node in walk(statement)):
        return None

    def user(name: str) -> str:
        value = scope.user(name)
        if LEFT in value:
            raise _NotYet
        return value

    try:
        return Evaluation(functions(replace(scope, user=user)), scope.data).text((statement,))
    except (_NotYet, TemplateMistake):  # a mistake is told where the whole text is checked
        return None


def _untrimmed(placeholder: str) -> str:
    """The placeholder without its `-`: what it trims is trimmed by now."""
    return _TRIM.sub("", placeholder)


def _literally(value: str) -> str:
    """The text as a template that gives it: braces in it open no placeholder."""
    opens = LEFT in value or value.startswith("{") or value.endswith("{")
    return f"{{{{{quote(value)}}}}}" if opens else value
