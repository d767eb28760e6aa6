"""The whole program in a terminal: the board draws, Ctrl-C behaves, and the terminal is left as it was."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.screen import Screen, Session

pytestmark = pytest.mark.root

IMAGE = (
    "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute/images/"
)


class Here:
    """gilder in a terminal, with an embedded cloud of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "cloud"

    def template(self, names: Sequence[str], *lines: str) -> str:
        builders: list[dict[str, Any]] = [
            {
                "type": "azure-chroot",
                "name": name,
                "source": "localarm:busybox:1:latest",
                "image_hyperv_generation": "V2",
                "image_resource_id": f"{IMAGE}{name}",
            }
            for name in names
        ]
        file = self.folder / "template.json"
        file.write_text(json.dumps({"builders": builders, "provisioners": [{"type": "shell", "inline": list(lines)}]}))
        return str(file)

    def command(self, template: str) -> list[str]:
        where = ["--cloud", "local", "--cloud-state", str(self.state), "--log-dir", str(self.folder / "logs")]
        where += ["--journal", str(self.folder / "journal.sqlite")]
        return [sys.executable, "-m", "gilder", "build", *where, template]

    def session(self, template: str, *options: str, columns: int = 80, lines: int = 24, **variables: str) -> Session:
        quiet = (
            "CI",
            "GITHUB_ACTIONS",
            "TF_BUILD",
            "NO_COLOR",
            "PACKER_NO_COLOR",
            "LC_ALL",
            "LANG",
            "PYTHONIOENCODING",
        )
        kept = {name: value for name, value in os.environ.items() if name not in quiet}
        environment = {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **variables}
        return Session([*self.command(template), *options], environment, columns, lines)

    def disks(self) -> int:
        """How many disks the cloud holds; one is the build host's own."""
        command = [sys.executable, "-m", "localarm", "status", "--state", str(self.state)]
        status = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return sum(int(line.split()[0]) for line in status.splitlines() if line.strip().endswith(" disks"))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path)
    yield here
    assert here.disks() <= 1, "nothing is left in the cloud"
    loops = subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in loops


def shows(*words: str) -> Any:
    """Whether a row of the screen holds all of the words."""

    def holds(screen: Screen) -> bool:
        return any(all(word in row for word in words) for row in screen.shown)

    return holds


def test_the_board_draws_and_goes_and_the_summary_stays(here: Here) -> None:
    work = ("for i in 1 2 3 4 5 6; do echo step $i; sleep 0.2; done", "test $PACKER_BUILD_NAME != bad")
    with here.session(here.template(["good", "bad"], *work)) as session:
        session.read(shows("▸ good", "provisioning", "step 2"))
        assert shows("▸ bad", "provisioning")(session.screen)
        assert shows("2 running, ", " so far")(session.screen)
        assert len(session.screen.shown) == 3
        assert session.ended() == 1
        rows = session.screen.everything
        assert session.screen.modes == set()
        assert {"36", "0"} <= session.screen.colours
        assert not any("▸" in row for row in rows), "the board is gone"
        assert any(row.startswith("── bad failed after") for row in rows)
        assert any(row.startswith("1 built, 1 failed in ") for row in rows)
        assert any(row.startswith("built      good in ") for row in rows)
        assert any(row.startswith("failed     bad after ") for row in rows)
        spent = session.times[-1] - session.times[0]
        assert session.raw.count("\x1b[?2026h") <= 10 * spent + 5, "at most ten drawings a second"


def test_many_builds_fit_a_small_terminal(here: Here) -> None:
    names = [f"image-{number}" for number in range(8)]
    with here.session(here.template(names, "sleep 0.2"), "-parallel-builds=4", columns=60, lines=6) as session:
        session.read(shows("not shown"))
        assert len(session.screen.shown) <= 5
        session.resize(40, 5)
        assert session.ended() == 0
        assert sum(row.startswith("built      image-") for row in session.screen.everything) == 8
        assert not any("▸" in row for row in session.screen.everything), "nothing scrolled away that should not"


