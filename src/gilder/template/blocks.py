"""Provisioners and post-processors as written: their type, and the builds they are for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from gilder.model.diagnostics import Diagnostic, Severity, Span
from gilder.template import weak
from gilder.template.nodes import Node, Table, Text, kind
from gilder.template.reading import Reading
from gilder.template.spelling import did_you_mean, listed

SELECTORS = ("type", "only", "except", "override")


@dataclass(frozen=True, eq=False)
class Block:
    """One of them: its table, type, and the builds it is for."""

    table: Table
    type: str
    at: Span
    only: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    override: Mapping[str, Table] = field(default_factory=dict)
    refusal: Diagnostic | None = None
    """Why no build can run it: a mistake only of those that would."""

    def is_for(self, build: str) -> bool:
        """Whether the build runs it."""
        return (not self.only or build in self.only) and build not in self.excluded

    def table_for(self, build: str) -> Table:
        """Its options in that build."""
        return self.table.updated(self.override.get(build, Table((), self.table.region)))


def read_block(node: Node, builds: frozenset[str], reading: Reading, kinds: Collection[str], noun: str) -> Block | None:
    """One block; None when it has no type. Names of builds that do not exist are noted."""
    notes = reading.notes
    if not isinstance(node, Table):
        notes.error(f"a {noun} is an object, found {kind(node)}", node.region.span)
        return None
    type_ = node.get("type")
    if not isinstance(type_, Text) or not type_.value:
        notes.error(f"a {noun} without a type", node.region.span, f'give it a "type": {listed(kinds)}')
        return None
    names = {key: _names(node.get(key), key, builds, reading) for key in ("only", "except")}
    if names["only"] and names["except"]:
        notes.error("only and except exclude each other", node.region.span, "give one of them")
    override = _override(node.given("override"), builds, reading)
    table = node.without(*SELECTORS)
    block = Block(table, type_.value, node.region.span, names["only"], names["except"], override)
    if type_.value in kinds:
        return block
    summary = f'there is no {noun} "{type_.value}"'
    refusal = Diagnostic(Severity.ERROR, summary, _instead(type_.value, kinds), type_.region.span)
    return replace(block, refusal=refusal)


_REFUSED = {
    "powershell": "gilder builds Linux images",
    "windows-shell": "gilder builds Linux images",
    "windows-restart": "gilder builds Linux images",
    "hcp-sbom": "gilder does not talk to HCP",
    "checksum": "an image in Azure is no file",
    "compress": "an image in Azure is no file",
    "artifice": "an image in Azure is no file",
}


def _instead(type_: str, kinds: Collection[str]) -> str:
    supported = f"supported: {listed(kinds)}"
    if type_ in _REFUSED:
        return f"{_REFUSED[type_]}\n{supported}"
    guess = did_you_mean(type_, kinds)
    return f"{guess}\n{supported}" if guess else supported


def _names(node: Node | None, key: str, builds: frozenset[str], reading: Reading) -> frozenset[str]:
    found: set[str] = set()
    for item in weak.elements(node) if node is not None else ():
        if not isinstance(item, Text):
            reading.notes.error(f"{key}: expected names of builds, found {kind(item)}", item.region.span)
            continue
        if item.value not in builds:
            _no_build(key, item, builds, reading)
        found.add(item.value)
    return frozenset(found)


def _no_build(key: str, name: Text, builds: frozenset[str], reading: Reading) -> None:
    hint = did_you_mean(name.value, builds, otherwise=f"there is {listed(builds)}")
    reading.notes.error(f'{key}: there is no build "{name.value}"', name.region.span, hint)


def _override(node: Node | None, builds: frozenset[str], reading: Reading) -> dict[str, Table]:
    if node is None:
        return {}
    if not isinstance(node, Table):
        reading.notes.error(f"override: expected an object, found {kind(node)}", node.region.span)
        return {}
    found: dict[str, Table] = {}
    for name, options in node.entries:
        if name.value not in builds:
            _no_build("override", name, builds, reading)
        elif not isinstance(options, Table):
            reading.notes.error(f"override: expected an object, found {kind(options)}", options.region.span)
        else:
            found[name.value] = options
    return found
