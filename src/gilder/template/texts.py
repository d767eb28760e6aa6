"""Texts with placeholders: filled in at once, or kept for the time when the build runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gilder.model.errors import UserError
from gilder.template.functions import Scope, functions
from gilder.template.go_evaluate import Evaluation, FunctionFailed, known_names, missing_field
from gilder.template.go_lexer import LEFT, TemplateMistake
from gilder.template.go_parser import parse
from gilder.template.go_syntax import Action, Branch, Dot, Field, Function, Statement, Syntax, Variable, walk
from gilder.template.spelling import did_you_mean, listed

MAX_EXPANSIONS = 20
"""A variable's text may itself hold placeholders of a run-time text; deeper than this it is a circle."""


def render(text: str, scope: Scope) -> str:
    """The text with its placeholders filled in, once. Raises TemplateMistake."""
    if LEFT not in text:
        return text
    callables = functions(scope)
    return Evaluation(callables, scope.data).text(parse(text, callables))


@dataclass(frozen=True)
class RunTimeText:
    """A text whose placeholders get their values when the build runs (a `gilder.model.spec.Delayed`).

    It was parsed, and what can be known before was checked, when it was loaded. Two are equal when their texts are.
    """

    text: str
    scope: Scope = field(compare=False, repr=False)

    def render(self, data: Mapping[str, str]) -> str:
        """The text with its placeholders filled in; raises UserError if it cannot be."""
        try:
            return _expand(self.text, self.scope, data, 0)
        except TemplateMistake as mistake:
            raise UserError(f"{self.text!r}: {mistake.message}", hint=mistake.hint or None) from None

    def now(self) -> str | None:
        """What it says already; None when it waits for the build."""
        try:
            return self.render({})
        except UserError:
            return None

    def __str__(self) -> str:
        return self.text


def _expand(text: str, scope: Scope, data: Mapping[str, str], depth: int) -> str:
    if LEFT not in text:
        return text
    if depth > MAX_EXPANSIONS:
        raise TemplateMistake("this text contains itself without end", 0, len(text))

    def build(key: str) -> str:
        if key not in data:
            raise FunctionFailed(f"the build does not tell {key} here")
        return data[key]

    user = _expanding(scope, lambda value: _expand(value, scope, data, depth + 1))
    callables = functions(replace(scope, user=user, build=build))
    return Evaluation(callables, {**scope.data, **data}).text(parse(text, callables))


def _expanding(scope: Scope, expand: Callable[[str], str]) -> Callable[[str], str]:
    """The function `user` in a run-time text: what a variable holds may itself have placeholders for run time."""

    def user(name: str) -> str:
        try:
            return expand(scope.user(name))
        except TemplateMistake as mistake:
            raise FunctionFailed(f"in the variable {name}: {mistake.message}", hint=mistake.hint) from None

    return user


@dataclass(frozen=True, slots=True)
class Promise:
    """What a run-time text may count on: fields (`{{.Device}}`) and values of the build (``{{build `ID`}}``)."""

    fields: frozenset[str] = frozenset()
    build: frozenset[str] = frozenset()


def run_time_text(text: str, scope: Scope, promise: Promise) -> RunTimeText:
    """A text for the time when the build runs; raises TemplateMistake for all that can be known to be wrong now."""
    _check(text, scope, promise, 0)
    return RunTimeText(text, scope)


def _check(text: str, scope: Scope, promise: Promise, depth: int) -> str:
    if LEFT not in text or depth > MAX_EXPANSIONS:
        return text

    def build(key: str) -> str:
        if key not in promise.build:
            raise FunctionFailed(
                f"loaded data, but couldnt find {key} in it.",
                hint=did_you_mean(key, promise.build, otherwise=f"what is known: {listed(promise.build)}"),
            )
        return key

    user = _expanding(scope, lambda value: _check(value, scope, promise, depth + 1))
    callables = functions(replace(scope, user=user, build=build))
    statements = parse(text, callables)
    nodes = [node for statement in statements for node in walk(statement)]
    _check_fields(nodes, promise.fields | scope.data.keys())
    if any(isinstance(node, Function) and node.name == "vm" for node in nodes):
        scope.asked_vm()  # it may be called only at run time, but the facts must be there then
    for statement in _known_now(statements, scope):
        Evaluation(callables, scope.data).text((statement,))
    return text


def _check_fields(nodes: Sequence[Syntax], known: Collection[str]) -> None:
    if any(isinstance(node, Branch) and node.keyword in ("with", "range") for node in nodes):
        return  # there the dot means something else
    for node in nodes:
        if isinstance(node, Field) and node.names[0] not in known:
            names = known_names(dict.fromkeys(known))
            hint = did_you_mean(node.names[0], known, otherwise=f"what is known: {names}")
            raise TemplateMistake(missing_field(node.names[0]), node.start, node.end, hint=hint)


def _known_now(statements: Iterable[Statement], scope: Scope) -> list[Statement]:
    """The actions whose value does not wait for data: they are tried at once, to find mistakes early."""
    return [
        statement
        for statement in statements
        if isinstance(statement, Action)
        and not any(waits(node, scope) for node in walk(statement))
        and not _uses_build_value(statement)
    ]


def waits(node: Syntax, scope: Scope) -> bool:
    """Whether a node has no value before the build runs, or may have none."""
    return isinstance(node, Dot | Variable) or (isinstance(node, Field) and node.names[0] not in scope.data)


def _uses_build_value(statement: Action) -> bool:
    """Whether a value of the running build is an argument of something: then its check cannot be tried now."""
    calls = [node for node in walk(statement) if isinstance(node, Function)]
    return any(node.name == "build" for node in calls) and len(calls) > 1
