"""Post-processors: the manifest as Packer writes it, chains, and what a failure of one means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.template import peer

from gilder.build.manifest import Entry, add_entry, artifact_id
from gilder.model.errors import HostError
from gilder.model.ids import ArmId

SUB = "5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e"
RAW = {"z": '<&> é \u2028 \\ "', "a": "x"}


def entry(build: str = "web", run: str = "r1", **more: Any) -> Entry:
    values: dict[str, Any] = {"builder_type": "azure-chroot", "time": 7, "artifact_id": "x", "custom_data": None}
    return Entry(build=build, run=run, **values | more)


@pytest.mark.skipif(not peer.PACKER, reason="compares with the real Packer, which is not installed")
@pytest.mark.parametrize("options", [{"custom_data": RAW}, {"strip_time": True}])
def test_the_manifest_is_packers_to_the_byte(tmp_path: Path, options: dict[str, Any]) -> None:
    template = {
        "builders": [{"type": "null", "communicator": "none", "name": "a<b"}],
        "post-processors": [{"type": "manifest", "output": "theirs.json"} | options],
    }
    (tmp_path / "t.json").write_text(json.dumps(template))
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"}
    for _ in range(2):
        command = [str(peer.PACKER), "build", "t.json"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    theirs = (tmp_path / "theirs.json").read_bytes()
    for told in json.loads(theirs)["builds"]:
        run, time = told["packer_run_uuid"], told.get("build_time")
        data = options.get("custom_data")
        ours = entry("a<b", run, builder_type="null", time=time, artifact_id="Null", custom_data=data)
        add_entry(tmp_path / "ours.json", ours, fresh=False)
    assert (tmp_path / "ours.json").read_bytes() == theirs
    assert (tmp_path / "ours.json").stat().st_mode == (tmp_path / "theirs.json").stat().st_mode


def test_what_is_there_stays_unless_forced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "m.json"

    def names_after(build: str, run: str, fresh: bool) -> list[str]:
        add_entry(path, entry(build, run), fresh=fresh)
        return [one["name"] for one in json.loads(path.read_text())["builds"]]

    assert names_after("one", "r1", fresh=False) == ["one"]
    path.chmod(0o600)
    assert names_after("two", "r2", fresh=False) == ["one", "two"]
    assert names_after("three", "r3", fresh=True) == ["three"]
    assert names_after("four", "r3", fresh=True) == ["three", "four"], "the same run"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


WRITER = """
import anyio, sys
from pathlib import Path
from gilder.build.manifest import Entry, add_in_turn
from gilder.runtime.locks import KeyedLocks

async def main():
    turns = KeyedLocks(Path(sys.argv[2]))
    async with anyio.create_task_group() as group:
        for number in range(5):
            entry = Entry(f"{sys.argv[1]}-{number}", "azure-chroot", 1, "", "r", None)
            group.start_soon(lambda entry: add_in_turn(Path(sys.argv[3]), entry, turns, fresh=False), entry)

anyio.run(main)
"""


def test_many_builds_and_several_processes_lose_no_entry(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("m.json")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(n), str(tmp_path / "locks"), str(tmp_path / name)])
        for n, name in enumerate(("m.json", "link.json"))
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert (tmp_path / "link.json").is_symlink()
    names = {build["name"] for build in json.loads((tmp_path / "m.json").read_text())["builds"]}
    assert names == {f"{n}-{number}" for n in range(2) for number in range(5)}


@pytest.mark.parametrize("text", ["{", "[]", '{"builds": 3}', "\udcff"])
def test_a_file_that_is_no_manifest_is_not_touched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(HostError, match="is there and is no manifest"):
        add_entry(path, entry(), fresh=True)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_ids_are_small_and_sorted() -> None:
    ids = [ArmId.parse(f"/subscriptions/{SUB}/resourceGroups/G/providers/Microsoft.Compute/images/{n}") for n in "BA"]
    group = f"/subscriptions/{SUB}/resourcegroups/g/providers/microsoft.compute/images"
    assert artifact_id(ids) == f"{group}/a,{group}/b"
