"""Evaluates the tree of a Go template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gilder.template.go_lexer import TemplateMistake
from gilder.template.go_parser import MOST
from gilder.template.go_syntax import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Function,
    Jump,
    Literal,
    Operand,
    Pipeline,
    Plain,
    Statement,
    Variable,
)
from gilder.template.go_values import Value, shown, type_name
from gilder.template.spelling import did_you_mean

_MAX_OUTPUT = 1_000_000
_MAX_STEPS = 100_000


class _NoValue:
    """What a missing key of a map gives; prints as Go prints it."""


NO_VALUE: Final = _NoValue()


class FunctionFailed(Exception):
    """A function cannot do what was asked; the message goes on to the user."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Callee:
    """A function of the template language. `takes` are the types of its arguments (str, int, or object for any)."""

    call: Callable[..., Value]
    takes: tuple[type, ...]
    more: type | None = None
    """The type of any further arguments; None: there are none."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Evaluation:
    """One evaluation: functions, data and variables. With `strict` a missing name is an error, else no value."""

    def __init__(self, functions: Mapping[str, Callee], data: Mapping[str, Value], *, strict: bool = True) -> None:
        self._functions = functions
        self._data = data
        self._strict = strict
        self._variables: list[tuple[str, Value]] = [("$", data)]
        self._out: list[str] = []
        self._size = 0
        self._steps = 0

    def text(self, statements: Iterable[Statement]) -> str:
        """The text that the statements give; raises TemplateMistake."""
        self._run(statements, self._data)
        return "".join(self._out)

    # --- statements

    def _write(self, text: str, at: Statement) -> None:
        self._size += len(text)
        if self._size > _MAX_OUTPUT:
            raise TemplateMistake(f"more than {_MAX_OUTPUT} characters of output", at.start, at.end)
        self._out.append(text)

    def _step(self, at: Statement) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TemplateMistake(f"more than {_MAX_STEPS} steps", at.start, at.end)

    def _run(self, statements: Iterable[Statement], dot: Value) -> None:
        for statement in statements:
            self._step(statement)
            match statement:
                case Plain(text=text):
                    self._write(text, statement)
                case Action(pipeline=pipeline):
                    value = self._pipeline(pipeline, dot)
                    if not pipeline.variables:
                        self._write("<no value>" if value is NO_VALUE else shown(value), statement)
                case Jump(keyword=keyword):
                    raise _Break if keyword == "break" else _Continue
                case Branch():
                    self._branch(statement, dot)

    def _branch(self, branch: Branch, dot: Value) -> None:
        known = len(self._variables)
        if branch.keyword == "range":
            self._range(branch, dot)
        else:
            value = self._pipeline(branch.pipeline, dot)
            inner = value if branch.keyword == "with" and truth(value) else dot
            self._run(branch.body if truth(value) else branch.otherwise, inner)
        del self._variables[known:]

    def _range(self, branch: Branch, dot: Value) -> None:
        pipeline = branch.pipeline
        plain = Pipeline(pipeline.start, pipeline.end, pipeline.commands)
        pairs = _elements(self._pipeline(plain, dot), branch)
        if not pairs:
            self._run(branch.otherwise, dot)
        known = len(self._variables)
        for key, value in pairs:
            self._step(branch)
            names = pipeline.variables
            for name, content in zip(names, (value,) if len(names) == 1 else (key, value), strict=False):
                self._assign(name, content, declares=pipeline.declares)
            try:
                self._run(branch.body, value)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[known:]

    def _assign(self, name: str, value: Value, *, declares: bool) -> None:
        if not declares:
            for i in range(len(self._variables) - 1, -1, -1):
                if self._variables[i][0] == name:
                    self._variables[i] = (name, value)
                    return
        self._variables.append((name, value))

    # --- values

    def _pipeline(self, pipeline: Pipeline, dot: Value) -> Value:
        value: Value = None
        for i, command in enumerate(pipeline.commands):
            value = self._command(command, dot, (value,) if i else ())
        for name in pipeline.variables:
            self._assign(name, value, declares=pipeline.declares)
        return value

    def _command(self, command: Command, dot: Value, piped: tuple[Value, ...]) -> Value:
        first, *rest = command.operands
        if isinstance(first, Function):
            return self._call(first, rest, dot, piped)
        if rest or piped:
            raise TemplateMistake("this is no function, so it takes no arguments", first.start, first.end)
        if isinstance(first, Literal) and first.value is None:
            raise TemplateMistake("nil is not a command", first.start, first.end)
        return self._operand(first, dot)

    def _operand(self, operand: Operand, dot: Value) -> Value:
        match operand:
            case Literal(value=value):
                return value
            case Dot():
                return dot
            case Variable(name=name):
                return next(value for known, value in reversed(self._variables) if known == name)
            case Field(names=names):
                return self._fields(dot, names, operand)
            case Chain(operand=inner, names=names):
                return self._fields(self._operand(inner, dot), names, operand)
            case Pipeline():
                return self._pipeline(operand, dot)
            case Function():
                return self._call(operand, [], dot, ())

    def _fields(self, value: Value, names: Sequence[str], at: Operand) -> Value:
        for name in names:
            if isinstance(value, Mapping):
                if name not in value and self._strict:
                    raise TemplateMistake(
                        missing_field(name),
                        at.start,
                        at.end,
                        hint=did_you_mean(name, value, otherwise=f"what is known: {known_names(value)}"),
                    )
                value = value.get(name, NO_VALUE)
            elif value is NO_VALUE:
                return NO_VALUE
            else:
                message = f"can't evaluate field {name} in type {type_name(value)}"
                raise TemplateMistake(message, at.start, at.end)
        return value

    def _call(self, function: Function, rest: Sequence[Operand], dot: Value, piped: tuple[Value, ...]) -> Value:
        name = function.name
        callee = self._functions[name]
        wanted, given = len(callee.takes), len(rest) + len(piped)
        if given < wanted or (given > wanted and callee.more is None):
            amount = f"at least {wanted}" if callee.more is not None else str(wanted)
            raise TemplateMistake(
                f"wrong number of args for {name}: want {amount} got {given}", function.start, function.end
            )
        if name in ("and", "or"):
            return self._short_circuit(name, rest, dot, piped)
        types = [*callee.takes, *(callee.more or object for _ in range(given - wanted))]
        values = [self._argument(operand, type_, dot) for operand, type_ in zip(rest, types, strict=False)]
        values += piped
        for value, type_, operand in zip(values, types, [*rest, function][:given], strict=True):
            _check(value, type_, operand)
        try:
            return callee.call(*(None if v is NO_VALUE else v for v in values))
        except FunctionFailed as error:
            end = rest[-1].end if rest else function.end
            raise TemplateMistake(f"error calling {name}: {error}", function.start, end, hint=error.hint) from None

    def _argument(self, operand: Operand, type_: type, dot: Value) -> Value:
        value = self._operand(operand, dot)
        if type_ is int and isinstance(operand, Literal) and isinstance(value, float):
            return int(value) if value.is_integer() and abs(value) < MOST else value
        return value

    def _short_circuit(self, name: str, rest: Sequence[Operand], dot: Value, piped: tuple[Value, ...]) -> Value:
        value: Value = None
        for i in range(len(rest) + len(piped)):
            value = self._operand(rest[i], dot) if i < len(rest) else piped[0]
            if truth(value) == (name == "or"):
                return value
        return value


def missing_field(name: str) -> str:
    """What is said when a template asks for data that it does not have."""
    return f"there is no .{name} here"


def known_names(data: Mapping[str, Value]) -> str:
    """The fields of some data, as a template writes them."""
    return ", ".join(f".{name}" for name in sorted(data)) or "nothing"


def truth(value: Value) -> bool:
    """Whether Go's `if` takes the value as true: not empty and not zero."""
    return value is not NO_VALUE and bool(value)


def _elements(value: Value, at: Branch) -> list[tuple[Value, Value]]:
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if value is NO_VALUE or value is None:
        return []
    if isinstance(value, int) and not isinstance(value, bool):
        return [(i, i) for i in range(min(value, _MAX_STEPS + 1))]
    raise TemplateMistake(f"range can't iterate over {shown(value)}", at.pipeline.start, at.pipeline.end)


_GO_NAMES = {str: "string", int: "int"}


def _check(value: Value, type_: type, at: Operand) -> None:
    if type_ is object or (isinstance(value, type_) and not isinstance(value, bool)):
        return
    wanted = _GO_NAMES.get(type_, type_.__name__)
    if value is NO_VALUE or value is None:
        raise TemplateMistake(f"invalid value; expected {wanted}", at.start, at.end)
    raise TemplateMistake(
        f"wrong type for value; expected {wanted}; got {type_name(value)}",
        at.start,
        at.end,
        hint="write it between backquotes" if type_ is str else "",
    )
