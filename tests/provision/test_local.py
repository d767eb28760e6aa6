"""Provisioners of this machine: shell-local, sleep, breakpoint."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.provision.conftest import Heard, Text

from gilder.host.guest import Guest
from gilder.model.errors import HostError, ScriptFailed, UserError
from gilder.model.provisioners import BreakpointProvisioner, ShellLocal, SleepProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision
from gilder.provision.shell_local import run_shell_local

pytestmark = pytest.mark.root


def local(*lines: str, **more: Any) -> ShellLocal:
    return ShellLocal(inline=tuple(Text(line) for line in lines), **more)


async def test_it_runs_here_in_the_working_directory_and_sees_the_root(
    guest: Guest, context: ProvisionContext, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINE", "from the user")
    spec = local(
        'pwd; echo $MINE; cat {{.MountPath}}/etc/os-release; echo "$A $B $PACKER_BUILD_NAME"',
        environment_vars=(Text("A=it's {{.Device}}"),),
        env={"B": Text("$HOME")},
    )
    await provision(guest, [spec], context)
    assert heard.text == [str(tmp_path), "from the user", "ID=busybox", "it's /dev/sdc $HOME bookworm"]


async def test_it_runs_without_a_build_too(context: ProvisionContext, heard: Heard) -> None:
    await run_shell_local(local("echo $PACKER_BUILDER_TYPE"), context)
    assert heard.text == ["azure-chroot"]


async def test_scripts_commands_and_statuses(
    guest: Guest, context: ProvisionContext, heard: Heard, tmp_path: Path
) -> None:
    script = tmp_path / "it's one.sh"
    script.write_text("#!/bin/sh\necho ran $A\nexit 3\n")
    script.chmod(0o755)
    await provision(guest, [ShellLocal(scripts=(str(script),), env={"A": Text("1")}, valid_exit_codes=(3,))], context)
    with pytest.raises(ScriptFailed, match=r"it's one.sh ended with status 3; its last lines:\n    ran 1"):
        await provision(guest, [ShellLocal(scripts=(str(script),), env={"A": Text("1")})], context)
    words = (Text("sh"), Text("-c"), Text('{{.Vars}} sh "$0" ; true'), Text("{{.Script}}"))
    await provision(guest, [ShellLocal(scripts=(str(script),), env={"A": Text("2")}, execute_command=words)], context)
    assert heard.text == ["ran 1", "ran 1", "ran 2"]
    with pytest.raises(HostError, match="the script /no/such cannot be read"):
        await provision(guest, [ShellLocal(scripts=("/no/such",))], context)


async def test_the_temporary_script_goes_and_other_systems_are_skipped(
    guest: Guest, context: ProvisionContext, heard: Heard
) -> None:
    volumes = guest.box.seen_from_here(guest.box.volumes)
    before = sorted(volumes.iterdir())
    with pytest.raises(ScriptFailed):
        await provision(guest, [local("echo $0; exit 1")], context)
    await provision(guest, [local("echo no", only_on=("windows", "darwin"))], context)
    assert sorted(volumes.iterdir()) == before
    (script,) = heard.text
    assert Path(script).parent == guest.box.volumes, "where it goes with the sandbox, should gilder be killed"


async def test_sleep_sleeps(guest: Guest, context: ProvisionContext) -> None:
    began = time.monotonic()
    await provision(guest, [SleepProvisioner(duration=0.2)], context)
    assert time.monotonic() - began >= 0.2


async def test_a_breakpoint_waits_for_a_person_and_says_how_to_look_inside(
    guest: Guest, context: ProvisionContext, heard: Heard
) -> None:
    asked: list[str] = []

    async def person(text: str) -> None:
        asked.append(text)

    spec = BreakpointProvisioner(note="look")
    await provision(guest, [spec, spec.model_copy(update={"disable": True})], replace(context, wait_for_person=person))
    assert asked == ["bookworm: press enter to continue."]
    assert heard.said[1] == 'Breakpoint with note "look" is disabled; continuing'
    command = heard.said[0].partition("Look inside with: ")[2]
    inside = subprocess.run(
        command, shell=True, input="cat /etc/os-release", capture_output=True, text=True, check=True
    )
    assert inside.stdout == "ID=busybox\n"


async def test_a_breakpoint_with_nobody_there_is_an_error_and_never_hangs(
    guest: Guest, context: ProvisionContext
) -> None:
    with pytest.raises(UserError, match="nobody to ask"):
        await provision(guest, [BreakpointProvisioner()], context)
