"""The real Packer, as a second opinion on template expressions and templates."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKER = shutil.which("packer")
_VARIABLES = {"a": "value of a", "list": "x-y-z", "empty": ""}
VARIABLES: Mapping[str, str] = _VARIABLES


OFFLINE = ("unshare", "--map-root-user", "--net")
"""Starts a program in a network of its own, where nobody is; without it, Packer asks Azure's services."""


def can_be_offline() -> bool:
    """Whether this machine lets us start programs so."""
    return (
        bool(PACKER and shutil.which("unshare"))
        and subprocess.run([*OFFLINE, "true"], capture_output=True).returncode == 0
    )


def _run(*args: str, cwd: Path, text: str = "", prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    assert PACKER
    environment = {
        "HOME": str(cwd),
        "PATH": os.environ["PATH"],
        "CHECKPOINT_DISABLE": "1",
        "PACKER_NO_COLOR": "1",
        "SECRET": "s3",
    }
    return subprocess.run(
        [*prefix, PACKER, *args], cwd=cwd, env=environment, input=text, capture_output=True, text=True, timeout=60
    )


def console(expressions: Sequence[str], cwd: Path) -> list[str | None]:
    """What `packer console` makes of each expression; None is an error.

    Fed by a pipe, the console tells every error, but of the results only the last. So one session finds out which
    expressions fail (one that surely fails stands between each two), and others give the rest in one text.
    """
    template = {"variables": VARIABLES, "builders": [{"type": "null", "communicator": "none"}]}
    (cwd / "t.json").write_text(json.dumps(template))
    lines = [line for i, expression in enumerate(expressions) for line in (expression, f"{{{{marker{i}}}}}")]
    complaints = _run("console", "t.json", cwd=cwd, text="\n".join(lines) + "\n").stdout
    failed: set[int] = set()
    for i in range(len(expressions)):
        before, marker, complaints = complaints.partition(f'function "marker{i}" not defined')
        assert marker
        if before.count("Interpolation error") > 1:
            failed.add(i)
    found: list[str | None] = [None] * len(expressions)
    sound = [i for i in range(len(expressions)) if i not in failed]
    for start in range(0, len(sound), 100):
        some = sound[start : start + 100]
        text = "".join(f"{{{{if true}}}}{expressions[i]}~{{{{end}}}}@@{i}@@" for i in some)
        out = _run("console", "t.json", cwd=cwd, text=text + "\n").stdout
        for i in some:
            result, marker, out = out.partition(f"~@@{i}@@")
            assert marker, out
            found[i] = result
    return found


def validates(template: Mapping[str, Any], cwd: Path) -> bool:
    """Whether `packer validate` accepts a template."""
    (cwd / "v.json").write_text(json.dumps(template))
    return _run("validate", "v.json", cwd=cwd).returncode == 0


def refused_builds(template: Mapping[str, Any], cwd: Path) -> set[str] | None:
    """The builds that `packer validate` finds fault with; None when it finds fault with the template itself."""
    (cwd / "v.json").write_text(json.dumps(template))
    done = _run("validate", "v.json", cwd=cwd, prefix=OFFLINE)
    refused = set(re.findall(r'Failed to prepare build: "([^"]*)"', done.stdout + done.stderr))
    return refused if refused or done.returncode == 0 else None
