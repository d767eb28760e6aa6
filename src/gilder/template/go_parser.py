"""Reads a Go template into its tree. What is refused here is what Go refuses when it parses."""

from __future__ import annotations

import re
from collections.abc import Collection

from gilder.template.go_lexer import Kind, TemplateMistake, Token, tokens
from gilder.template.go_quoting import unquote
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
from gilder.template.spelling import did_you_mean

_MAX_DEPTH = 50
LEAST, MOST = -(2**63), 2**63 - 1
"""The bounds of Go's int."""
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)")


def parse(text: str, functions: Collection[str]) -> tuple[Statement, ...]:
    """The tree of a template. Raises TemplateMistake, also for a function that is not among `functions`."""
    return _Parser(text, functions).template()


class _Parser:
    def __init__(self, text: str, functions: Collection[str]) -> None:
        self.text = text
        self.functions = functions
        self.tokens = tokens(text)
        self.token = next(self.tokens)
        self.variables = ["$"]
        self.depth = 0
        self.loops = 0

    # --- tokens

    def take(self) -> Token:
        taken = self.token
        if taken.kind is not Kind.END:
            self.token = next(self.tokens)
        return taken

    def at(self, kind: Kind) -> bool:
        return self.token.kind is kind

    def skip_space(self) -> None:
        if self.token.kind is Kind.SPACE:
            self.take()

    def is_operator(self, *which: str) -> bool:
        return self.token.kind is Kind.OPERATOR and self.token.text in which

    def is_keyword(self, *which: str) -> bool:
        return self.token.kind is Kind.KEYWORD and self.token.text in which

    def unexpected(self, where: str) -> TemplateMistake:
        token = self.token
        name = token.kind.value if token.kind in (Kind.END, Kind.TEXT) else repr(token.text)
        return TemplateMistake(f"unexpected {name} in {where}", token.start, token.end)

    def close(self, where: str) -> int:
        self.skip_space()
        if self.token.kind is not Kind.CLOSE:
            raise self.unexpected(where)
        return self.take().end

    # --- statements

    def template(self) -> tuple[Statement, ...]:
        body, ended_by, at = self.statements()
        if ended_by:
            raise TemplateMistake(f"unexpected {{{{{ended_by}}}}}", at, at + len(ended_by))
        return body

    def statements(self) -> tuple[tuple[Statement, ...], str, int]:
        """Statements up to `end`, `else` or the end of the text (""), which is named; an `else` is left unfinished."""
        found: list[Statement] = []
        while self.token.kind is not Kind.END:
            if self.token.kind is Kind.TEXT:
                token = self.take()
                found.append(Plain(token.start, token.end, token.text))
                continue
            start = self.take().start
            self.skip_space()
            if self.is_keyword("end", "else"):
                keyword = self.take()
                if keyword.text == "end":
                    self.close("end")
                return tuple(found), keyword.text, keyword.start
            found.append(self.statement(start))
        return tuple(found), "", len(self.text)

    def statement(self, start: int) -> Statement:
        if self.is_keyword("if", "with", "range"):
            return self.branch(start)
        if self.is_keyword("break", "continue"):
            keyword = self.take()
            if not self.loops:
                raise TemplateMistake(f"{{{{{keyword.text}}}}} outside {{{{range}}}}", keyword.start, keyword.end)
            return Jump(start, self.close(keyword.text), keyword.text)
        if self.is_keyword("define", "template", "block"):
            raise TemplateMistake(
                f"{{{{{self.token.text}}}}} is not supported",
                self.token.start,
                self.token.end,
                hint="write the text out, or put it into a variable",
            )
        pipeline = self.pipeline("an action")
        return Action(start, self.close("an action"), pipeline)

    def branch(self, start: int) -> Branch:
        keyword = self.take().text
        self.deeper(start)
        known = len(self.variables)
        pipeline = self.pipeline(keyword)
        self.close(keyword)
        self.loops += keyword == "range"
        body, ended_by, _ = self.statements()
        self.loops -= keyword == "range"
        otherwise: tuple[Statement, ...] = ()
        if ended_by == "else":
            self.skip_space()
            if self.is_keyword("if", "with") and keyword in ("if", "with"):
                otherwise = (self.branch(self.token.start),)
                ended_by = "end"
            else:
                self.close("else")
                otherwise, ended_by, at = self.statements()
                if ended_by == "else":
                    raise TemplateMistake("a second {{else}}", at, at + 4)
        if ended_by != "end":
            raise TemplateMistake(f"{{{{{keyword}}}}} without {{{{end}}}}", start, len(self.text))
        del self.variables[known:]
        self.depth -= 1
        return Branch(start, self.token.start, keyword, pipeline, body, otherwise)

    def deeper(self, start: int) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise TemplateMistake(f"more than {_MAX_DEPTH} levels of nesting", start, start + 2)

    # --- pipelines

    def pipeline(self, where: str) -> Pipeline:
        self.skip_space()
        start = self.token.start
        first, names, declares = self.declaration(where)
        commands = [self.command(where, first)]
        while self.is_operator("|"):
            self.take()
            commands.append(self.command(where, None))
            if isinstance(commands[-1].operands[0], Literal | Dot):
                last = commands[-1]
                raise TemplateMistake(f"the {len(commands)}. part of the pipeline is no function", last.start, last.end)
        if declares:
            self.variables.extend(names)
        return Pipeline(start, commands[-1].end, tuple(commands), names, declares)

    def declaration(self, where: str) -> tuple[Operand | None, tuple[str, ...], bool]:
        """`$x :=`, `$x =` or `$i, $x :=`; or else the variable that was read and turned out to be an operand."""
        names: list[Token] = []
        while self.token.kind is Kind.VARIABLE:
            variable = self.take()
            if self.at(Kind.FIELD) or (self.at(Kind.SPACE) and not names and not self.operator_ahead()):
                return self.chained(self.known(variable)), (), False
            self.skip_space()
            names.append(variable)
            if self.is_operator(":=", "="):
                declares = self.take().text == ":="
                if not declares:
                    for name in names:
                        self.known(name)
                return None, tuple(n.text for n in names), declares
            if not (self.is_operator(",") and where == "range" and len(names) == 1):
                break
            self.take()
            self.skip_space()
        if len(names) > 1:
            raise self.unexpected(where)
        return (self.known(names[0]) if names else None), (), False

    def operator_ahead(self) -> bool:
        rest = self.text[self.token.end :]
        return rest.startswith((":=", "=", ","))

    def command(self, where: str, first: Operand | None) -> Command:
        self.skip_space()
        start = first.start if first else self.token.start
        operands: list[Operand] = [] if first is None else [first]
        need_space = first is not None
        while True:
            spaced = self.token.kind is Kind.SPACE
            self.skip_space()
            if self.token.kind is Kind.CLOSE or self.is_operator("|", ")"):
                break
            if need_space and not spaced:
                raise self.unexpected(where)
            operands.append(self.operand(where))
            need_space = True
        if not operands:
            raise TemplateMistake(f"a value is missing in {where}", start, self.token.end)
        return Command(start, operands[-1].end, tuple(operands))

    def operand(self, where: str) -> Operand:
        return self.chained(self.term(where))

    def chained(self, operand: Operand) -> Operand:
        names: list[str] = []
        end = operand.end
        while self.token.kind is Kind.FIELD:
            if isinstance(operand, Literal | Dot):
                raise self.unexpected("a constant")
            token = self.take()
            names.append(token.text[1:])
            end = token.end
        if not names:
            return operand
        if isinstance(operand, Field):
            return Field(operand.start, end, (*operand.names, *names))
        return Chain(operand.start, end, operand, tuple(names))

    def term(self, where: str) -> Operand:
        token = self.token
        if self.is_operator("("):
            self.take()
            self.deeper(token.start)
            pipeline = self.pipeline("parentheses")
            if not self.is_operator(")"):
                raise TemplateMistake("a parenthesis is not closed", token.start, self.token.end)
            self.take()
            self.depth -= 1
            return pipeline
        if token.kind in (Kind.STRING, Kind.CHARACTER, Kind.NUMBER):
            self.take()
            return Literal(token.start, token.end, _constant(token))
        if token.kind is Kind.DOT:
            self.take()
            return Dot(token.start, token.end)
        if token.kind is Kind.FIELD:
            self.take()
            return Field(token.start, token.end, (token.text[1:],))
        if token.kind is Kind.VARIABLE:
            return self.known(self.take())
        if token.kind is Kind.IDENTIFIER or self.is_keyword("nil"):
            return self.identifier(self.take())
        raise self.unexpected(where)

    def known(self, token: Token) -> Variable:
        if token.text not in self.variables:
            raise TemplateMistake(f"undefined variable {token.text!r}", token.start, token.end)
        return Variable(token.start, token.end, token.text)

    def identifier(self, token: Token) -> Operand:
        if token.text in ("true", "false", "nil"):
            value = None if token.text == "nil" else token.text == "true"
            return Literal(token.start, token.end, value)
        if token.text not in self.functions:
            raise TemplateMistake(
                f'function "{token.text}" not defined',
                token.start,
                token.end,
                hint=did_you_mean(token.text, self.functions),
            )
        return Function(token.start, token.end, token.text)


def _constant(token: Token) -> str | int | float:
    if token.kind is Kind.NUMBER:
        return _number(token)
    try:
        text = token.text[1:-1] if token.text[0] == "`" else unquote(token.text[1:-1], token.text[0])
    except ValueError as error:
        raise TemplateMistake(str(error), token.start, token.end) from None
    if token.kind is Kind.CHARACTER:
        if len(text) != 1:
            raise TemplateMistake("a character constant holds one character", token.start, token.end)
        return ord(text)
    return text.replace("\r", "") if token.text[0] == "`" else text


def _number(token: Token) -> int | float:
    digits = token.text.replace("_", "")
    try:
        if _INTEGER.fullmatch(digits):
            octal = re.fullmatch(r"[+-]?0[0-7]+", digits)
            whole = int(digits, 8 if octal else 0)
            if not LEAST <= whole <= MOST:
                raise TemplateMistake(f"{token.text} overflows int", token.start, token.end)
            return whole
        number = float(digits)
    except ValueError:
        raise TemplateMistake(f"{token.text!r} is no number", token.start, token.end) from None
    return number
