"""The format that Packer's tools read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gilder.cli.machine import MachineLines, artifact_text, machine_line
from gilder.cli.plain import spoken
from gilder.cli.summary import summary
from gilder.model.events import Finished, LeftBehind, OutputLine, Said, Stage
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome

IMAGE = ArmId.parse(
    "/subscriptions/00000000-0000-0000-0000-00000000000A/resourceGroups/G/providers/Microsoft.Compute/images/One"
)


def told(*events: OutputLine | Said | LeftBehind | Finished) -> list[str]:
    lines: list[str] = []
    sink = MachineLines(lines.append, lambda: 1600000000.9)
    for event in events:
        sink(event)
    return lines


def test_events_become_lines_of_the_user_interface() -> None:
    assert told(
        OutputLine(build="one", at=0, text="hi, there"),
        Said(build="one", at=0, text="now"),
        LeftBehind(build="one", at=0, what="disk", remedy="az disk delete"),
        Finished(build="one", at=0, status="built", seconds=3.012),
        Finished(build="two", at=0, status="failed", seconds=0.5, text="no\nway"),
    ) == [
        "1600000000,,ui,message,    one: hi%!(PACKER_COMMA) there",
        "1600000000,,ui,say,==> one: now",
        "1600000000,,ui,error,==> one: LEFT BEHIND: disk",
        "1600000000,,ui,error,==> one:   remove with: az disk delete",
        "1600000000,,ui,say,Build 'one' finished after 3 seconds 12 milliseconds.",
        "1600000000,,ui,error,Build 'two' errored after 500 milliseconds: no\\nway",
    ]


def test_the_summary_for_people_has_the_same_text_of_an_artifact() -> None:
    other = IMAGE.sibling("images", "Another")
    first, *told = summary([Built("one", (IMAGE, other), 1.0)], {}, 2.0)
    assert first == "built      one in 1.0s"
    assert "\n".join(line.strip() for line in told[:3]) + "\n" == artifact_text((IMAGE, other))
    assert told[1].endswith("/images/another"), "sorted, in small letters"


def test_results_name_errors_and_then_artifacts() -> None:
    lines: list[str] = []
    outcomes: list[Outcome] = [
        Built("one", (IMAGE,), 1.0),
        Failed("two", Stage.MOUNT, "no", None, 1.0),
        Cancelled("three", None, 0.0),
    ]
    MachineLines(lines.append, lambda: 5).results(outcomes, 2.0)
    id_ = "/subscriptions/00000000-0000-0000-0000-00000000000a/resourcegroups/g/providers/microsoft.compute/images/one"
    assert lines == [
        "5,,ui,say,\\n==> Wait completed after 2 seconds",
        "5,,error-count,2",
        "5,,ui,error,\\n==> Some builds didn't complete successfully and had errors:",
        "5,two,error,no",
        "5,,ui,error,--> two: no",
        "5,three,error,cancelled",
        "5,,ui,error,--> three: cancelled",
        "5,,ui,say,\\n==> Builds finished. The artifacts of successful builds are:",
        "5,one,artifact-count,1",
        "5,one,artifact,0,builder-id,azure.chroot",
        f"5,one,artifact,0,id,{id_}",
        f"5,one,artifact,0,string,Azure resources created:\\n{id_}\\n",
        "5,one,artifact,0,files-count,0",
        "5,one,artifact,0,end",
        f"5,,ui,say,--> one: Azure resources created:\\n{id_}\\n",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 microseconds"),
        (0.000001, "1 microsecond"),
        (0.021832, "21 milliseconds 832 microseconds"),
        (61, "1 minute 1 second"),
        (3600.5, "1 hour 500 milliseconds"),
        (7384.2, "2 hours 3 minutes"),
    ],
)
def test_durations_as_packer_says_them(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_packer_writes_the_same_format(tmp_path: Path) -> None:
    """The format of the real program: the same categories in the same order, the same escapes."""
    packer = "/usr/bin/packer"
    if not Path(packer).exists():
        pytest.skip("Debian's package `packer` is not installed")
    builders = [{"type": "null", "communicator": "none", "name": name} for name in ("one", "two")]
    shell = {"type": "shell-local", "inline": ["echo hi, there", "test $PACKER_BUILD_NAME = one"]}
    template = tmp_path / "t.json"
    template.write_text(json.dumps({"builders": builders, "provisioners": [shell]}))
    command = [packer, "build", "-machine-readable", str(template)]
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    theirs = [line for line in done.stdout.splitlines() if line]
    moment = theirs[0].partition(",")[0]
    assert machine_line(int(moment), "", "ui", "message", "    one: hi, there") in theirs

    lines: list[str] = []
    outcomes: list[Outcome] = [Built("one", (IMAGE,), 1.0), Failed("two", Stage.PROVISION, "status 1", None, 1.0)]
    MachineLines(lines.append).results(outcomes, 1.0)
    start = next(i for i, line in enumerate(theirs) if "Wait completed" in line)
    assert [_kind(line) for line in lines] == [_kind(line) for line in theirs[start:]]


def _kind(line: str) -> tuple[str, ...]:
    _, target, category, *arguments = line.split(",")
    first = arguments[:2] if category == "artifact" else arguments[:1] if category == "ui" else []
    return (target, category, *first)
