"""The cells of a matrix: every combination of its axes, less those excluded, and those included beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from math import prod

from gilder.template import weak
from gilder.template.go_values import Value, shown
from gilder.template.nodes import Array, Bool, Node, Null, Number, Table, Text, kind
from gilder.template.reading import Notes
from gilder.template.spelling import did_you_mean, glob_meant, listed

_MAX_CELLS = 10_000
_RESERVED = ("include", "exclude")


@dataclass(frozen=True)
class Cell:
    """One combination: what `{{ .Matrix.NAME }}` means in its build."""

    values: Mapping[str, Value]

    def labels(self) -> dict[str, str]:
        """The values as words."""
        return {key: label(value) for key, value in self.values.items()}

    def agrees(self, wanted: Mapping[str, Sequence[str]]) -> bool:
        """Whether each wanted key has a value whose label is like one of the patterns."""
        return all(
            key in self.values and any(fnmatchcase(label(self.values[key]), pattern) for pattern in patterns)
            for key, patterns in wanted.items()
        )


def label(value: Value) -> str:
    """The word for a value in names and comparisons: of an object its `name`."""
    if isinstance(value, Mapping):
        return shown(value.get("name", ""))
    return shown(value)


def plain(node: Node) -> Value:
    """The value of a node for the template language. A number that would not print as it is written stays a text."""
    match node:
        case Text(value=value) | Bool(value=value):
            return value
        case Number(value=value, written=written):
            return value if not written or shown(value) == written else written
        case Null():
            return ""
        case Array(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key.value: plain(value) for key, value in entries}


def read_cells(node: Node | None, notes: Notes) -> tuple[list[Cell], list[str]]:
    """The cells in the order of the text, and the names of the axes; without a matrix, one cell. Mistakes are noted."""
    if node is None:
        return [Cell({})], []
    if not isinstance(node, Table):
        notes.error(
            f"matrix: expected an object of lists, found {kind(node)}", node.region.span, "axis: [value, value]"
        )
        return [], []
    return _Matrix(node, notes).cells()


class _Matrix:
    def __init__(self, table: Table, notes: Notes) -> None:
        self.table = table
        self.notes = notes
        self.axes: dict[str, list[Value]] = {}
        for key, node in table.entries:
            if key.value not in _RESERVED:
                self.axes[key.value] = list(self.axis(key.value, node))

    def axis(self, name: str, node: Node) -> Iterator[Value]:
        items = weak.elements(node)
        if not items:
            self.notes.error(f"matrix: the axis {name} has no values", node.region.span, "give it a list")
        labels: set[str] = set()
        for item in items:
            value = plain(item)
            if isinstance(item, Array | Null) or not label(value):
                hint = "a value is a text, a number, true or false, or an object with a name"
                self.notes.error(f"matrix: {kind(item)} cannot be a value of {name}", item.region.span, hint)
            elif label(value) in labels:
                self.notes.error(f'matrix: "{label(value)}" stands twice in {name}', item.region.span)
            else:
                labels.add(label(value))
                yield value

    def cells(self) -> tuple[list[Cell], list[str]]:
        names = list(self.axes)
        amount = prod(len(values) for values in self.axes.values())
        if amount > _MAX_CELLS:
            self.notes.error(f"matrix: {amount} cells are more than {_MAX_CELLS}", self.table.region.span)
            return [], names
        cells = [Cell(dict(zip(names, combination, strict=True))) for combination in product(*self.axes.values())]
        if not self.axes:
            cells = []
        kept = self.without_excluded(cells)
        return self.with_included(kept), names

    def entries(self, key: str) -> Iterator[Table]:
        node = self.table.get(key)
        if node is not None and not isinstance(node, Array):
            self.notes.error(f"matrix: {key} is a list of objects, found {kind(node)}", node.region.span)
            return
        for item in node.items if node else ():
            if isinstance(item, Table) and item.entries:
                yield item
            else:
                self.notes.error(f"matrix: {key} has {kind(item)} where an object is expected", item.region.span)

    def without_excluded(self, cells: list[Cell]) -> list[Cell]:
        for entry in self.entries("exclude"):
            wanted = read_match(entry, self.axes, "exclude", self.notes)
            if wanted is None:
                continue
            if not any(cell.agrees(wanted) for cell in cells):
                self.notes.warning("matrix: this excludes nothing", entry.region.span)
            cells = [cell for cell in cells if not cell.agrees(wanted)]
        return cells

    def with_included(self, cells: list[Cell]) -> list[Cell]:
        """An entry extends the cells that agree with it on the axes; if there are none, it is a cell of its own."""
        found = list(cells)
        original = len(cells)
        for entry in self.entries("include"):
            given = {key.value: plain(value) for key, value in entry.entries}
            on_axes = {key: self.known(key, value) for key, value in given.items() if key in self.axes}
            more = {key: value for key, value in given.items() if key not in self.axes}
            alike = [i for i in range(original) if _same(found[i], on_axes)]
            if alike and not more:
                self.notes.warning("matrix: this includes a cell that is there already", entry.region.span)
            for i in alike:
                found[i] = Cell({**found[i].values, **more})
            if not alike:
                found.append(Cell({**on_axes, **more}))
        return found

    def known(self, axis: str, value: Value) -> Value:
        """The value of an axis that an included cell means by its label, or a new one."""
        return next((v for v in self.axes[axis] if label(v) == label(value)), value)


def _same(cell: Cell, on_axes: Mapping[str, Value]) -> bool:
    return all(label(cell.values[key]) == label(value) for key, value in on_axes.items())


def read_match(
    entry: Table, known: Mapping[str, Sequence[Value]], noun: str, notes: Notes
) -> dict[str, list[str]] | None:
    """What cells an entry means: name → patterns (`*`, `?`). None when it is wrong, which is then noted."""
    wanted: dict[str, list[str]] = {}
    for key, node in entry.entries:
        patterns = [label(plain(item)) for item in weak.elements(node)]
        if key.value not in known:
            hint = did_you_mean(key.value, known, otherwise=f"there is {listed(known)}")
            notes.error(f'{noun}: there is nothing called "{key.value}" in the matrix', key.region.span, hint)
            return None
        labels = [label(value) for value in known[key.value]]
        for pattern in patterns:
            if not any(fnmatchcase(one, pattern) for one in labels):
                hint = glob_meant(pattern, labels, otherwise=f"there is {listed(labels)}")
                notes.error(f'{noun}: no {key.value} is "{pattern}"', node.region.span, hint)
                return None
        wanted[key.value] = patterns
    return wanted


def known_values(cells: Sequence[Cell]) -> dict[str, list[Value]]:
    """All values that cells have, by name."""
    found: dict[str, list[Value]] = {}
    for cell in cells:
        for key, value in cell.values.items():
            found.setdefault(key, []).append(value)
    return found
