"""Provisioners of this machine, run by the real Packer and by gilder from one template: both must print the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.provision.conftest import Heard
from tests.template import peer
from tests.template.reading_aids import BUILDER, read

from gilder.host.guest import Guest
from gilder.model.errors import ProvisionerTimedOut
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not peer.PACKER, reason="compares with the real Packer, which is not installed"),
]

PROVISIONERS: list[dict[str, Any]] = [
    {
        "environment_vars": ["PACKER_BUILD_NAME=mine", "A=it's", 'A=last "$HOME" `x` \\', "B=x=y", "E=", "Q='"],
        "inline": ['echo "$PACKER_BUILD_NAME|$A|$B|$E|$Q|$PACKER_BUILDER_TYPE"'],
    },
    {
        "execute_command": ["sh", "-c", "echo two; {{.Vars}} {{.Script}}"],
        "inline": ["echo a; cat $0; ls -l $0 | cut -c1-10; pwd"],
    },
    {"command": "echo cmd", "env_var_format": "%s=X%sX "},
    {"inline": ["#!/bin/cat", "hello"], "inline_shebang": "/bin/cat -n"},
    {"inline": ["false", "echo not reached"], "valid_exit_codes": [0, 1]},
    {"inline": ["echo to stderr >&2; exit 3"], "valid_exit_codes": 3},
    {"inline": "echo one, echo two"},
    {"inline": "{{user `cmds`}}"},
    {"inline": "echo {{split `a,b` `,` 1}}"},
    {"inline": ['echo "$A|$B"'], "environment_vars": ["{{user `pairs`}}"]},
    {"inline": ['echo "$A|$B"'], "environment_vars": "{{user `pairs`}}"},
    {"inline": ["echo empty", None], "valid_exit_codes": [], "execute_command": []},
    {"inline": ["echo null"], "valid_exit_codes": None, "execute_command": None, "environment_vars": None},
    {"inline": ["echo not here"], "only_on": ["windows"]},
    {"inline": ["echo {{build_name}} {{ upper `x` }}"]},
    {"script": "s.sh", "environment_vars": "V=1"},
    {"scripts": ["s.sh", "s.sh"]},
    {"inline": ["test -e flag$WHO || { echo failing; touch flag$WHO; exit 5; }", "echo mended"], "max_retries": 2},
    {"inline": ["echo starts", "sleep 1", "echo not reached"], "timeout": "500ms"},
]
"""The last one fails, as it should."""
VARIABLES = {"cmds": "echo from a,echo variable", "pairs": "A=1,B=2"}


async def test_both_print_the_same(
    guest: Guest, context: ProvisionContext, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.sh").write_text("#!/bin/sh\necho script ${V-unset}\n")
    (tmp_path / "s.sh").chmod(0o755)
    blocks = [{"type": "shell-local"} | block for block in PROVISIONERS]
    theirs = _theirs(blocks, tmp_path)

    ours = {"variables": VARIABLES, "builders": [BUILDER | {"name": "null"}], "provisioners": blocks}
    loaded = read(ours, cwd=str(tmp_path))
    (spec,) = loaded.builds
    monkeypatch.setenv("WHO", "ours")
    here = ProvisionContext("null", "run", "", Path("/"), "null", say=context.say, on_line=context.on_line)
    with pytest.raises(ProvisionerTimedOut, match=r"timeout of 0\.5 s"):
        await provision(guest, spec.provisioners, here)
    assert [_plain(line) for line in heard.text] == theirs
    assert theirs[-1] == "starts"


def _theirs(blocks: list[dict[str, Any]], folder: Path) -> list[str]:
    """What the programs print under Packer."""
    nothing = {"type": "null", "communicator": "none"}
    template = {"variables": VARIABLES, "builders": [nothing], "provisioners": blocks}
    (folder / "t.json").write_text(json.dumps(template))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
    done = subprocess.run(
        [str(peer.PACKER), "build", "t.json"],
        cwd=folder,
        env=environment | {"WHO": "theirs"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if re.match(r"    null: |==> null: to stderr", line)]
    return [_plain(line[10:]) for line in lines]


def _plain(line: str) -> str:
    return re.sub(r"(/tmp/\S*packer-shell|/mnt/\S*-shell-local)\S*", "SCRIPT", line).removesuffix(" ")
