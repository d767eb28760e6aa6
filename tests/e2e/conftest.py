"""gilder as its users start it: the real program, on the embedded cloud, with real devices."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

IMAGE = (
    "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute/images/"
)


def builder(name: str, **options: Any) -> dict[str, Any]:
    """A builder that makes the image NAME-image from the busybox source."""
    return {
        "name": name,
        "type": "azure-chroot",
        "source": "localarm:busybox:1:latest",
        "image_hyperv_generation": "V2",
        "image_resource_id": f"{IMAGE}{name}-image",
    } | options


def shell(*lines: str, **options: Any) -> dict[str, Any]:
    """A shell provisioner."""
    return {"type": "shell", "inline": list(lines)} | options


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


class Program:
    """gilder with an embedded cloud of its own, whose state is in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "cloud"
        self.logs = folder / "logs"

    def template(self, builders: list[dict[str, Any]], provisioners: list[dict[str, Any]], **more: Any) -> str:
        file = self.folder / "template.json"
        file.write_text(json.dumps({"builders": builders, "provisioners": provisioners} | more, indent=1))
        return str(file)

    def build_command(self, template: str, *options: str) -> list[str]:
        where = ["--cloud", "local", "--cloud-state", str(self.state), "--log-dir", str(self.logs)]
        where += ["--journal", str(self.folder / "journal.sqlite")]
        return [sys.executable, "-m", "gilder", "build", *where, *options, template]

    def build(self, builders: list[dict[str, Any]], provisioners: list[dict[str, Any]], *options: str) -> Ended:
        return self.run(self.build_command(self.template(builders, provisioners), *options))

    def run(self, command: list[str], timeout: float = 100) -> Ended:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    def build_until(self, line: str, number: signal.Signals, template: str, *options: str) -> Ended:
        """Start a build, send a signal when `line` appears among its progress, and wait for its end."""
        with subprocess.Popen(
            self.build_command(template, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            seen = []
            for text in process.stderr:
                seen.append(text)
                if line in text:
                    process.send_signal(number)
                    break
            seen.append(process.stderr.read())
            out = process.stdout.read()
            return Ended(process.wait(60), out, "".join(seen))

    def localarm(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "localarm", *arguments, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def inventory(self) -> dict[str, int]:
        """What the cloud holds, by kind."""
        found = re.findall(r"^\s+(\d+) (\w+)$", self.localarm("status"), re.MULTILINE)
        return {kind: int(count) for count, kind in found}

    def images(self) -> list[str]:
        """The names of the images that were built."""
        return [line.split()[1] for line in self.localarm("images").splitlines() if line.startswith("images")]

    @contextmanager
    def mounted(self, image: str, options: str = "ro,noload") -> Iterator[Path]:
        """The root filesystem of an image, or by its full id of a gallery version; read-only."""
        raw = self.folder / f"{image.replace('/', '-')}.raw"
        self.localarm("export", image, str(raw))
        loop = _output("losetup", "--find", "--show", "--read-only", str(raw))
        try:
            _output("partx", "--add", loop)
            with tempfile.TemporaryDirectory(dir=self.folder) as at:
                # noload: a journal that needs replay would be a filesystem that was not cleanly unmounted
                _output("mount", "-o", options, f"{loop}p1", at)
                try:
                    yield Path(at)
                finally:
                    _output("umount", at)
        finally:
            _output("partx", "--delete", loop)
            _output("losetup", "--detach", loop)
            raw.unlink()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def traces(folder: Path) -> list[str]:
    """What on this machine belongs to a test in `folder`: loop devices, mounts, processes, device names."""
    loops = _output("losetup", "--list", "--noheadings", "-O", "NAME,BACK-FILE").splitlines()
    found = [line for line in loops if str(folder) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mounts = (process / "mounts").read_text(errors="replace")
        except OSError:
            continue
        if process.name != str(os.getpid()) and str(folder) in command:
            found.append(f"process {process.name}: {command}")
        if "packer-amazon-chroot-volumes" in mounts:
            found.append(f"mounts seen by process {process.name}: {command}")
    names = Path("/dev/disk/azure")
    return found + [str(link) for link in names.glob("*/*")]


def traces_soon(folder: Path, *, cloud: bool = True) -> list[str]:
    """What is left after processes had ten seconds to end; without `cloud`, the embedded cloud does not count."""
    deadline = time.monotonic() + 10
    while found := [trace for trace in traces(folder) if cloud or "localarm" not in trace]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


@pytest.fixture
def gilder(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    yield program
    # The embedded cloud ends a moment after its last client.
    assert traces_soon(tmp_path) == []
    assert not (tmp_path / "cloud").exists() or program.inventory()["disks"] == 1, "only the build host's own disk"
    assert "snapshots" not in (program.inventory() if (tmp_path / "cloud").exists() else {})
