"""Real ground for sweeps: one embedded cloud with real devices, and what of it, of this machine and of gilder is left."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.cloud import Cloud
from tests.e2e.conftest import Ended, Program
from tests.e2e.test_many import world

from localarm.blobs import BlobStore
from localarm.resources import Resource
from localarm.state import SqliteState

LINKS = Path("/dev/disk/azure")
PATIENCE = 10.0
"""Seconds that the kernel may take to fetch what was killed."""

DEFINITION = "swept"
"""The gallery image definition that each ground has."""
PRODUCTS = ("images", "galleries/images/versions")

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans of children become children, so that none gets out of sight."""


@dataclass(frozen=True)
class Sight:
    """What can be seen from here, apart from what builds are there to make: each thing as a line."""

    things: frozenset[str]

    def more_than(self, before: Sight) -> list[str]:
        """What is here and was not, or was and is not."""
        new = [f"left: {thing}" for thing in sorted(self.things - before.things)]
        return new + [f"lost: {thing}" for thing in sorted(before.things - self.things)]


@dataclass
class Ground:
    """A cloud for many runs of gilder, which use names of their own."""

    program: Program
    known: set[int] = field(default_factory=set)
    """The processes below this one that are no run's."""
    runs: int = 0
    journals: Path | None = None
    """Where the journals are, if not in the folder of the ground."""

    def next(self) -> None:
        """Have a new journal from now on, so that what one cell left in it is not held against the next."""
        self.runs += 1

    @property
    def temporary(self) -> Path:
        """The $TMPDIR of what runs here."""
        return self.folder / "tmp"

    @property
    def journal(self) -> Path:
        return (self.journals or self.folder) / f"journal-{self.runs}.sqlite"

    @property
    def folder(self) -> Path:
        return self.program.folder

    def gilder(self, *arguments: str, timeout: float = 90.0) -> Ended:
        """Run gilder here, with the cloud and the journal of this ground."""
        return self.run([sys.executable, "-m", "gilder", *arguments], timeout=timeout)

    def run(self, command: list[str], *, timeout: float = 90.0, env: dict[str, str] | None = None) -> Ended:
        """Run a program to its end; status 124 after `timeout` seconds, when it is killed."""
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**(env or os.environ), "TMPDIR": str(self.temporary)},
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                return Ended(124, out, f"{err}\nit did not end within {timeout:g} s")
            return Ended(process.returncode, out, err)

    @property
    def where(self) -> list[str]:
        """The options that lead here."""
        cloud = ["--cloud", "local", "--cloud-state", str(self.program.state)]
        return [*cloud, "--journal", str(self.journal)]

    # What is to be seen

    def resources(self) -> list[Resource]:
        """All that the cloud has."""
        state = SqliteState(self.program.state / "world.sqlite", read_only=True)
        try:
            return state.load()[0]
        finally:
            state.close()

    def sins(self) -> list[str]:
        """What gilder did that harms on Azure, as the cloud has noted it."""
        state = SqliteState(self.program.state / "world.sqlite", read_only=True)
        try:
            return [json.dumps(sin) for sin in state.load()[2]]
        finally:
            state.close()

    def products(self) -> dict[str, Resource]:
        """What builds are there to make: the managed images and gallery image versions by name."""
        return {resource.name: resource for resource in self.resources() if resource.kind in PRODUCTS}

    def disk_file(self, image: Resource) -> Path:
        """The raw OS disk of an image."""
        return BlobStore(self.program.state / "blobs").path(image.hidden["blobs"]["os"])

    def sight(self) -> Sight:
        """Look around, once."""
        things = [f"{r.kind} {r.name}" for r in self.resources() if r.kind not in PRODUCTS]
        for machine in (r for r in self.resources() if r.kind == "virtualmachines"):
            disks = machine.properties["storageProfile"].get("dataDisks", [])
            things += [f"attachment of {disk['name']} to {machine.name} at LUN {disk['lun']}" for disk in disks]
        things += [f"temporary file {file.name}" for file in self.temporary.iterdir()]
        return Sight(frozenset([*things, *self._devices(), *self._mounts(), *self._strays()]))

    def sight_again(self, before: Sight, patience: float = PATIENCE) -> list[str]:
        """What differs from `before` once processes had a while to end."""
        deadline = time.monotonic() + patience
        while (differs := self.sight().more_than(before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return differs

    def _devices(self) -> list[str]:
        loops = subprocess.run(
            ["losetup", "--list", "--noheadings", "-O", "NAME,BACK-FILE"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        found = [f"loop device {' '.join(line.split())}" for line in loops if str(self.folder) in line]
        return found + [f"device name {link}" for link in LINKS.glob("**/*") if link.is_symlink()]

    def _mounts(self) -> list[str]:
        """Of this namespace; those of others need a process that is in them."""
        lines = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        ours = ("/mnt/packer-amazon-chroot-volumes", str(self.folder))
        return [f"mount at {fields[4]}" for fields in lines if fields[4].startswith(ours)]

    def _strays(self) -> list[str]:
        return [f"process {_command(pid)}" for pid in below(os.getpid()) - self.known]


def below(root: int) -> set[int]:
    """The processes that descend from one and live; its own dead children are fetched."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            state, parent = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == root:
                os.waitpid(int(process.name), os.WNOHANG)
            elif state not in "ZX":
                parents[int(process.name)] = int(parent)
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{pid}: {words[:200]}"
    except OSError:
        return f"{pid}: ended just now"


@contextmanager
def orphans_adopted() -> Iterator[None]:
    """Be the parent of every orphan of a child while inside."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SUBREAPER, 0, 0, 0, 0)


@contextmanager
def ground(folder: Path, *options: str) -> Iterator[Ground]:
    """A cloud of its own in `folder`, there while inside; what a run left running is ended with it."""
    program = Program(folder)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    with orphans_adopted():
        before = below(os.getpid())
        with world(program, *options) as facts:
            Cloud(facts).definition(DEFINITION)
            place = Ground(program, below(os.getpid()))
            try:
                yield place
            finally:
                for stray in below(os.getpid()) - place.known:
                    with suppress(ProcessLookupError):
                        os.kill(stray, signal.SIGKILL)
        # The cloud ends a moment after its last client.
        deadline = time.monotonic() + PATIENCE
        while below(os.getpid()) - before and time.monotonic() < deadline:
            time.sleep(0.02)
