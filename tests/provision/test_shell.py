"""The shell provisioner, in a real chroot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.provision.conftest import Heard, Text

from gilder.host.guest import Guest
from gilder.model.errors import HostError, ScriptFailed, UserError
from gilder.model.spec import ShellProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


def shell(*lines: str, **more: Any) -> ShellProvisioner:
    return ShellProvisioner(inline=tuple(Text(line) for line in lines), **more)


async def test_inline_lines_are_one_script_that_stops_at_the_first_failure(
    guest: Guest, context: ProvisionContext, heard: Heard
) -> None:
    with pytest.raises(ScriptFailed) as caught:
        await provision(guest, [shell("cd /etc", "echo $PWD", "echo oh >&2", "false", "echo unreached")], context)
    assert heard.lines == [("/etc", "stdout"), ("oh", "stderr")]
    assert caught.value.status == 1
    assert str(caught.value) == "inline script ended with status 1; its last lines:\n    /etc\n    oh"


async def test_the_script_is_gone_afterwards_whatever_happened(guest: Guest, context: ProvisionContext) -> None:
    await provision(guest, [shell("ls /tmp | grep script_")], context)
    with pytest.raises(ScriptFailed):
        await provision(guest, [shell("false")], context)
    assert (await guest.run("ls /tmp")).tail == ()


async def test_skip_clean_keeps_it_where_it_was_asked_to_be(guest: Guest, context: ProvisionContext) -> None:
    await provision(guest, [shell("echo hi", skip_clean=True, remote_folder="/root", remote_file="mine.sh")], context)
    assert await guest.read("/root/mine.sh") == b"#!/bin/sh -e\necho hi\n"
    assert (await guest.run("stat -c %a /root/mine.sh")).tail == ("755",)


async def test_a_shebang_of_ones_own(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    await provision(guest, [shell("false", "echo on", inline_shebang="/bin/sh")], context)
    await provision(guest, [shell("#!/bin/sh", "false", "echo on")], context)
    assert heard.text == ["on", "on"]


async def test_inline_lines_are_rendered_when_they_run(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    await provision(guest, [shell("echo {{.Device}} {{.BuildName}} {{.PackerRunUUID}}")], context)
    assert heard.text == ["/dev/sdc bookworm 11111111-2222"]


async def test_variables_reach_the_script_untouched(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    odd = 'it\'s $HOME `id` "x" \\n $(id)'
    spec = shell(
        'echo "$ODD"; echo "$B"; echo "$PACKER_BUILD_NAME $PACKER_BUILDER_TYPE"',
        environment_vars=(Text(f"ODD={odd}"), Text("B=environment_vars")),
        env={"B": Text("env")},
    )
    await provision(guest, [spec], context)
    assert heard.text == [odd, "env", "bookworm azure-chroot"]


async def test_variables_may_hold_values_of_the_build(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    pair, value = Text("A={{.Device}}"), Text("{{.PackerRunUUID}}")
    await provision(guest, [shell('echo "$A $B"', environment_vars=(pair,), env={"B": value})], context)
    assert heard.text == ["/dev/sdc 11111111-2222"]


async def test_variables_by_a_file_that_does_not_stay(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    spec = shell(
        'echo "$A"; ls -l /tmp | grep varfile',
        environment_vars=(Text("A=it's"),),
        use_env_var_file=True,
        execute_command=Text("chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}"),
    )
    await provision(guest, [spec, spec.model_copy(update={"execute_command": None})], context)
    assert heard.text[0] == heard.text[2] == "it's"
    assert heard.text[1].startswith("-rw-------")
    assert (await guest.run("ls /tmp")).tail == ()


async def test_formats_of_variables(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    await provision(guest, [shell('echo "$A"', environment_vars=(Text("A=1"),), env_var_format="%s=%q ")], context)
    await provision(
        guest, [shell('echo "$A"', environment_vars=(Text("A=2"),), env_var_format="%[1]s='%[2]s' ")], context
    )
    assert heard.text == ["1", "2"]
    with pytest.raises(UserError, match="more than a name and a value"):
        await provision(guest, [shell("true", env_var_format="%s %s %s")], context)


async def test_a_variable_without_equals_sign_is_refused(guest: Guest, context: ProvisionContext) -> None:
    with pytest.raises(UserError, match="not in format 'key=value': LONELY"):
        await provision(guest, [shell("true", environment_vars=(Text("LONELY"),))], context)


async def test_a_command_of_ones_own(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    spec = shell(
        "echo $0 $A", environment_vars=(Text("A=1"),), execute_command=Text("env {{.Vars}} /bin/sh {{.Path}} x")
    )
    await provision(guest, [spec], context)
    assert heard.text[0].startswith("/tmp/script_")
    assert heard.text[0].endswith(".sh 1")


async def test_scripts_of_this_machine_in_order(
    guest: Guest, context: ProvisionContext, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "one.sh").write_bytes(b"#!/bin/sh\r\necho one\r\nprintf end")
    (tmp_path / "two.sh").write_bytes(b"#!/bin/sh\necho two; exit 3")
    spec = ShellProvisioner(scripts=(str(tmp_path / "one.sh"), str(tmp_path / "two.sh")), valid_exit_codes=(0, 3))
    await provision(guest, [spec], context)
    assert heard.text == ["one", "end", "two"]
    assert heard.said == [f"Provisioning with shell script: {tmp_path}/{name}.sh" for name in ("one", "two")]


async def test_a_binary_is_run_as_it_is(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    spec = ShellProvisioner(scripts=("/bin/busybox",), binary=True, remote_file="busybox")
    spec = spec.model_copy(update={"execute_command": Text("{{.Path}} echo from busybox")})
    await provision(guest, [spec], context)
    assert heard.text == ["from busybox"]


async def test_statuses_that_are_allowed_and_not(guest: Guest, context: ProvisionContext) -> None:
    await provision(guest, [shell("exit 7", valid_exit_codes=(7,))], context)
    with pytest.raises(ScriptFailed, match=r"ended with status 0 \(allowed: 7, 8\)"):
        await provision(guest, [shell("exit 0", valid_exit_codes=(7, 8))], context)


async def test_a_missing_script_is_named(guest: Guest, context: ProvisionContext) -> None:
    with pytest.raises(HostError, match=r"the script /no/such\.sh cannot be read"):
        await provision(guest, [ShellProvisioner(scripts=("/no/such.sh",))], context)


async def test_a_guest_that_loses_its_tmp_fails_at_once(guest: Guest, context: ProvisionContext) -> None:
    await provision(guest, [shell("rm -r /tmp")], context)
    with pytest.raises(HostError, match=r"a script cannot be put at /tmp/script_\d+\.sh in the image: .*No such file"):
        await provision(guest, [shell("true")], context)


async def test_a_guest_whose_tmp_leads_to_the_host_is_contained(
    guest: Guest, context: ProvisionContext, heard: Heard
) -> None:
    await provision(guest, [shell("mkdir -p /var/etc; rm -r /tmp; ln -s ../../../../../var/etc /tmp")], context)
    await provision(guest, [shell("ls /var/etc | grep script_")], context)
    assert heard.text[0].startswith("script_")


async def test_output_that_is_not_utf8_and_long(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    await provision(guest, [shell(r"printf '\377\n'; seq 10000")], context)
    assert heard.text == ["\ufffd", *map(str, range(1, 10001))]


async def test_daemons_of_one_script_serve_the_next(
    guest: Guest, context: ProvisionContext, heard: Heard, ledger: MemoryLedger
) -> None:
    await provision(guest, [shell("sleep 83001 >/dev/null 2>&1 &"), shell("echo next")], context)
    assert await guest.box.end_processes() == ["sleep"]
    assert heard.text == ["next"]


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("kill -9 $$", "SIGKILL", "ran out of memory"),
        ("sh -c 'kill -9 $$'", "SIGKILL", "ran out of memory"),
        ("kill -SEGV $$", "SIGSEGV", None),
        ("echo 'cat: write error: No space left on device'; false", "ended with status 1", "a disk is full"),
        ("exit 200", "ended with status 200;", None),
    ],
)
async def test_what_ended_a_script_is_told_by_name(
    guest: Guest, context: ProvisionContext, line: str, said: str, hint: str | None
) -> None:
    """A program that the kernel kills for want of memory gets SIGKILL and says nothing itself."""
    with pytest.raises(ScriptFailed) as caught:
        await provision(guest, [shell("echo on it", line)], context)
    assert said in caught.value.message
    assert (hint in str(caught.value.hint)) if hint else caught.value.hint is None
