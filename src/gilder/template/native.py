"""gilder's own format: a matrix of builds in YAML.

name: "{{ .Matrix.distro }}"     the name of each build; without it, its values joined by -
description, variables           as in a Packer template; a variable may be {default, sensitive}
matrix                           axes, include, exclude
defaults                         options of every build
overrides                        options of some: a list of {match: {axis: pattern}, option: value …}; later ones win
provisioners                     lists by name, which builds use by name
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from gilder.model.diagnostics import Span
from gilder.model.spec import BuildSpec
from gilder.template.azure_chroot import SHAPE
from gilder.template.blocks import Block, read_block
from gilder.template.builds import Around, check_unused, whole_build
from gilder.template.functions import Scope, template_dir
from gilder.template.inputs import Inputs
from gilder.template.loaded import Loaded
from gilder.template.matrix import Cell, known_values, label, read_cells, read_match
from gilder.template.nodes import Array, Node, Null, Number, Table, Text, kind
from gilder.template.post_processors import Chain, read_chains
from gilder.template.provisioners import KINDS
from gilder.template.reading import Notes, Reading
from gilder.template.source import Source
from gilder.template.spelling import did_you_mean, listed
from gilder.template.variables import Variables
from gilder.template.yaml_reader import read_yaml

ROOT = ("name", "description", "variables", "matrix", "defaults", "overrides", "provisioners")
PARTS = ("provisioners", "error_cleanup_provisioner", "post_processors")
"""Options of a build that are not the builder's."""
VARIABLE = ("default", "sensitive", "description")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def load_native(text: str, *, file: str, inputs: Inputs) -> Loaded:
    """Read a matrix file; see `load`."""
    root, mistakes = read_yaml(Source(file, text))
    notes = Notes()
    for mistake in mistakes:
        notes.add(mistake)
    if root is None and not mistakes:
        notes.error("the file is empty", None, f"its keys are {listed(ROOT)}")
    elif root is not None and not isinstance(root, Table):
        notes.error(f"a matrix file is an object, found {kind(root)}", root.region.span, f"its keys are {listed(ROOT)}")
    if not isinstance(root, Table):
        return Loaded(diagnostics=notes.in_order())
    return _MatrixFile(root, file, inputs, notes).loaded()


