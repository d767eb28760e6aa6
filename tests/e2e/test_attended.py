"""-on-error, -debug and breakpoints: what stays, what a person is asked, and what happens where there is nobody."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.screen import Screen, Session
from tests.e2e.conftest import Program, builder, shell
from tests.e2e.test_many import world

from gilder.build.attendance import Attendance, OnError, Verdict

pytestmark = pytest.mark.root

LAST_WORD = {"type": "shell-local", "inline": ["echo the last word of $PACKER_BUILD_NAME"]}


def attended(gilder: Program, provisioners: list[dict[str, Any]], *options: str, lines: int = 40) -> Session:
    """gilder in a terminal."""
    template = gilder.template([builder("tiny")], provisioners)
    environment = {**os.environ, "TERM": "xterm", "GITHUB_ACTIONS": "", "TF_BUILD": ""}
    return Session(gilder.build_command(template, *options), environment, columns=200, lines=lines, cwd=Path.cwd())


def shows(*texts: str) -> Callable[[Screen], bool]:
    def check(screen: Screen) -> bool:
        everything = "\n".join(screen.everything)
        return all(text in everything for text in texts)

    return check


@pytest.mark.slow
def test_abort_leaves_the_disk_attached_names_it_and_recover_removes_it(gilder: Program) -> None:
    with world(gilder):
        template = gilder.template([builder("tiny")], [shell("exit 3")], **{"error-cleanup-provisioner": LAST_WORD})
        ended = gilder.run(gilder.build_command(template, "-on-error=run-cleanup-provisioner"))
        assert ended.status == 1
        assert "the last word of tiny" in ended.err
        assert "(kept as /dev/sd" in ended.err, ended.err
        assert "Left behind:\n  attachment" in ended.out
        assert "snapshot" not in ended.out, "none was taken"
        assert gilder.inventory()["disks"] == 2, "the build host's own disk, and ours"
        (command,) = [line for line in ended.out.splitlines() if "all of it: gilder recover" in line]
        assert ended.out.count(f"remove it with: {command.partition(': ')[2]}\n") == 2, "`az` does not reach this cloud"
        done = gilder.run([sys.executable, "-m", *shlex.split(command.partition(": ")[2])])
        assert (done.status, done.err.count("removed    disk")) == (0, 1), done.err


async def test_asking_where_nobody_can_answer_cleans_up() -> None:
    async def nobody(question: str) -> str | None:
        return None

    for ask in (None, nobody):
        attendance = Attendance(OnError.ASK, ask=ask)
        assert await attendance.verdict("failed", may_retry=True) is Verdict.CLEANUP


def test_a_person_may_retry_a_step_and_is_told_how_to_look_inside(gilder: Program) -> None:
    mark = gilder.folder / "mended"
    step = {"type": "shell-local", "inline": [f"test -e {mark}"]}
    with attended(gilder, [step], "-on-error=ask") as session:
        session.read(shows("tiny failed while provisioning", "nsenter", "[r] retry this step?"))
        session.type("x\n")
        session.read(shows("'x' is none of the answers"))
        mark.touch()
        session.type("r\n")
        assert session.ended() == 0
        assert shows("built      tiny")(session.screen)
    assert gilder.images() == ["tiny-image"]


def test_a_breakpoint_waits_for_enter_and_an_interrupt_ends_the_question(gilder: Program) -> None:
    stop = {"type": "breakpoint", "note": "look"}
    with attended(gilder, [stop, stop], "-debug") as session:
        for text in ("done: attaching", "done: mounting", "done: preparing the chroot"):
            session.read(shows(text))
            session.type("\n")
        session.read(shows('Pausing at breakpoint with note "look"', "nsenter", "press enter to continue"))
        session.type("\n")
        session.read(lambda screen: "\n".join(screen.everything).count("press enter to continue") == 2)
        session.type("\x03")
        assert session.ended() == 1
        assert shows("cancelled  tiny")(session.screen)
