"""Logs folded under CI systems, of which guests cannot break out."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gilder.cli.eventlog import EventLog
from gilder.cli.folded import AzurePipelines, Dialect, FoldedLines, GitHub, dialect
from gilder.cli.logs import LogFiles
from gilder.cli.plain import PlainLines, ended_line, plain_lines, stamped
from gilder.cli.progress import failure_blocks
from gilder.cli.sinks import Together
from gilder.cli.summary import summary
from gilder.model.errors import ScriptFailed
from gilder.model.events import (
    Event,
    Finished,
    LeftBehind,
    OutputLine,
    Said,
    Stage,
    StageFinished,
    StageStarted,
    Waiting,
)
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome, Residue

EVENTS: list[Event] = [
    StageStarted(build="web", at=1, stage=Stage.PROVISION),
    *(OutputLine(build="web", at=2, text=f"line {number}") for number in range(30)),
    OutputLine(build="web", at=2, text="::error::guest", stream="stderr"),
    StageFinished(build="web", at=3, stage=Stage.PROVISION, seconds=2, ok=False),
    StageStarted(build="web", at=3, stage=Stage.CLEAN_UP, detail="##vso[task.complete result=Succeeded]"),
    *(Said(build="web", at=4, text=f"cleaning {number}") for number in range(30)),
    Finished(build="web", at=5, status="failed", seconds=4, text="script failed\nbadly"),
]


def folded(folder: Path, speech: Dialect) -> list[str]:
    lines: list[str] = []
    with LogFiles(folder) as logs:
        progress = FoldedLines(lines.append, speech, lambda b: logs.lines(b, 100), failure_blocks(logs, "--"))
        sink = Together({"logs": logs, "progress": progress}, progress.say)
        for event in EVENTS:
            sink(event)
        progress.say("the end")
    return lines


def test_github_folds_the_log_and_runs_no_command_of_a_guest(tmp_path: Path) -> None:
    lines = folded(tmp_path, GitHub())
    start = lines.index("::group::web failed after 4.0s")
    end = lines.index("::endgroup::")
    token = lines[start + 1].removeprefix("::stop-commands::")
    assert len(token) == 32
    assert lines[end - 1] == f"::{token}::"
    assert sum(token in line for line in lines) == 2
    inside = lines[start + 2 : end - 1]
    assert any(line.endswith("! ::error::guest") for line in inside)
    assert lines[end + 1] == "::error title=web failed::script failed%0Abadly"
    outside = lines[:start] + lines[end + 2 :]
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in outside)


def test_output_is_only_in_the_group(tmp_path: Path) -> None:
    lines = folded(tmp_path, GitHub())
    before = lines[: lines.index("::group::web failed after 4.0s")]
    assert before[0] == "==> web: provisioning"
    assert not any("line 3" in line for line in before)
    assert lines[-1] == "==> the end"


def test_azure_pipelines_folds_and_runs_no_command_of_a_guest(tmp_path: Path) -> None:
    lines = folded(tmp_path, AzurePipelines())
    start, end = lines.index("##[group]web failed after 4.0s"), lines.index("##[endgroup]")
    assert start < end
    commands = [line for line in lines if "##" in line.replace("##[group]", "").replace("##[endgroup]", "")]
    assert commands == ["##vso[task.logissue type=error]web failed: script failed%0Abadly"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"GITHUB_ACTIONS": "true"}, GitHub), ({"TF_BUILD": "True"}, AzurePipelines), ({"CI": "true"}, type(None))],
)
def test_the_ci_system_is_known_by_its_variable(environment: dict[str, str], expected: type) -> None:
    assert isinstance(dialect(environment), expected)


def test_a_failure_shows_the_lines_before_its_clean_up_in_one_block(tmp_path: Path) -> None:
    lines: list[str] = []
    with LogFiles(tmp_path) as logs:
        sink = Together({"logs": logs, "lines": PlainLines(lines.append, failure_blocks(logs, "--"))}, lines.append)
        for event in EVENTS:
            sink(event)
    block = lines[lines.index("Build 'web' errored after 4 seconds: script failed") + 1 :]
    assert block[0] == f"-- web failed after 4.0s; the last lines of {tmp_path}/web.log:"
    assert block[1] == "   | line 12"
    assert block[-4:] == [
        "   ! ::error::guest",
        "   --- provisioning FAILED after 2.000 s",
        "-- web: script failed",
        "-- web: badly",
    ]
    assert len(block) == 1 + 20 + 2


def test_nothing_is_announced_that_does_not_follow() -> None:
    """A line ended with "its last lines:", and they stood in the block below."""
    error = ScriptFailed("inline script", 1, (0,), ["oh"]).message
    event = Finished(build="web", at=4, status="failed", seconds=4, text=error)
    assert plain_lines(event) == ["Build 'web' errored after 4 seconds: inline script ended with status 1"]
    assert ended_line(event).endswith("its last lines:\n    oh")


def test_a_long_log_is_cut_at_its_beginning(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as logs:
        for number in range(50):
            logs(OutputLine(build="web", at=0, text=f"line {number}"))
        lines = list(logs.lines("web", 10))
    assert lines[0].startswith("… 40 lines are left out")
    assert lines[1].endswith("| line 40")
    assert len(lines) == 11


def test_a_thousand_builds_need_few_open_files(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with LogFiles(tmp_path) as logs:
        for number in range(1000):
            logs(Said(build=f"b{number}", at=0, text="begins"))
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 200
        for number in range(1000):
            logs(Finished(build=f"b{number}", at=0, status="built", seconds=1))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all(len(list(logs.lines(f"b{number}", 10))) == 2 for number in range(1000))


def test_builds_whose_names_differ_have_logs_that_differ(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as logs:
        paths = {logs.path(name) for name in ("a b", "a/b", "a-b", "../a-b", "x" * 300, "x" * 301)}
    assert len(paths) == 6
    assert all(path.parent == tmp_path and len(path.name) < 255 for path in paths)
    assert tmp_path / "a-b.log" in paths


class Full:
    """A sink whose disk is full, or has another trouble."""

    def __init__(self, number: int = errno.ENOSPC) -> None:
        self.errno = number

    def __call__(self, event: Event) -> None:
        raise OSError(self.errno, os.strerror(self.errno))


def test_a_sink_that_fails_is_told_of_once_and_harms_nobody() -> None:
    heard: list[Event] = []
    said: list[str] = []
    sink = Together({"logs in /logs": Full(), "list": heard.append, "progress": Full(errno.EIO)}, said.append)
    for event in EVENTS:
        sink(event)
    assert heard == EVENTS
    assert said == [
        "no more logs in /logs, the builds go on: No space left on device; free some space there",
        "no more progress, the builds go on: Input/output error",
    ]


async def test_events_are_json_lines_at_once(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log.run("run-started", run="r", builds=["web"])
        log(StageStarted(build="web", at=1, stage=Stage.CREATE_DISK, detail="d\n"))
        log(StageFinished(build="web", at=3, stage=Stage.CREATE_DISK, seconds=2, ok=True))
        log(OutputLine(build="web", at=3, text="naïve \udcff"))
        log(Waiting(build="web", at=4, what="a slot"))
        log(LeftBehind(build="web", at=4, what="disk", remedy="az"))
        lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    times = [line.pop("time") for line in lines]
    assert all(time.endswith("Z") and len(time) == 24 for time in times)
    assert lines == [
        {"type": "run-started", "run": "r", "builds": ["web"]},
        {"type": "stage-started", "at": 1, "build": "web", "stage": "create-disk", "detail": "d\n"},
        {"type": "stage-finished", "at": 3, "build": "web", "stage": "create-disk", "seconds": 2, "ok": True},
        {"type": "output-line", "at": 3, "build": "web", "text": "naïve \udcff", "stream": "stdout"},
        {"type": "waiting", "at": 4, "build": "web", "what": "a slot"},
        {"type": "left-behind", "at": 4, "build": "web", "what": "disk", "remedy": "az"},
    ]


def test_stamped_lines_begin_with_the_local_time() -> None:
    lines: list[str] = []
    stamped(lines.append)("==> web: mounting")
    moment, _, rest = lines[0].partition(": ")
    assert rest == "==> web: mounting"
    assert len(moment) == len("2026-11-22T20:46:55+00:00")


def test_the_summary_counts_and_names_what_is_left() -> None:
    residue = Residue("disk x", "az disk delete --ids x")
    outcomes: list[Outcome] = [
        Built("a", (), 3.0),
        Failed("b", Stage.MOUNT, "no", "try", 4.0, (residue,)),
        Cancelled("c", None, 0.0),
    ]
    lines = summary(outcomes, {"b": Path("/log/b.log")}, 65.0)
    assert lines[0] == "built      a in 3.0s"
    assert "           log: /log/b.log" in lines
    assert lines[-2:] == [
        "  disk x\n    remove it with: az disk delete --ids x",
        "           1 built, 1 failed, 1 cancelled, 1 left behind in 1m05s",
    ]