class _MatrixFile:
    def __init__(self, root: Table, file: str, inputs: Inputs, notes: Notes) -> None:
        self.root = root
        self.file = file
        self.notes = notes
        directory = template_dir(file, inputs.cwd)
        self.variables = Variables(inputs, notes, directory)
        self.scope = Scope(
            inputs=inputs, template_dir=directory, user=self.variables.user, asked_vm=self.variables.ask_vm
        )
        self.used: set[str] = set()
        """The named lists of provisioners that some build uses."""

    def loaded(self) -> Loaded:
        self.root_keys()
        self.read_variables()
        cells, axes = read_cells(self.root.get("matrix"), self.notes)
        if not cells and not self.notes.errors:
            key = self.root.key("matrix")
            self.notes.error("the matrix has no cells", key.region.span if key else None, "nothing would be built")
        options = self.options(cells)
        if self.scope.inputs.syntax_only:
            return Loaded(diagnostics=self.notes.in_order())
        named = self.names(cells, axes)
        names = frozenset(name for name, _ in named.values())
        specs: list[BuildSpec] = []
        origins: dict[str, dict[str, Span]] = {}
        for i, (name, at) in named.items():
            with self.notes.aside(unless=self.scope.inputs.chosen(name)):
                spec, origins[name] = self.build(cells[i], name, options[i], names, at)
            if spec is not None:
                specs.append(spec)
        self.unused_lists(names)
        description = self.root.get("description")
        return Loaded(
            names=tuple(name for name, _ in named.values()),
            builds=tuple(specs),
            diagnostics=self.notes.in_order(),
            needs_vm=self.notes.asked_vm,
            variables=self.variables.list(),
            sensitive=self.variables.secrets(),
            description=description.value if isinstance(description, Text) else "",
            origins=origins,
            cells={name: cells[i].labels() for i, (name, _) in named.items()},
        )

    # --- the root

    def root_keys(self) -> None:
        for key, node in self.root.entries:
            if key.value in ROOT or key.value.startswith("_"):
                if key.value in ("name", "description") and not isinstance(node, Text):
                    self.notes.error(f"{key.value}: expected a text, found {kind(node)}", node.region.span)
                continue
            hint = did_you_mean(key.value, ROOT, otherwise=f"what is known: {listed(ROOT)}")
            if key.value in SHAPE.options or key.value in PARTS:
                hint = "options of builds stand under defaults or overrides"
            self.notes.error(f"there is no key {key.value!r} at the top of a matrix file", key.region.span, hint)

    def table_of(self, key: str) -> Table | None:
        node = self.root.get(key)
        if node is None or isinstance(node, Table):
            return node
        if not isinstance(node, Null):
            self.notes.error(f"{key}: expected an object, found {kind(node)}", node.region.span)
        return None

    def read_variables(self) -> None:
        for name, node in (self.table_of("variables") or Table((), self.root.region)).entries:
            if isinstance(node, Table):
                self.read_variable(name, node)
            elif isinstance(node, Number):
                self.variables.declare_one(name, Text(node.written, node.region))
            else:
                self.variables.declare(Table(((name, node),), node.region))
        self.variables.take_given()
        if not self.scope.inputs.syntax_only:
            self.variables.check()

    def read_variable(self, name: Text, table: Table) -> None:
        for key, _ in table.entries:
            if key.value not in VARIABLE:
                hint = did_you_mean(key.value, VARIABLE, otherwise=f"what is known: {listed(VARIABLE)}")
                self.notes.error(f"variable {name.value}: there is no option {key.value!r}", key.region.span, hint)
        default = table.get("default") or Null(name.region)
        if isinstance(default, Number):
            default = Text(default.written, default.region)
        self.variables.declare(Table(((name, default),), table.region))
        sensitive = table.get("sensitive")
        if getattr(sensitive, "value", False) is True:
            self.variables.mark_sensitive(name.value, name.region.span)

    # --- cells

    def scope_of(self, cell: Cell) -> Scope:
        return replace(self.scope, data={"Matrix": cell.values}) if cell.values else self.scope

    def names(self, cells: list[Cell], axes: list[str]) -> dict[int, tuple[str, Span]]:
        """The name of each cell, by its number; a cell whose name is wrong is left out."""
        node, matrix = self.root.get("name"), self.root.key("matrix")
        at = node.region.span if node else matrix.region.span if matrix else self.root.region.source.span(0, 1)
        found: dict[int, tuple[str, Span]] = {}
        taken: dict[str, Cell] = {}
        for i, cell in enumerate(cells):
            reading = Reading(self.notes, self.scope_of(cell))
            before = self.notes.unknowns
            name = reading.text(node, "name") if isinstance(node, Text) else self.default_name(cell, axes)
            if name is None:
                continue
            if self.notes.unknowns > before:
                found[i] = (name, at)
            elif not _NAME.fullmatch(name):
                hint = "1 to 64 letters, digits, . _ and -, first a letter or digit; clean_resource_name may help"
                self.notes.error(f'"{name}" cannot be the name of a build', at, hint)
            elif name in taken:
                hint = f"{_described(taken[name])}\n{_described(cell)}"
                self.notes.error(f'two builds end up with the name "{name}"', at, hint)
            else:
                taken[name] = cell
                found[i] = (name, at)
        return found

    def default_name(self, cell: Cell, axes: list[str]) -> str:
        values = [label(cell.values[axis]) for axis in axes if axis in cell.values]
        if not values:  # an included cell beside the axes
            values = [label(value) for value in cell.values.values()]
        return "-".join(values) or PurePath(self.file).name.split(".")[0] or "build"

    def options(self, cells: list[Cell]) -> list[Table]:
        """The options of each cell: the defaults, with the overrides that match it laid over."""
        defaults = self.table_of("defaults") or Table((), self.root.region)
        found = [defaults for _ in cells]
        values = known_values(cells)
        for override in self.overrides():
            match = override.get("match")
            if not isinstance(match, Table):
                where = match.region.span if match else override.region.span
                self.notes.error("an override needs match: which cells it is for", where, "match: {axis: value}")
                continue
            wanted = read_match(match, values, "match", self.notes)
            if wanted is None:
                continue
            chosen = [i for i, cell in enumerate(cells) if cell.agrees(wanted)]
            if not chosen:
                self.notes.warning("this override matches no cell", match.region.span)
            for i in chosen:
                found[i] = laid_over(found[i], override.without("match"))
        return found

    def overrides(self) -> Iterator[Table]:
        node = self.root.get("overrides")
        if node is not None and not isinstance(node, Array | Null):
            self.notes.error(f"overrides: expected a list, found {kind(node)}", node.region.span)
        for item in node.items if isinstance(node, Array) else ():
            if isinstance(item, Table):
                yield item
            else:
                self.notes.error(f"an override is an object, found {kind(item)}", item.region.span)

    # --- builds

    def build(
        self, cell: Cell, name: str, options: Table, names: frozenset[str], at: Span
    ) -> tuple[BuildSpec | None, dict[str, Span]]:
        reading = Reading(self.notes, self.scope_of(cell))
        before = self.notes.errors
        rescue = options.given("error_cleanup_provisioner")
        around = Around(
            provisioners=list(self.blocks(options.get("provisioners"), names, reading)),
            rescue=read_block(rescue, names, reading, KINDS, "provisioner") if rescue else None,
            chains=self.chains(options.get("post_processors"), names, reading),
            secrets=self.variables.secrets(),
        )
        broken = self.notes.errors > before
        spec, places = whole_build(name, name, options.without(*PARTS), around, reading, at)
        check_unused(around, [name], reading)
        return None if broken else spec, places

    def lists(self) -> Table:
        return self.table_of("provisioners") or Table((), self.root.region)

    def blocks(self, node: Node | None, names: frozenset[str], reading: Reading) -> Iterator[Block]:
        """Provisioners as written: objects, and the names of lists."""
        for item in _items(node):
            if isinstance(item, Text):
                yield from self.named_list(item, names, reading)
            elif block := read_block(item, names, reading, KINDS, "provisioner"):
                yield block

    def named_list(self, name: Text, names: frozenset[str], reading: Reading) -> Iterator[Block]:
        wanted = reading.text(name, "provisioners")
        if wanted is None:
            return
        self.used.add(wanted)
        node = self.lists().get(wanted)
        if node is None:
            known = [key.value for key, _ in self.lists().entries]
            hint = did_you_mean(wanted, known, otherwise=f"there is {listed(known)}")
            self.notes.error(f'there is no list of provisioners "{wanted}"', name.region.span, hint)
        for item in _items(node):
            if block := read_block(item, names, reading, KINDS, "provisioner"):
                yield block

    def chains(self, node: Node | None, names: frozenset[str], reading: Reading) -> list[Chain]:
        return read_chains(tuple(_items(node)), names, reading)

    def unused_lists(self, names: frozenset[str]) -> None:
        for key, node in self.lists().entries:
            if key.value not in self.used and not key.value.startswith("_"):
                self.notes.warning(f"no build uses the provisioners {key.value}", key.region.span)
                reading = Reading(self.notes, self.scope)
                for item in _items(node):
                    block = read_block(item, names, reading, KINDS, "provisioner")
                    if block and block.refusal:
                        self.notes.add(block.refusal)


def laid_over(lower: Table, upper: Table) -> Table:
    """The upper table's entries over the lower's; objects are merged key by key, everything else is replaced."""
    merged = []
    for key, value in upper.entries:
        below = lower.get(key.value)
        both = isinstance(value, Table) and isinstance(below, Table)
        merged.append((key, laid_over(below, value) if both else value))  # type: ignore[arg-type]  # both are tables
    return lower.updated(Table(tuple(merged), upper.region))


def _items(node: Node | None) -> tuple[Node, ...]:
    if isinstance(node, Array):
        return node.items
    return () if node is None or isinstance(node, Null) else (node,)


def _described(cell: Cell) -> str:
    return "the cell " + ", ".join(f"{key}: {value}" for key, value in cell.labels().items())
