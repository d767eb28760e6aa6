"""`gilder gc` on what a killed run left: shown, protected by its lease, and deleted when that has run out."""

from __future__ import annotations

import shlex
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
from tests.e2e.conftest import Ended, Program, builder, shell
from tests.e2e.test_many import world

from localarm.resources import Resource
from localarm.state import SqliteState

pytestmark = [pytest.mark.root]


def collect(gilder: Program, *arguments: str) -> Ended:
    where = ["--cloud", "local", "--cloud-state", str(gilder.state)]
    return gilder.run([sys.executable, "-m", "gilder", "gc", *where, *arguments])


def days_later(gilder: Program) -> None:
    """Let what gilder's tags mark be three days old."""
    state = SqliteState(gilder.state / "world.sqlite")
    ours = [one for one in state.load()[0] if "gilder-run" in one.body.get("tags", {})]
    state.save([(one.key, aged(one)) for one in ours], [], [])
    state.close()


def aged(resource: Resource) -> Resource:
    then = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    tags = resource.body["tags"] | {"gilder-lease": then}
    return resource.with_body(tags=tags).with_properties(timeCreated=then)


def test_what_a_killed_run_left_is_collected_when_its_lease_has_run_out(gilder: Program) -> None:
    journal = str(gilder.folder / "journal.sqlite")
    with world(gilder):
        template = gilder.template([builder("tiny")], [shell("echo working", "sleep 100")])
        assert gilder.build_until("tiny: working", signal.SIGKILL, template).status == -signal.SIGKILL
        lost = ("--journal", str(gilder.folder / "lost"))
        young = collect(gilder, "--yes", *lost)
        assert young.status == 0, young.err
        assert "may live: its lease runs until" in young.out
        assert "none of 1 is garbage" in young.out
    days_later(gilder)
    assert "gilder recover" in collect(gilder, "--yes", "--journal", journal).out
    shown = collect(gilder, *lost)
    assert shown.status == 0
    (command,) = [line.partition("; do it with: ")[2] for line in shown.out.splitlines() if "would be deleted" in line]
    assert gilder.inventory()["disks"] == 2
    done = gilder.run([sys.executable, "-m", *shlex.split(command)])
    assert (done.status, done.out.splitlines()[-1]) == (0, "1 deleted, 0 left")
    assert gilder.inventory()["disks"] == 1
    assert collect(gilder, *lost).out == "nothing with gilder's tags\n"
