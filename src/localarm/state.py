"""Where a world survives its process: one SQLite file, written before each answer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from localarm.operations import Operation, Step
from localarm.resources import Resource

SCHEMA = """
create table if not exists resources (key text primary key, kind text, body text, blob text, hidden text) without rowid;
create table if not exists operations (id text primary key, body text) without rowid;
create table if not exists facts (name text primary key, value text) without rowid;
create table if not exists violations (number integer primary key, body text);
"""


class State(Protocol):
    """What a world needs of its memory."""

    def load(self) -> tuple[list[Resource], list[Operation], list[dict[str, Any]]]:
        """All resources, operations and violations."""
        ...

    def save(
        self,
        resources: Iterable[tuple[str, Resource | None]],
        operations: Iterable[tuple[str, Operation | None]],
        violations: Iterable[dict[str, Any]],
    ) -> None:
        """Write changes in one transaction; None removes."""
        ...

    def fact(self, name: str, default: Any) -> Any:
        """A remembered setting; `default` is remembered when there was none."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class SqliteState:
    """The state in `file`.

    Write-ahead logging with `synchronous=normal`: a killed process loses nothing it answered for and never leaves half
    a change; only a power cut may lose the last answers, consistently.
    """

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        address = f"file:{file}?mode=ro" if read_only else f"file:{file}"
        self._db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        if not read_only:
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._db.executescript(SCHEMA)

    def load(self) -> tuple[list[Resource], list[Operation], list[dict[str, Any]]]:
        """All resources, operations and violations."""
        rows = self._db.execute("select kind, body, blob, hidden from resources").fetchall()
        resources = [Resource(kind, json.loads(body), blob, json.loads(hidden)) for kind, body, blob, hidden in rows]
        operations = [_operation(body) for (body,) in self._db.execute("select body from operations").fetchall()]
        violations = self._db.execute("select body from violations order by number").fetchall()
        return resources, operations, [json.loads(body) for (body,) in violations]

    def save(
        self,
        resources: Iterable[tuple[str, Resource | None]],
        operations: Iterable[tuple[str, Operation | None]],
        violations: Iterable[dict[str, Any]],
    ) -> None:
        """Write changes in one transaction; None removes."""
        db = self._db
        db.execute("begin immediate")
        for key, resource in resources:
            if resource is None:
                db.execute("delete from resources where key = ?", (key,))
            else:
                row = (key, resource.kind, _text(resource.body), resource.blob, _text(resource.hidden))
                db.execute("insert or replace into resources values (?, ?, ?, ?, ?)", row)
        for number, operation in operations:
            if operation is None:
                db.execute("delete from operations where id = ?", (number,))
            else:
                db.execute("insert or replace into operations values (?, ?)", (number, _operation_text(operation)))
        db.executemany("insert into violations (body) values (?)", [(_text(each),) for each in violations])
        db.execute("commit")

    def fact(self, name: str, default: Any) -> Any:
        """A remembered setting; `default` is remembered when there was none."""
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        if row is not None:
            return json.loads(row[0])
        self._db.execute("insert into facts values (?, ?)", (name, _text(default)))
        return default

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


class MemoryState:
    """A state that lives as long as its world."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}

    def load(self) -> tuple[list[Resource], list[Operation], list[dict[str, Any]]]:
        """Nothing: every world begins empty."""
        return [], [], []

    def save(
        self,
        resources: Iterable[tuple[str, Resource | None]],
        operations: Iterable[tuple[str, Operation | None]],
        violations: Iterable[dict[str, Any]],
    ) -> None:
        """The world itself remembers."""

    def fact(self, name: str, default: Any) -> Any:
        """A remembered setting."""
        return self._facts.setdefault(name, default)

    def close(self) -> None:
        """Nothing to let go of."""


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _operation_text(operation: Operation) -> str:
    members = {name: getattr(operation, name) for name in Operation.__slots__}
    members["steps"] = [{"at": step.at, "do": step.do, "args": step.args} for step in operation.steps]
    return _text(members)


def _operation(text: str) -> Operation:
    found = json.loads(text)
    found["steps"] = tuple(Step(**step) for step in found["steps"])
    found["fate"] = tuple(found["fate"]) if found["fate"] else None
    return Operation(**found)