@pytest.mark.parametrize(
    ("options", "variables", "mark", "colours"),
    [
        (["-color=false"], {}, "▸", set()),
        ([], {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, ">", {"36", "0"}),
    ],
)
def test_without_colours_and_without_unicode(
    here: Here, options: list[str], variables: dict[str, Any], mark: str, colours: set[str]
) -> None:
    with here.session(here.template(["one"], "echo working", "sleep 0.5"), *options, **variables) as session:
        session.read(shows(f"{mark} one", "working"))
        assert session.ended() == 0
        assert session.screen.colours & {"36", "0"} == colours


def test_plain_lines_when_asked_for(here: Here) -> None:
    with here.session(here.template(["one"], "echo working"), "-timestamp-ui") as session:
        assert session.ended() == 0
        assert "\x1b" not in session.raw
        assert any(row.endswith(":     one: working") for row in session.screen.everything)


def test_machine_readable_is_all_that_stands_on_standard_output(here: Here) -> None:
    template = here.template(["good", "bad"], "echo a,b", "test $PACKER_BUILD_NAME != bad")
    command = [*here.command(template), "-machine-readable"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line.split(",") for line in done.stdout.splitlines()]
    assert all(line[0].isdigit() for line in lines)
    assert ["", "ui", "message", "    good: a%!(PACKER_COMMA)b"] in [line[1:] for line in lines]
    assert ["good", "artifact-count", "1"] in [line[1:] for line in lines]
    assert ["bad", "error"] in [line[1:3] for line in lines]
    (events,) = (here.folder / "logs").glob("*/events.jsonl")
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert told[0]["type"] == "run-started"
    assert told[-1] | {"time": ""} == {"type": "run-finished", "time": "", "run": events.parent.name, "ok": False}
    assert sorted(event["build"] for event in told if event["type"] == "finished") == ["bad", "good"]


def test_ctrl_c_twice_cleans_up_in_haste_and_leaves_a_clean_terminal(here: Here) -> None:
    with here.session(here.template(["one", "two"], "echo working", "trap '' TERM", "sleep 100")) as session:
        session.read(lambda screen: shows("one", "working")(screen) and shows("two", "working")(screen))
        session.type("\x03")
        session.read(shows("==> SIGINT: stopping, and cleaning up; once more to hurry"))
        assert shows("one")(session.screen), "the board goes on"
        session.type("\x03")
        session.read(shows("==> SIGINT: each clean-up step gets 15 s"))
        assert session.ended() == 1
        rows = session.screen.everything
        assert sum(row.startswith("cancelled  ") for row in rows) == 2
        assert any("2 cancelled in " in row for row in rows)
        assert session.screen.modes == set()


def test_the_third_ctrl_c_says_what_is_left_before_it_leaves(here: Here) -> None:
    with here.session(here.template(["one"], "echo working", "trap '' TERM", "sleep 100"), columns=500) as session:
        session.read(shows("one", "working"))
        for _ in range(3):
            session.type("\x03")
            time.sleep(0.2)
        session.read(shows("==> SIGINT: leaving; this is left behind:"))
        assert session.ended() == 1
        rows = session.screen.everything
        assert session.screen.modes == set()
    (all_of_it,) = [row.partition("all of it: ")[2].strip() for row in rows if "all of it: " in row]
    assert any("disk gilder-" in row and f"remove it with: {all_of_it}" in row for row in rows), rows
    assert not any("az disk delete" in row for row in rows), "it does not reach the embedded cloud"
    assert not any("keeper.py" in row or "umount" in row for row in rows), "these end with the process"
    recovered = subprocess.run(
        [sys.executable, "-m", *shlex.split(all_of_it)], timeout=60, check=False, capture_output=True, text=True
    )
    assert recovered.returncode == 0, recovered.stderr
    assert "removed    disk gilder-" in recovered.stderr
