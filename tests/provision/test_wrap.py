"""Pauses, limits, further tries and blind eyes."""

from __future__ import annotations

import time

import pytest
from tests.host.disks import running
from tests.provision.conftest import Heard, Text

from gilder.host.guest import Guest
from gilder.model.errors import ProvisionerTimedOut, ScriptFailed
from gilder.model.spec import ShellProvisioner, Wrap
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision

pytestmark = pytest.mark.root


def shell(line: str, **wrap: object) -> ShellProvisioner:
    return ShellProvisioner(inline=(Text(line),), wrap=Wrap.model_validate(wrap))


async def test_a_pause_comes_before(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    began = time.monotonic()
    await provision(guest, [shell("true", pause_before=0.3)], context)
    assert time.monotonic() - began > 0.3
    assert heard.said[0] == "Pausing 0.3s before the next provisioner..."


async def test_a_limit_ends_the_script(guest: Guest, context: ProvisionContext) -> None:
    with pytest.raises(ProvisionerTimedOut, match=r"the shell provisioner did not end within its timeout of 0.3 s"):
        await provision(guest, [shell("sleep 82001", timeout=0.3)], context)
    assert running("sleep 82001") == []
    assert (await guest.run("ls /tmp")).tail == ()


async def test_a_pause_does_not_count_against_the_limit(guest: Guest, context: ProvisionContext) -> None:
    await provision(guest, [shell("true", pause_before=0.5, timeout=0.4)], context)


async def test_further_tries(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    third = "echo x >>/root/tries; test $(grep -c x /root/tries) = 3"
    await provision(guest, [shell(third, max_retries=2)], context)
    assert [said for said in heard.said if "retrying" in said] == [
        "Provisioner failed with 'inline script ended with status 1', retrying with 2 trie(s) left",
        "Provisioner failed with 'inline script ended with status 1', retrying with 1 trie(s) left",
    ]
    with pytest.raises(ScriptFailed) as caught:
        await provision(guest, [shell("echo y >>/root/tries; false", max_retries=1)], context)
    assert heard.said[-1] == "retry limit reached."
    assert caught.value.__notes__ == ["the shell provisioner was tried 2 times"]
    assert (await guest.read("/root/tries")).count(b"y") == 2


async def test_a_blind_eye_lets_the_next_run(guest: Guest, context: ProvisionContext, heard: Heard) -> None:
    await provision(guest, [shell("exit 4", continue_on_error=True), shell("echo next")], context)
    assert heard.text == ["next"]
    assert (
        "Warning: Provisioner failed with 'inline script ended with status 4', but continue_on_error" in heard.said[1]
    )
