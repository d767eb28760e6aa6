"""The variables of a template: declared, given, filled in, and which of them are secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gilder.model.diagnostics import Span
from gilder.template.functions import Scope, functions
from gilder.template.go_evaluate import Evaluation, FunctionFailed
from gilder.template.go_lexer import LEFT, TemplateMistake
from gilder.template.go_parser import parse
from gilder.template.go_syntax import Action, Plain, Statement
from gilder.template.inputs import Inputs
from gilder.template.json_reader import read_json
from gilder.template.loaded import Variable
from gilder.template.nodes import Null, Table, Text, kind
from gilder.template.reading import Notes
from gilder.template.source import Source
from gilder.template.spelling import did_you_mean

_FOR_RUN_TIME = re.compile(r"\{\{\s?\..*?\s?\}\}")
"""`{{ .Vars }}` in a variable means what it means where the variable is used; it is left as it is."""
SHORTEST_SECRET = 4
"""Hiding a shorter value in a log would make the log unreadable, and hide little."""


@dataclass(frozen=True)
class _Given:
    text: str | None
    origin: str
    node: Text | None = None
    """Where it is written, if in a file."""
    where: Span | None = None


@dataclass
class Variables:
    """Variables by name. Values are worked out when asked for, so that one may use others in any order."""

    inputs: Inputs
    notes: Notes
    template_dir: str
    _declared: dict[str, _Given] = field(default_factory=dict)
    _given: dict[str, _Given] = field(default_factory=dict)
    _sensitive: dict[str, Span] = field(default_factory=dict)
    _values: dict[str, str | None] = field(default_factory=dict)
    _in_work: list[str] = field(default_factory=list)
    _fetched: set[str] = field(default_factory=set)
    """Values out of stores of secrets."""
    _unknown: set[str] = field(default_factory=set)
    """Those that have no value here: required and not given, with a mistake, or made of facts about the VM."""

    def declare(self, table: Table) -> None:
        """Take the declarations `{"name": "default" or null}`."""
        for key, node in table.entries:
            if isinstance(node, Text | Null):
                text = node if isinstance(node, Text) else None
                self._declared[key.value] = _Given(text.value if text else None, "default", text, key.region.span)
            else:
                self._declared[key.value] = _Given("", "default", None, key.region.span)
                hint = "write it between double quotes; null makes it required"
                self.notes.error(f"variable {key.value}: expected a text, found {kind(node)}", node.region.span, hint)

    def declare_one(self, name: Text, node: Text | Null) -> None:
        """Take one declaration."""
        self.declare(Table(((name, node),), name.region))

    def mark_sensitive(self, name: str, where: Span) -> None:
        """Say that the value of a variable must never be shown."""
        self._sensitive[name] = where

    def take_given(self) -> None:
        """Take the variable files and `-var`; `-var` wins, among files the later one."""
        for file, text in self.inputs.var_files:
            if file.lower().endswith(".hcl"):
                hint = 'write it as JSON: {"name": "value"}'
                self.notes.error(f"{file}: this is HCL2, which gilder does not read", None, hint)
                continue
            node, mistakes = read_json(Source(file, text))
            for mistake in mistakes:
                self.notes.add(mistake)
            if node is not None:
                self._take_file(file, node)
        for name, value in self.inputs.variables.items():
            self._given[name] = _Given(value, "-var")

    def _take_file(self, file: str, node: object) -> None:
        if not isinstance(node, Table):
            self.notes.error(f"{file}: a variable file is an object of texts", None, 'write {"name": "value"}')
            return
        for key, value in node.entries:
            if isinstance(value, Text):
                self._given[key.value] = _Given(value.value, file, value, key.region.span)
            else:
                hint = "write it between double quotes"
                self.notes.error(f"variable {key.value}: expected a text, found {kind(value)}", value.region.span, hint)

    # --- values

    def names(self) -> list[str]:
        """All names, declared or given."""
        return sorted({*self._declared, *self._given})

    def user(self, name: str) -> str:
        """The value for ``{{user `name`}}``; of an unknown one "" and a warning, as in Packer."""
        if name not in self._declared and name not in self._given:
            if self._in_work:  # inside another variable Packer refuses
                raise FunctionFailed(f"there is no variable {name}", hint=did_you_mean(name, self.names()))
            self.notes.warning(
                f"there is no variable {name!r}; its value is empty",
                self.notes.looking_at,
                did_you_mean(name, self.names(), otherwise='declare it under "variables"'),
            )
            return ""
        return self.value(name)

    def ask_vm(self) -> None:
        """Take note that a fact about the VM is asked for, which may not be known yet."""
        self.notes.asked_vm = True
        if self.inputs.vm is None:
            self.not_known()

    def not_known(self) -> None:
        """Take note that something was asked for that nobody knows here."""
        self.notes.unknowns += 1

    def value(self, name: str) -> str:
        """The value of a variable, filled in; the variable itself where it has none. What is wrong with it is noted."""
        if name in self._in_work:
            circle = " → ".join([*self._in_work[self._in_work.index(name) :], name])
            raise FunctionFailed(f"variables need each other in a circle: {circle}")
        if name not in self._values:
            self._in_work.append(name)
            self._values[name] = self._worked_out(name)
            self._in_work.pop()
        if name in self._unknown:
            self.not_known()
        value = self._values[name]
        return f"{{{{user `{name}`}}}}" if value is None else value

    def _worked_out(self, name: str) -> str | None:
        given = self._given.get(name) or self._declared[name]
        before = self.notes.unknowns
        if given.text is None:
            if self.inputs.values_required:
                self.notes.error(f"required variable not set: {name}", given.where, f"give it with -var {name}=…")
            self._unknown.add(name)
            return None
        try:
            value = self._filled_in(given.text)
        except TemplateMistake as mistake:
            where = given.node.part(mistake.start, mistake.end) if given.node else given.where
            if self.notes.unknowns == before:
                self.notes.error(f"variable {name}: {mistake.message}", where, mistake.hint)
            self._unknown.add(name)
            return None
        if self.notes.unknowns > before:
            self._unknown.add(name)
        return value

    def _filled_in(self, text: str) -> str:
        if LEFT not in text:
            return text
        scope = Scope(
            inputs=self.inputs,
            template_dir=self.template_dir,
            user=self.user,
            asked_vm=self.ask_vm,
            not_known=self.not_known,
            is_secret=self._fetched.add,
            in_variables=True,
        )
        callables = functions(scope)
        statements = [_kept(s, text) for s in parse(text, callables)]
        return Evaluation(callables, {}, strict=False).text(statements)

    def check(self) -> None:
        """Work out every value, and note what is wrong with any."""
        for name in self.names():
            self.value(name)
        for name, where in self._sensitive.items():
            if name not in self._declared and name not in self._given:
                self.notes.error(f"there is no variable {name!r}", where, did_you_mean(name, self.names()))
            elif 0 < len(self._values[name] or "") < SHORTEST_SECRET:
                self.notes.warning(f"the value of {name} is too short to be hidden in logs", where)

    def list(self) -> tuple[Variable, ...]:
        """All variables with where their values came from."""
        found: list[Variable] = []
        for name in self.names():
            declared = self._declared.get(name)
            given = self._given.get(name)
            chosen = given or declared
            assert chosen is not None
            default = declared.text if declared else None
            where = declared.where if declared else chosen.where
            secret, value = name in self._sensitive, self._values.get(name)
            found.append(Variable(name, value, default, chosen.origin, secret, declared is not None, where))
        return tuple(found)

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be shown."""
        values = [*(self._values.get(name) for name in self._sensitive), *sorted(self._fetched)]
        return tuple(v for v in values if v is not None and len(v) >= SHORTEST_SECRET)


def _kept(statement: Statement, text: str) -> Statement:
    written = text[statement.start : statement.end]
    if isinstance(statement, Action) and _FOR_RUN_TIME.fullmatch(written):
        return Plain(statement.start, statement.end, written)
    return statement
