"""Commands of the template that run on this machine, in the build's namespaces."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.provision.conftest import Heard, Text

from gilder.host.sandbox import sandbox
from gilder.model.errors import CommandFailed
from gilder.provision.commands import run_commands
from gilder.provision.context import ProvisionContext
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


@pytest.fixture
def context(heard: Heard) -> ProvisionContext:
    return ProvisionContext(
        "build", "run", "/dev/sdc", Path("/mnt"), say=heard.said.append, on_line=lambda *line: heard.lines.append(line)
    )


async def test_they_are_rendered_told_and_stop_at_the_first_failure(
    ledger: MemoryLedger, context: ProvisionContext, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "of the user")
    commands = [Text('echo {{.Device}} "$MINE" | cat'), Text("echo no >&2; exit 5"), Text("echo unreached")]
    async with sandbox("commands", ledger) as box:
        with pytest.raises(CommandFailed, match=r"\(pre_mount_commands\) ended with status 5\nno"):
            await run_commands(box, commands, {"Device": "/dev/sdc"}, context, where="pre_mount_commands")
    assert heard.lines == [("/dev/sdc of the user", "stdout"), ("no", "stderr")]
    assert heard.said == ['Executing command: echo /dev/sdc "$MINE" | cat', "Executing command: echo no >&2; exit 5"]


async def test_they_see_the_builds_mounts_and_may_be_wrapped(
    ledger: MemoryLedger, context: ProvisionContext, heard: Heard
) -> None:
    async with sandbox("commands", ledger, wrapper=Text("env W=1 {{.Command}}")) as box:
        await box.run(["mount", "-t", "tmpfs", "of-the-build", "/mnt"])
        await run_commands(box, [Text("sh -c 'echo $W; grep of-the-build /proc/mounts'")], {}, context, where="x")
    assert heard.text[0] == "1"
    assert heard.text[1].startswith("of-the-build /mnt tmpfs")
    assert "of-the-build" not in Path("/proc/mounts").read_text()
