"""The legacy JSON template of Packer: its root keys, its builders, and what each build gets."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gilder.model.diagnostics import Span
from gilder.model.spec import BuildSpec
from gilder.template.azure_chroot import TYPE
from gilder.template.blocks import read_block
from gilder.template.builds import Around, check_unused, one_name_each, whole_build
from gilder.template.functions import PACKER_VERSION, Scope, template_dir
from gilder.template.inputs import Inputs
from gilder.template.json_reader import read_json
from gilder.template.loaded import Loaded
from gilder.template.nodes import Array, Node, Null, Table, Text, kind
from gilder.template.post_processors import read_chains
from gilder.template.provisioners import KINDS
from gilder.template.reading import Notes, Reading
from gilder.template.source import Source
from gilder.template.spelling import did_you_mean, listed
from gilder.template.variables import Variables

_ROOT = (
    *("min_packer_version", "description", "builders", "provisioners", "post-processors", "variables"),
    *("sensitive-variables", "error-cleanup-provisioner", "comments", "push"),
)


@dataclass(frozen=True)
class _Builder:
    name: str
    """As written: the name that only, except and override mean."""
    table: Table
    at: Span
    named: Text | None
    type: Text

    @property
    def is_ours(self) -> bool:
        """Whether gilder has this builder."""
        return self.type.value == TYPE


def load_legacy(text: str, *, file: str, inputs: Inputs) -> Loaded:
    """Read a legacy JSON template; see `load`."""
    root, mistakes = read_json(Source(file, text))
    notes = Notes()
    for mistake in mistakes:
        notes.add(mistake)
    if root is not None and not isinstance(root, Table):
        notes.error(f"a template is an object, found {kind(root)}", root.region.span)
    if not isinstance(root, Table):
        return Loaded(diagnostics=notes.in_order())
    return _Template(root, file, inputs, notes).loaded()


class _Template:
    def __init__(self, root: Table, file: str, inputs: Inputs, notes: Notes) -> None:
        self.root = root
        self.notes = notes
        directory = template_dir(file, inputs.cwd)
        self.variables = Variables(inputs, notes, directory)
        self.scope = Scope(
            inputs=inputs, template_dir=directory, user=self.variables.user, asked_vm=self.variables.ask_vm
        )

    def loaded(self) -> Loaded:
        self.root_keys()
        self.read_variables()
        builders = self.builders()
        reading = Reading(self.notes, self.scope)
        around = self.around(frozenset(b.name for b in builders), reading)
        if self.scope.inputs.syntax_only:
            return Loaded(diagnostics=self.notes.in_order())
        specs: list[BuildSpec] = []
        names: list[str] = []
        origins: dict[str, dict[str, Span]] = {}
        for builder in builders:
            name = reading.text(builder.named, "name") if builder.named else builder.name
            if name is None:
                continue
            names.append(name)
            with self.notes.aside(unless=self.scope.inputs.chosen(name)):
                if builder.is_ours:
                    spec, origins[name] = whole_build(name, builder.name, builder.table, around, reading, builder.at)
                    specs += [spec] if spec else []
                elif self.scope.inputs.chosen(name):
                    self.refuse(builder)
        check_unused(around, [b.name for b in builders], reading)
        one_name_each(specs, reading, builders[-1].at if builders else None)
        return Loaded(
            names=tuple(names),
            builds=tuple(specs),
            diagnostics=self.notes.in_order(),
            needs_vm=self.notes.asked_vm,
            variables=self.variables.list(),
            sensitive=self.variables.secrets(),
            description=self.text_of("description"),
            origins=origins,
        )

    def around(self, names: frozenset[str], reading: Reading) -> Around:
        blocks = [read_block(n, names, reading, KINDS, "provisioner") for n in self.list_of("provisioners")]
        rescue = self.root.given("error-cleanup-provisioner")
        return Around(
            provisioners=[block for block in blocks if block],
            rescue=read_block(rescue, names, reading, KINDS, "provisioner") if rescue else None,
            chains=read_chains(self.list_of("post-processors"), names, reading),
            secrets=self.variables.secrets(),
        )

    # --- the root

    def root_keys(self) -> None:
        for key, node in self.root.entries:
            if key.value.startswith("_"):
                continue
            if key.value not in _ROOT:
                hint = did_you_mean(key.value, _ROOT, otherwise=f"what is known: {listed(_ROOT)}")
                self.notes.error(f"Unknown root level key in template: '{key.value}'", key.region.span, hint)
            elif key.value == "push":
                self.notes.warning("push is ignored", key.region.span, "Packer has no push any more")
            elif key.value in ("description", "min_packer_version") and not isinstance(node, Text | Null):
                self.notes.error(f"{key.value}: expected a text, found {kind(node)}", node.region.span)
        self.version()

    def text_of(self, key: str) -> str:
        node = self.root.get(key)
        return node.value if isinstance(node, Text) else ""

    def version(self) -> None:
        node = self.root.get("min_packer_version")
        if not isinstance(node, Text) or not node.value:
            return
        if not re.fullmatch(r"v?\d+(\.\d+){0,2}", node.value):
            self.notes.error(f'min_packer_version: "{node.value}" is no version', node.region.span)
        elif _version(node.value) > _version(PACKER_VERSION):
            hint = f"gilder reads the template language of Packer {PACKER_VERSION}"
            self.notes.error(f"this template wants Packer {node.value} or later", node.region.span, hint)

    def list_of(self, key: str) -> tuple[Node, ...]:
        node = self.root.given(key)
        if node is None:
            return ()
        if not isinstance(node, Array):
            self.notes.error(f"{key}: expected a list, found {kind(node)}", node.region.span)
            return ()
        return node.items

    def read_variables(self) -> None:
        table = self.root.given("variables")
        if isinstance(table, Table):
            self.variables.declare(table)
        elif table is not None:
            self.notes.error(f"variables: expected an object, found {kind(table)}", table.region.span)
        for node in self.list_of("sensitive-variables"):
            if isinstance(node, Text):
                self.variables.mark_sensitive(node.value, node.region.span)
            else:
                self.notes.error(f"sensitive-variables: expected names, found {kind(node)}", node.region.span)
        self.variables.take_given()
        if not self.scope.inputs.syntax_only:
            self.variables.check()

    # --- builds

    def builders(self) -> list[_Builder]:
        nodes = self.list_of("builders")
        if not nodes:
            key = self.root.key("builders")
            hint = 'add "builders": [{"type": "azure-chroot", …}]'
            self.notes.error("at least one builder must be defined", key.region.span if key else None, hint)
        found: dict[str, _Builder] = {}
        for node in nodes:
            builder = self.builder(node)
            if builder is None:
                continue
            if builder.name in found:
                first = found[builder.name].at.line
                hint = f'the first is on line {first}; give each its own "name"'
                self.notes.error(f'a second builder with the name "{builder.name}"', builder.at, hint)
            else:
                found[builder.name] = builder
        return list(found.values())

    def builder(self, node: Node) -> _Builder | None:
        if not isinstance(node, Table):
            self.notes.error(f"a builder is an object, found {kind(node)}", node.region.span)
            return None
        opening = replace(node.region, end=node.region.start + 1).span
        type_, name = node.given("type"), node.given("name")
        if type_ is None:
            self.notes.error("a builder without a type", opening, f'give it "type": "{TYPE}"')
            return None
        if not isinstance(type_, Text):
            self.notes.error(f"type: expected a text, found {kind(type_)}", type_.region.span, f'"{TYPE}"')
            return None
        if name is not None and not isinstance(name, Text):
            self.notes.error(f"name: expected a text, found {kind(name)}", name.region.span)
            return None
        named = name if name and name.value else None
        at = named.region.span if named else type_.region.span
        return _Builder(named.value if named else type_.value, node.without("type", "name"), at, named, type_)

    def refuse(self, builder: _Builder) -> None:
        """A builder of another program, in a template for several: no mistake unless it is asked for."""
        summary = f'a builder of type "{builder.type.value}": gilder builds {TYPE} only'
        hint = f"leave it out with -except={builder.name}, or choose others with -only"
        self.notes.error(summary, builder.type.region.span, hint)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.removeprefix("v").split("."))
