"""`kill -9` in any stage, then `gilder recover`: the image is finished or not there, and nothing else is left."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from tests.e2e.conftest import Ended, Program, builder, shell, traces_soon
from tests.e2e.test_build import STAGES
from tests.e2e.test_many import world

pytestmark = [pytest.mark.root, pytest.mark.slow]


def recover(gilder: Program, *arguments: str) -> Ended:
    command = [sys.executable, "-m", "gilder", "recover", "--cloud", "local", "--cloud-state", str(gilder.state)]
    return gilder.run([*command, "--journal", str(gilder.folder / "journal.sqlite"), *arguments])


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_build_is_finished_or_removed(gilder: Program, stage: str) -> None:
    with world(gilder):
        lines = ["echo working", "sleep 1"] if "working" in stage else ["echo working > /etc/mark"]
        template = gilder.template([builder("tiny")], [shell(*lines)])
        killed = gilder.build_until(stage, signal.SIGKILL, template)
        assert killed.status == -signal.SIGKILL
        ended = recover(gilder)
        assert ended.status == 0, ended.out + ended.err
        again = recover(gilder)
        assert (again.status, again.out) == (0, "nothing to recover\n")
        assert traces_soon(gilder.folder, cloud=False) == []
    if gilder.images():
        assert f"published  {'/subscriptions'}" in ended.err or "cleaning up" in stage or "detaching" in stage
        with gilder.mounted("tiny-image") as root:
            assert (root / "etc/mark").read_text() == "working > /etc/mark\n".replace(" > /etc/mark", "")


def test_a_live_run_is_not_touched(gilder: Program) -> None:
    with world(gilder):
        template = gilder.template([builder("tiny")], [shell("echo working", "sleep 4")])
        with subprocess.Popen(
            gilder.build_command(template), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stderr is not None
            for line in run.stderr:
                if "tiny: working" in line:
                    break
            ended = recover(gilder)
            assert (ended.status, ended.out) == (0, "nothing to recover\n")
            run.stderr.read()
        assert run.returncode == 0
    assert gilder.images() == ["tiny-image"]


def test_the_next_build_says_what_an_earlier_one_left_and_recovers_it_when_asked(gilder: Program) -> None:
    with world(gilder):
        template = gilder.template([builder("first")], [shell("echo working", "sleep 100")])
        assert gilder.build_until("first: working", signal.SIGKILL, template).status == -signal.SIGKILL
        second = gilder.build([builder("second")], [])
        assert second.status == 0
        where = f"--cloud local --cloud-state {gilder.state} --journal {gilder.folder / 'journal.sqlite'} "
        assert f"; recover it with: gilder recover {where}" in second.err
        third = gilder.build([builder("third")], [], "--recover")
        assert third.status == 0
        assert "removed" in third.err
    assert sorted(gilder.images()) == ["second-image", "third-image"]


def test_two_runs_are_recovered_side_by_side(gilder: Program) -> None:
    with world(gilder):
        for name in ("first", "second"):
            template = gilder.template([builder(name)], [shell("echo working", "sleep 100")])
            assert gilder.build_until(f"{name}: working", signal.SIGKILL, template).status == -signal.SIGKILL
        ended = recover(gilder)
        assert ended.status == 0, ended.out + ended.err
        told = [line for line in ended.err.splitlines() if line.startswith(("==> recovering run", "==> run "))]
        assert [line.startswith("==> recovering") for line in told[:2]] == [True, True]
        assert sum(line.startswith("==> run ") and line.endswith(":") for line in told) == 2
        assert ended.err.count("removed    disk ") == 2


def test_what_cannot_be_removed_is_told_and_noted_without_secrets(
    gilder: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service said why, with a secret in it: `gilder recover` hid that on the terminal, and not in the journal. And a
    build that did not begin because of it said nothing of its images."""
    secret = "Tr0ub4dor-and-3"
    with world(gilder):
        template = gilder.template([builder("tiny")], [shell("echo working", "sleep 100")])
        assert gilder.build_until("tiny: working", signal.SIGKILL, template).status == -signal.SIGKILL
        fault = {"what": "refuse", "method": "DELETE", "kind": "disks", "status": 403, "code": "Locked", "times": 99}
        gilder.localarm("faults", "add", json.dumps(fault | {"message": f"the service says {secret}"}))
        monkeypatch.setenv("VAULT_TOKEN", secret)
        for ended in (recover(gilder), gilder.build([builder("second")], [], "--recover")):
            assert ended.status == 1
            assert "the service says" in ended.err
            assert secret not in ended.out + ended.err
        assert "nothing is built, for something is left of earlier runs" in ended.err
        with closing(sqlite3.connect(gilder.folder / "journal.sqlite")) as journal:
            told = "".join(why for (why,) in journal.execute("SELECT why FROM residue WHERE kind = 'disk'"))
        assert "the service says" in told
        assert secret not in told
        gilder.localarm("faults", "clear")
        assert recover(gilder).status == 0
    assert gilder.images() == []


def test_a_run_of_another_vm_is_left_to_that(gilder: Program) -> None:
    """The journal came with a copied disk: what the other VM still worked on was taken for a dead run's."""
    with world(gilder):
        template = gilder.template([builder("tiny")], [shell("echo working", "sleep 100")])
        assert gilder.build_until("tiny: working", signal.SIGKILL, template).status == -signal.SIGKILL
        with closing(sqlite3.connect(gilder.folder / "journal.sqlite")) as journal, journal:
            ((run, vm),) = journal.execute("SELECT id, vm FROM run")
            journal.execute("UPDATE run SET vm = ?", (vm.replace("virtualMachines/", "virtualMachines/not-"),))
        before = gilder.inventory()
        ended = recover(gilder)
        assert ended.status == 0
        assert f"run {run} was on the VM {vm.replace('virtualMachines/', 'virtualMachines/not-')}" in ended.err
        named = recover(gilder, run)
        assert named.status == 1
        assert "was on another VM" in named.err
        assert gilder.inventory() == before
        with closing(sqlite3.connect(gilder.folder / "journal.sqlite")) as journal, journal:
            journal.execute("UPDATE run SET vm = ?", (vm,))
        assert recover(gilder).status == 0


def test_an_unknown_run_is_refused(gilder: Program) -> None:
    assert gilder.build([builder("tiny")], []).status == 0
    ended = recover(gilder, "no-such-run")
    assert ended.status == 2
    assert 'there is no run "no-such-run"' in ended.err
    assert f"list them with: gilder runs --journal {gilder.folder / 'journal.sqlite'}" in ended.err
