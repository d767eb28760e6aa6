"""Provisioner blocks into their specs, for one build."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gilder.model.diagnostics import Span
from gilder.model.spec import Provisioner, ShellProvisioner, Wrap
from gilder.template import weak
from gilder.template.decode import Decoded, Shape, built, decode, options_of
from gilder.template.nodes import Node, Table, Text, kind
from gilder.template.reading import Reading
from gilder.template.spelling import did_you_mean, listed
from gilder.template.texts import Promise

BUILD_VALUES = frozenset(("SourceImageName", "Device", "MountPath", "PackerRunUUID", "BuildName", "BuilderType"))
"""What a running build tells (``{{build `Device`}}``): the data that inline lines and the like are rendered with."""
LINE = Promise(build=BUILD_VALUES, fields=BUILD_VALUES)

WRAP_OPTIONS = options_of(Wrap)
WRAP_DURATIONS = frozenset(("pause_before", "timeout"))
SELECTORS = ("type", "only", "except", "override")

_NO_NETWORK = "a chroot needs no connection, so there is nothing to retry"
_SHELL = Shape(
    noun="shell",
    options=options_of(ShellProvisioner, "type", "wrap") | WRAP_OPTIONS | {"script": str},
    promises={
        "inline": LINE,
        "execute_command": Promise(frozenset({"Vars", "Path", "EnvVarFile"}) | BUILD_VALUES, BUILD_VALUES),
    },
    durations=WRAP_DURATIONS | {"pause_after"},
    ignored={"start_retry_timeout": _NO_NETWORK, "expect_disconnect": _NO_NETWORK},
)


@dataclass(frozen=True)
class Block:
    """One provisioner as written: its table, type, and the builds it is for."""

    table: Table
    type: str
    at: Span
    only: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    override: Mapping[str, Table] | None = None

    def is_for(self, build: str) -> bool:
        """Whether the build runs it."""
        return (not self.only or build in self.only) and build not in self.excluded

    def table_for(self, build: str) -> Table:
        """Its options in that build."""
        return self.table.updated((self.override or {}).get(build, Table((), self.table.region)))


def read_block(
    node: Node, builds: frozenset[str], reading: Reading, kinds: Mapping[str, object], noun: str
) -> Block | None:
    """One provisioner as written; None when it has no usable type. Names of builds that do not exist are noted."""
    notes = reading.notes
    if not isinstance(node, Table):
        notes.error(f"a {noun} is an object, found {kind(node)}", node.region.span)
        return None
    type_ = node.get("type")
    if not isinstance(type_, Text) or not type_.value:
        notes.error(f"a {noun} without a type", node.region.span, f'give it a "type": {listed(kinds)}')
        return None
    if type_.value not in kinds:
        notes.error(f'there is no {noun} "{type_.value}"', type_.region.span, _instead(type_.value, kinds))
        return None
    names = {key: _names(node.get(key), key, builds, reading) for key in ("only", "except")}
    if names["only"] and names["except"]:
        notes.error("only and except exclude each other", node.region.span, "give one of them")
    override = _override(node.get("override"), builds, reading)
    table = node.without(*SELECTORS)
    return Block(table, type_.value, node.region.span, names["only"], names["except"], override)


_REFUSED = {
    "powershell": "gilder builds Linux images",
    "windows-shell": "gilder builds Linux images",
    "windows-restart": "gilder builds Linux images",
    "hcp-sbom": "gilder does not talk to HCP",
}


def _instead(type_: str, kinds: Mapping[str, object]) -> str:
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


def read_provisioner(block: Block, build: str, reading: Reading) -> Provisioner | None:
    """The provisioner in one build (`build` is the name that only, except and override use); None when it is wrong."""
    return PROVISIONERS[block.type](block.table_for(build), reading, block.at)


# --- what provisioners have in common


def wrap_of(values: dict[str, Any], decoded: Decoded, reading: Reading) -> dict[str, Any]:
    """Take the wrapper's options out of the values."""
    wrap = {key: values.pop(key) for key in WRAP_OPTIONS if key in values}
    if wrap.get("max_retries", 0) < 0:
        reading.notes.error("max_retries cannot be negative", decoded.place("max_retries"))
        decoded.sound = False
    if wrap.get("timeout") == 0.0:
        del wrap["timeout"]
    return wrap


def existing(path: str, name: str, place: Span | None, reading: Reading) -> str:
    """The absolute path of a file of this machine; noted when it is not there."""
    absolute = os.path.normpath(os.path.join(reading.scope.inputs.cwd, path))  # noqa: PTH118 — text, not access
    if not os.path.isfile(absolute) or not os.access(absolute, os.R_OK):  # noqa: PTH113
        why = "it is no readable file" if os.path.exists(absolute) else f"there is no {absolute}"  # noqa: PTH110
        reading.notes.error(f"Bad {name} '{path}': {why}", place, f"relative paths start at {reading.scope.inputs.cwd}")
    return absolute


def check_assignments(values: Mapping[str, Any], decoded: Decoded, reading: Reading) -> None:
    """Environment variables are written key=value."""
    for i, text in enumerate(values.get("environment_vars", ())):
        if not re.match(r"[^=]+=", text):
            place = decoded.place("environment_vars", i)
            reading.notes.error(f"Environment variable not in format 'key=value': {text}", place)


def one_of_commands(values: dict[str, Any], decoded: Decoded, reading: Reading, at: Span) -> None:
    """`inline`, `script` or `scripts`: exactly one; scripts become absolute paths of files that exist."""
    notes = reading.notes
    written = [key for key in ("inline", "script", "scripts") if key in decoded.nodes and values.get(key) != ()]
    if not written:
        notes.error("Either a script file or inline script must be specified.", at, "give inline, script or scripts")
    elif "inline" in written and len(written) > 1:
        place = decoded.place("inline")
        notes.error("Only a script file or an inline script can be specified, not both.", place)
    elif len(written) > 1:
        notes.error("Only one of script or scripts can be specified.", decoded.place("scripts"))
    if values.get("inline") == ():
        del values["inline"]
    if "script" in values:
        values["scripts"] = (existing(values.pop("script"), "script", decoded.place("script"), reading),)
    elif "scripts" in values:
        paths = enumerate(values["scripts"])
        values["scripts"] = tuple(existing(p, "script", decoded.place("scripts", i), reading) for i, p in paths)


def _read_shell(table: Table, reading: Reading, at: Span) -> ShellProvisioner | None:
    before = reading.notes.errors
    decoded = decode(table, _SHELL, reading)
    values = dict(decoded.values)
    wrap = wrap_of(values, decoded, reading)
    one_of_commands(values, decoded, reading, at)
    check_assignments(values, decoded, reading)
    if reading.notes.errors > before or not decoded.sound:
        return None
    return built(ShellProvisioner, {"wrap": wrap, **values}, decoded, reading, at)


PROVISIONERS: Mapping[str, Callable[[Table, Reading, Span], Provisioner | None]] = {
    "shell": _read_shell,
}
