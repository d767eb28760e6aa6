"""One `azure-chroot` builder block into a build spec."""

from __future__ import annotations

import os
from typing import Any

from gilder.model.deadlines import LIMITED
from gilder.model.diagnostics import Span
from gilder.model.spec import Auth, BuildSpec, PlatformImage
from gilder.template.checks import check_build
from gilder.template.decode import Decoded, Shape, built, decode, options_of
from gilder.template.go_lexer import LEFT
from gilder.template.nodes import Table
from gilder.template.reading import Reading
from gilder.template.sources import parse_source
from gilder.template.spelling import did_you_mean
from gilder.template.texts import Promise, RunTimeText
from gilder.template.weak import Unfit

TYPE = "azure-chroot"
_DEVICE = Promise(frozenset({"Device"}))
_MOUNTED = Promise(frozenset({"Device", "MountPath"}))
AUTH_OPTIONS = options_of(Auth)
BUILD_OPTIONS = options_of(
    BuildSpec, "name", "auth", "provisioners", "error_cleanup_provisioner", "post_processors", "sensitive"
)

_SOME_SOURCE = PlatformImage("unknown", "unknown", "unknown", "latest")
"""Stands for a source that is not known here, or wrong."""

SHAPE = Shape(
    noun=TYPE,
    page="docs/options.md",
    options=AUTH_OPTIONS | BUILD_OPTIONS | {"source": str},
    promises={
        "command_wrapper": Promise(frozenset({"Command"})),
        "pre_mount_commands": _DEVICE,
        "mount_path": _DEVICE,
        "manual_mount_command": _MOUNTED,
        "post_mount_commands": _MOUNTED,
        "pre_unmount_commands": _MOUNTED,
    },
    verbatim=frozenset({"pre_mount_commands", "post_mount_commands", "pre_unmount_commands"}),
    durations=frozenset({"deadline", *(f"stage_deadlines.{stage}" for stage in LIMITED)}),
    ignored={"client_cert_token_timeout": "the SDK chooses how long its assertions live"},
)


def read_build(name: str, table: Table, reading: Reading, at: Span, **more: Any) -> tuple[BuildSpec | None, Decoded]:
    """The build that a table of builder options means, with what `more` says of it (provisioners …).

    None when anything in it is wrong, which is then noted; also the options with their places.
    """
    before = reading.notes.errors
    decoded = decode(table, SHAPE, reading)
    values = dict(decoded.values)
    _replace_source(values, decoded, reading)
    _drop_trivial_wrapper(values)
    _check_stages(decoded, reading)
    _check_certificate(values, decoded, reading)
    if not values.get("from_scratch") and "copy_files" not in values:
        values["copy_files"] = ("/etc/resolv.conf",)
    check_build(values, decoded, reading.notes, at, reading.scope.inputs.env)
    if reading.notes.errors > before:
        return None, decoded
    auth = {key: values.pop(key) for key in AUTH_OPTIONS if key in values}
    more["sensitive"] = (*more.get("sensitive", ()), *Auth.model_validate(auth).secrets.values())
    return built(BuildSpec, {"name": name, "auth": auth, **values, **more}, decoded, reading, at), decoded


def _replace_source(values: dict[str, Any], decoded: Decoded, reading: Reading) -> None:
    if "source" not in values and not decoded.doubts("source"):
        return
    try:
        values["source"] = parse_source(values.get("source", ""))
    except Unfit as unfit:
        values["source"] = _SOME_SOURCE
        if not decoded.doubts("source"):
            decoded.doubtful.add("source")
            reading.notes.error(f"source: {unfit}", decoded.place("source"), unfit.hint)


def _check_stages(decoded: Decoded, reading: Reading) -> None:
    for stage in decoded.tables.get("stage_deadlines", {}):
        if stage not in LIMITED and LEFT not in stage:
            hint = did_you_mean(stage, LIMITED, otherwise=f"it is one of {', '.join(LIMITED)}")
            where = decoded.place("stage_deadlines", stage)
            reading.notes.error(f'stage_deadlines: there is no stage "{stage}"', where, hint)


def _check_certificate(values: dict[str, Any], decoded: Decoded, reading: Reading) -> None:
    path = values.get("client_cert_path")
    if path is None or values.get("use_azure_cli_auth") or decoded.doubts("client_cert_path"):
        return
    absolute = os.path.join(reading.scope.inputs.cwd, path)  # noqa: PTH118 — text, no access
    if not os.access(absolute, os.R_OK) or not os.path.isfile(absolute):  # noqa: PTH113 — as for scripts
        reading.notes.error(f"client_cert_path: there is no readable file {path}", decoded.place("client_cert_path"))


def _drop_trivial_wrapper(values: dict[str, Any]) -> None:
    """A wrapper that wraps nothing is none: then commands run as argument vectors, without a shell on this machine."""
    wrapper = values.get("command_wrapper")
    if isinstance(wrapper, RunTimeText) and "".join(wrapper.text.split()) == "{{.Command}}":
        del values["command_wrapper"]
