"""The functions that Packer adds to Go templates, and those of the azure-chroot builder.

Names, arguments and error texts follow Packer 1.16; where it answers by chance (a negative index), these refuse.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from gilder.model.vm import VmFacts
from gilder.template.go_builtins import GO_BUILTINS
from gilder.template.go_evaluate import Callee, FunctionFailed
from gilder.template.go_time import go_time, rfc3339, strftime
from gilder.template.go_values import Value
from gilder.template.inputs import OFFLINE_VM, Inputs, NotFetched
from gilder.template.spelling import did_you_mean, listed

PACKER_VERSION = "1.16.0"
"""The version of Packer whose language this is; `packer_version` and `min_packer_version` mean it."""

_ELSEWHERE = ("aws_secretsmanager", "aws_secretsmanager_raw")
_VM_KEYS = tuple(f.name for f in fields(VmFacts))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where a text stands: what the functions in it may know. Two texts of one build share their scope."""

    inputs: Inputs
    template_dir: str
    user: Callable[[str], str]
    """The value of a variable; raises FunctionFailed."""
    asked_vm: Callable[[], None] = lambda: None
    """Told when `vm` is called."""
    not_known: Callable[[], None] = lambda: None
    """Told when something is asked for that is not fetched here."""
    is_secret: Callable[[str], None] = lambda value: None
    """Told each value that was fetched."""
    in_variables: bool = False
    build_name: str = ""
    build_type: str = ""
    data: Mapping[str, Value] = field(default_factory=dict)
    """What `{{.Name}}` means, as far as it is known when the template is loaded."""
    build: Callable[[str], str] | None = None
    """The value that the build gives while it runs; None: not in this place."""


def functions(scope: Scope) -> Mapping[str, Callee]:
    """Every function that a template may call, Go's own included."""
    now = scope.inputs.now
    return GO_BUILTINS | {
        "user": Callee(scope.user, (str,)),
        "env": Callee(lambda name: _env(scope, name), (str,)),
        "build": Callee(lambda key: _build(scope, key), (str,)),
        "build_name": Callee(lambda: _given("build_name", scope.build_name), ()),
        "build_type": Callee(lambda: _given("build_type", scope.build_type), ()),
        "isotime": Callee(lambda *layout: _isotime(scope, *layout), (), str),
        "strftime": Callee(lambda codes: strftime(now, codes), (str,)),
        "timestamp": Callee(lambda: str(int(now.timestamp())), ()),
        "uuid": Callee(scope.inputs.new_id, ()),
        "pwd": Callee(lambda: scope.inputs.cwd, ()),
        "template_dir": Callee(lambda: scope.template_dir, ()),
        "packer_version": Callee(lambda: PACKER_VERSION, ()),
        "split": Callee(_split, (str, str, int)),
        "replace": Callee(lambda old, new, n, text: text.replace(old, new, n), (str, str, int, str)),
        "replace_all": Callee(lambda old, new, text: text.replace(old, new), (str, str, str)),
        "upper": Callee(_upper, (str,)),
        "lower": Callee(lambda text: "".join(c.lower()[:1] for c in text), (str,)),
        "sed": Callee(_sed, (str, str)),
        "consul_key": Callee(lambda key: _fetched(scope, "consul_key", key), (str,)),
        "vault": Callee(lambda path, key: _fetched(scope, "vault", path, key), (str, str)),
        "vm": Callee(lambda key: _vm(scope, key), (str,)),
        "clean_resource_name": Callee(clean_resource_name, (str,)),
        "clean_image_name": Callee(clean_resource_name, (str,)),  # of the DTL builder; people carry it over
        **{name: _elsewhere(name) for name in _ELSEWHERE},
    }


def template_dir(file: str, cwd: str) -> str:
    """The absolute directory of a template."""
    return posixpath.dirname(posixpath.normpath(posixpath.join(cwd, file)))


def clean_resource_name(text: str) -> str:
    """The text with everything that an Azure resource name may not hold made `-`, byte by byte as Packer does."""
    return re.sub(rb"[^0-9A-Za-z._-]", b"-", text.encode(errors="surrogateescape")).decode().rstrip("-_.")


def _env(scope: Scope, name: str) -> str:
    if not scope.in_variables:
        raise FunctionFailed(
            "env vars are not allowed here",
            hint=f'declare a variable with the value "{{{{env `{name}`}}}}" and use {{{{user `…`}}}} here',
        )
    return scope.inputs.env.get(name, "")


def _fetched(scope: Scope, store: str, *which: str) -> str:
    if not scope.in_variables:
        raise FunctionFailed(
            f"{store} is not allowed here", hint="give a variable this value, and use {{user `…`}} here"
        )
    try:
        value = scope.inputs.fetch(store, *which)
    except NotFetched:
        scope.not_known()
        raise FunctionFailed(f"{store} is not asked here") from None
    except LookupError as error:
        raise FunctionFailed(str(error), hint="or fetch the value before, and hand it over with -var or env") from None
    scope.is_secret(value)
    return value


def _build(scope: Scope, key: str) -> str:
    if scope.build is None:
        raise FunctionFailed(
            f"the given variable {key} is not known here",
            hint="values of a running build are known to the lines of inline, to file and to shell-local",
        )
    return scope.build(key)


def _given(name: str, value: str) -> str:
    if not value:
        raise FunctionFailed(f"{name} not available")
    return value


def _isotime(scope: Scope, *layout: str) -> str:
    if len(layout) > 1:
        raise FunctionFailed("too many values, 1 needed")
    return go_time(scope.inputs.now, layout[0]) if layout else rfc3339(scope.inputs.now)


def _split(text: str, separator: str, index: int) -> str:
    parts = text.split(separator) if separator else list(text)
    if not 0 <= index < len(parts):
        raise FunctionFailed(
            f"the substring {index} was unavailable using the separator value, {separator}, "
            f"only {len(parts)} values were found",
            hint="the first part has the number 0",
        )
    return parts[index]


def _upper(text: str) -> str:
    """Character by character, as Go does: what has no capital letter of its own stays, such as ß."""

    def one(c: str) -> str:
        return next((capital for capital in (c.upper(), c.title()) if len(capital) == 1), c)

    return "".join(map(one, text))


def _sed(_expression: str, _text: str) -> str:
    raise FunctionFailed("sed is deprecated", hint="use replace or replace_all")


def _vm(scope: Scope, key: str) -> str:
    if key not in _VM_KEYS:
        raise FunctionFailed(
            f"unknown metadata key: {key}",
            hint=did_you_mean(key, _VM_KEYS, otherwise=f"what is known: {listed(_VM_KEYS)}"),
        )
    scope.asked_vm()
    return str(getattr(scope.inputs.vm or OFFLINE_VM, key))


def _elsewhere(name: str) -> Callee:
    def refuse(*_: str) -> str:
        raise FunctionFailed(
            f"gilder does not fetch secrets with {name}",
            hint="fetch the value before, and hand it over with -var, a variable file or env",
        )

    return Callee(refuse, (str,), str)
