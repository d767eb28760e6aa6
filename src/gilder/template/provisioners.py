"""Provisioner blocks into their specs, for one build."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gilder.model.diagnostics import Span
from gilder.model.errors import UserError
from gilder.model.provisioners import (
    AnsibleLocalProvisioner,
    AnsibleProvisioner,
    BreakpointProvisioner,
    FileProvisioner,
    Provisioner,
    ShellLocal,
    ShellProvisioner,
    SleepProvisioner,
    Wrap,
)
from gilder.model.spec import Delayed, Spec
from gilder.template.blocks import Block
from gilder.template.decode import Decoded, Shape, built, decode, options_of
from gilder.template.nodes import Table
from gilder.template.reading import Reading
from gilder.template.spelling import did_you_mean, listed
from gilder.template.texts import Promise, RunTimeText

BUILD_VALUES = frozenset(("SourceImageName", "Device", "MountPath", "PackerRunUUID", "BuildName", "BuilderType"))
"""What a running build tells (``{{build `Device`}}``): the data that inline lines and the like are rendered with."""
LINE = Promise(fields=BUILD_VALUES, build=BUILD_VALUES)

_WRAP = options_of(Wrap)
_WRAP_DURATIONS = frozenset(("pause_before", "timeout"))
_NO_NETWORK = "a chroot needs no connection"


def with_fields(promise: Promise, *fields: str) -> Promise:
    """What a text may count on beside what every line may."""
    return Promise(promise.fields | set(fields), promise.build)


@dataclass(frozen=True)
class Work:
    """One block being read."""

    values: dict[str, Any]
    decoded: Decoded
    reading: Reading
    at: Span

    def wrong(self, summary: str, *path: object, hint: str = "") -> None:
        """Note a mistake, at an option or else at the block; none in what is wrong already, or not known."""
        if not self.decoded.doubts(*path):
            self.reading.notes.error(summary, self.decoded.place(*path) or self.at, hint)

    def written(self, *options: str) -> list[str]:
        """Those of the options that are there and not empty; a value that is wrong or not known counts as there."""
        return [o for o in options if self.values.get(o, ()) != () or self.decoded.doubts(o)]

    def absolute(self, path: str) -> str:
        """A path of this machine; relative ones start at the working directory."""
        return os.path.normpath(os.path.join(self.reading.scope.inputs.cwd, path))  # noqa: PTH118 — text, no access

    def existing(self, path: str, name: str, *place: object, directory: bool | None = False) -> str:
        """The absolute path of a file (or directory; None: either) of this machine; noted when it is not there."""
        absolute = self.absolute(path)
        found = {False: os.path.isfile, True: os.path.isdir, None: os.path.exists}[directory](absolute)
        if not path or not found or not os.access(absolute, os.R_OK):
            wanted = "directory" if directory else "file"
            why = f"it is no readable {wanted}" if os.path.exists(absolute) else f"there is no {absolute}"  # noqa: PTH110
            hint = f"relative paths start at {self.reading.scope.inputs.cwd}"
            self.wrong(f"Bad {name} '{path}': {why}", *place, hint=hint)
        return absolute

    def files(self, option: str, *, directory: bool | None = False) -> None:
        """Make the paths of an option (one, or a list) absolute, and see that they exist."""
        value = self.values.get(option)
        if isinstance(value, str):
            self.values[option] = self.existing(value, option, option, directory=directory)
        elif isinstance(value, tuple):
            self.values[option] = tuple(
                self.existing(path, option, option, i, directory=directory) for i, path in enumerate(value)
            )


@dataclass(frozen=True)
class Kind:
    """How one type of block is read: its model, its options, and what must hold beyond their types."""

    model: type[Spec]
    shape: Shape
    check: Callable[[Work], None]


def read_as(kind: Kind, table: Table, reading: Reading, at: Span) -> Spec | None:
    """The spec that a block means; None when it is wrong, which is then noted."""
    before = reading.notes.errors
    decoded = decode(table, kind.shape, reading)
    work = Work(dict(decoded.values), decoded, reading, at)
    _wrap(work)
    kind.check(work)
    if reading.notes.errors > before:
        return None
    return built(kind.model, work.values, decoded, reading, at)


def _wrap(work: Work) -> None:
    values = work.values
    if values.get("max_retries", 0) < 0:
        work.wrong("max_retries cannot be negative", "max_retries")
    wrap = {key: values.pop(key) for key in _WRAP if key in values}
    if wrap.get("timeout") == 0.0:
        del wrap["timeout"]
    if "wrap" in work.decoded.values or wrap:
        values["wrap"] = wrap


def _shape(noun: str, model: type[Spec], *, more: Mapping[str, Any] | None = None, **rest: Any) -> Shape:
    durations = _WRAP_DURATIONS | rest.pop("durations", frozenset())
    options = options_of(model, "type", "wrap") | _WRAP | dict(more or {})
    return Shape(noun=noun, options=options, durations=durations, **rest)


# --- scripts


def check_scripts(work: Work) -> None:
    """`command`, `inline`, `script` or `scripts`: exactly one; scripts become absolute paths of files that exist."""
    values = work.values
    written = work.written("command", "inline", "script", "scripts")
    if not written:
        work.wrong("Either a script file or inline script must be specified.", hint="give inline, script or scripts")
    elif {"inline", "command"} & set(written) and len(written) > 1:
        work.wrong("Only a script file or an inline script can be specified, not both.", written[0])
    elif len(written) > 1:
        work.wrong("Only one of script or scripts can be specified.", "scripts")
    if "command" in values:
        values["inline"] = (values.pop("command"),)
    if "script" in values:
        values["scripts"] = (work.existing(values.pop("script"), "script", "script"),)
    elif "scripts" in values:
        paths = enumerate(values["scripts"])
        values["scripts"] = tuple(work.existing(p, "script", "scripts", i) for i, p in paths)
    _check_assignments(work, "environment_vars")
    for i, name in enumerate(values.get("only_on", ())):
        if name not in _SYSTEMS:
            hint = did_you_mean(name, _SYSTEMS, otherwise=f"allowed: {listed(_SYSTEMS)}")
            work.wrong(f'only_on: there is no operating system "{name}"', "only_on", i, hint=hint)


_SYSTEMS = ("darwin", "freebsd", "linux", "openbsd", "solaris", "windows")
"""The names of operating systems that Packer knows."""


def _check_assignments(work: Work, option: str) -> None:
    for i, value in enumerate(work.values.get(option, ())):
        pair = _tried(value)
        if pair is not None and not re.match(r"[^=]+=", pair):
            work.wrong(f"Environment variable not in format 'key=value': {value}", option, i)


def _tried(text: Delayed) -> str | None:
    """The text with names for the values of the build, as it may be when that runs; None if that tells nothing."""
    try:
        return text.render({name: name for name in BUILD_VALUES})
    except UserError:
        return None


_SHELL = _shape(
    "shell",
    ShellProvisioner,
    more={"script": str},
    promises={
        **dict.fromkeys(("inline", "environment_vars", "env"), LINE),
        "execute_command": with_fields(LINE, "Vars", "Path", "EnvVarFile"),
    },
    durations=frozenset({"pause_after"}),
    ignored={"start_retry_timeout": _NO_NETWORK, "expect_disconnect": _NO_NETWORK},
)


def shell_local_shape(model: type[Spec], promise: Promise) -> Shape:
    """The options of shell-local, as provisioner or as post-processor."""
    return _shape(
        "shell-local",
        model,
        more={"script": str, "command": Delayed},
        promises={
            **dict.fromkeys(("inline", "command", "environment_vars", "env"), promise),
            "execute_command": with_fields(promise, "Vars", "Script", "Command"),
        },
        verbatim=frozenset({"execute_command"}),
        ignored={"use_linux_pathing": "it is for Windows", "tempfile_extension": "scripts are run by their shebang"},
    )


# --- file


def _check_file(work: Work) -> None:
    values = work.values
    if not work.written("destination"):
        work.wrong("Destination must be specified.")
    written = work.written("source", "sources", "content")
    if not written:
        work.wrong("one of source, sources and content must be given")
    elif "content" in written and len(written) > 1:
        work.wrong("content and source exclude each other", "content")
    if "content" in written and values.get("direction") == "download":
        work.wrong("content can only be uploaded", "direction")
    places: list[tuple[object, ...]] = [("sources", i) for i in range(len(values.get("sources", ())))]
    if "source" in values:
        values["sources"] = (*values.get("sources", ()), values.pop("source"))
        places.append(("source",))
    if values.get("direction") != "download" and not values.get("generated"):
        for source, place in zip(values.get("sources", ()), places, strict=True):
            if isinstance(source, RunTimeText) and (path := source.now()) is not None:
                work.existing(path, "source", *place, directory=None)


# --- others


def _check_sleep(work: Work) -> None:
    if not work.written("duration"):
        work.wrong("duration is missing", hint='how long to wait: "10s", "5m"')


def _check_ansible(work: Work) -> None:
    if not work.written("playbook_file"):
        work.wrong("playbook_file must be specified")
    for option in ("playbook_file", "galaxy_file"):
        work.files(option)
    work.files("inventory_file", directory=None)
    work.files("inventory_directory", directory=True)
    _check_assignments(work, "ansible_env_vars")


def _check_ansible_local(work: Work) -> None:
    written = work.written("playbook_file", "playbook_files")
    if not written:
        work.wrong("Either playbook_file or playbook_files must be specified")
    elif len(written) > 1:
        work.wrong("Either playbook_file or playbook_files can be specified, not both", "playbook_files")
    for option in ("playbook_file", "playbook_files", "galaxy_file", "inventory_file"):
        work.files(option)
    for option in ("playbook_dir", "group_vars", "host_vars", "playbook_paths", "role_paths", "collection_paths"):
        work.files(option, directory=True)


_OTHER_WAY = "gilder reaches the guest through a chroot, without SSH"
_PROXY = (
    *("local_port", "ssh_host_key_file", "ssh_authorized_key_file", "ansible_proxy_key_type", "sftp_command"),
    *("use_sftp", "use_proxy", "ansible_proxy_host", "ansible_winrm_use_http", "ansible_ssh_extra_args"),
)

KINDS: Mapping[str, Kind] = {
    "shell": Kind(ShellProvisioner, _SHELL, check_scripts),
    "file": Kind(
        FileProvisioner,
        _shape(
            "file",
            FileProvisioner,
            more={"source": Delayed},
            promises=dict.fromkeys(("source", "sources", "content", "destination"), LINE),
        ),
        _check_file,
    ),
    "shell-local": Kind(ShellLocal, shell_local_shape(ShellLocal, LINE), check_scripts),
    "breakpoint": Kind(BreakpointProvisioner, _shape("breakpoint", BreakpointProvisioner), lambda _: None),
    "sleep": Kind(SleepProvisioner, _shape("sleep", SleepProvisioner, durations=frozenset({"duration"})), _check_sleep),
    "ansible": Kind(
        AnsibleProvisioner,
        _shape(
            "ansible",
            AnsibleProvisioner,
            promises={
                "extra_arguments": LINE,
                "ansible_env_vars": LINE,
                "inventory_file_template": with_fields(LINE, "HostAlias", "Host", "User", "Port"),
            },
            ignored=dict.fromkeys(_PROXY, _OTHER_WAY),
        ),
        _check_ansible,
    ),
    "ansible-local": Kind(
        AnsibleLocalProvisioner,
        _shape("ansible-local", AnsibleLocalProvisioner),
        _check_ansible_local,
    ),
}
"""The provisioners that there are, by type."""


def read_provisioner(block: Block, build: str, reading: Reading) -> Provisioner | None:
    """The provisioner in one build (`build` is the name that only, except and override use); None when it is wrong."""
    if block.refusal:
        reading.notes.add(block.refusal)
        return None
    found = read_as(KINDS[block.type], block.table_for(build), reading, block.at)
    assert found is None or isinstance(found, Provisioner)
    return found
