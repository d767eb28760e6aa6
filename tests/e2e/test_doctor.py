"""`gilder doctor` as its users start it: all good here, and with one thing broken at a time the right line is bad."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended, Program, builder
from tests.e2e.test_many import world

pytestmark = pytest.mark.root


def doctor(gilder: Program, *options: str, before: tuple[str, ...] = ()) -> Ended:
    """Run it; `before` are the words that come before its command."""
    where = ["--cloud", "local", "--cloud-state", str(gilder.state), "--log-dir", str(gilder.logs)]
    where += ["--journal", str(gilder.folder / "journal.sqlite")]
    return gilder.run([*before, sys.executable, "-m", "gilder", "doctor", *where, *options])


def verdicts(ended: Ended) -> dict[str, str]:
    """The verdict by subject."""
    return {
        subject: verdict for verdict, subject in re.findall(r"^(good|bad|unknown) +([^:]+):", ended.out, re.MULTILINE)
    }


def test_all_is_good_here(gilder: Program) -> None:
    ended = doctor(gilder, gilder.template([builder("tiny", grow_root=True)], []))
    assert ended.status == 0, ended.out + ended.err
    found = verdicts(ended)
    assert set(found.values()) == {"good"}
    assert list(found) == [
        "root", "programs", "kernel", "namespaces", "space for logs", "space for the embedded cloud", "journal", "template",
        "cloud", "metadata service", "token", "requests", "VM", "permissions on gilder-local", "build tiny",
    ]  # fmt: skip
    assert not (gilder.folder / "journal.sqlite").exists(), "checking makes nothing"
    assert not gilder.logs.exists()


def test_a_role_that_lacks_an_action_is_found_by_its_file(gilder: Program) -> None:
    role = gilder.folder / "role.json"
    scope = "/subscriptions/5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e"
    given = {
        "Name": "all but deleting",
        "Actions": ["*"],
        "NotActions": ["*/disks/delete"],
        "AssignableScopes": [scope],
    }
    role.write_text(json.dumps(given))
    with world(gilder, f"--role={role}"):
        ended = doctor(gilder)
    assert ended.status == 1
    assert verdicts(ended)["permissions on gilder-local"] == "bad"
    assert "Microsoft.Compute/disks/delete" in ended.out
    assert "az role assignment create --assignee" in ended.out


@dataclass(frozen=True)
class Broken:
    """What is broken by which words before the command, by which fault of the cloud, or by which file of the user."""

    subject: str
    before: tuple[str, ...] = ()
    fault: str = ""
    journal: str = ""
    template: str = ""


def script(lines: str) -> tuple[str, ...]:
    """Words that run a command in a mount namespace that these lines changed."""
    return ("unshare", "--mount", "sh", "-ec", f'{lines}; exec "$@"', "sh")


CASES = [
    Broken("root", ("unshare", "--user", "--map-user=1000")),
    Broken("programs", script("mount --bind $FOLDER/file $(command -v partx)")),
    Broken("kernel", script("mount --bind $FOLDER/file /proc/filesystems; PATH=$FOLDER/bin")),
    Broken("namespaces", ("setpriv", "--bounding-set=-sys_admin")),
    Broken("namespaces", (sys.executable, str(Path(__file__).with_name("mountless.py")))),
    Broken("space for logs", script("mkdir $FOLDER/logs; mount -t tmpfs -o size=1m none $FOLDER/logs")),
    Broken("space for the journal", script("mount -t tmpfs -o size=1m none $FOLDER; touch $FOLDER/journal.sqlite")),
    Broken("journal", journal="no database"),
    Broken("template", template="{}"),
    Broken("cloud", fault='{"what": "refuse", "kind": "metadata/endpoints", "times": 99}'),
    Broken(
        "metadata service", fault='{"what": "refuse", "kind": "metadata/instance/compute", "status": 404, "times": 99}'
    ),
    Broken("VM", fault='{"what": "refuse", "kind": "skus", "status": 403, "times": 99}'),
]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A cloud for all cases. Tests with one of their own come before: a machine plays one VM at a time."""
    program = Program(tmp_path_factory.mktemp("doctor"))
    with world(program):
        yield program


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.subject)
def test_what_is_broken_is_bad(
    everything: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Broken
) -> None:
    here = Program(tmp_path)
    here.state = everything.state
    (tmp_path / "file").write_text("")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("FOLDER", str(tmp_path))
    if case.journal:
        (tmp_path / "journal.sqlite").write_text(case.journal)
    options = []
    if case.template:
        (tmp_path / "template.json").write_text(case.template)
        options.append(str(tmp_path / "template.json"))
    if case.fault:
        everything.localarm("faults", "add", case.fault)
    try:
        ended = doctor(here, *options, before=case.before)
    finally:
        if case.fault:
            everything.localarm("faults", "clear")
    assert ended.status == 1, ended.out + ended.err
    assert verdicts(ended)[case.subject] == "bad", ended.out + ended.err
    assert "dmesg" not in ended.out, "the reason and not where there may be more"
