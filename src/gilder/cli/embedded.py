"""The embedded cloud: localarm, found through its program, never imported."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from gilder.model.errors import Refused

_AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""The chassis asset tag of every Azure VM (learn.microsoft.com; also used by cloud-init)."""

_STARTING = 60.0
"""Seconds for the embedded cloud to come up."""


@dataclass(frozen=True, slots=True)
class EmbeddedCloud:
    """Where the embedded cloud listens."""

    metadata_url: str
    metadata_host: str
    ca_file: Path
    applications: tuple[str, ...] = ()
    """The client ids that it knows."""


def _echo(text: str) -> None:
    click.echo(text, err=True)


@dataclass(slots=True)
class Lease:
    """The embedded cloud lives while somebody holds a lease. What it says goes to `tell`, from a thread of its own."""

    process: subprocess.Popen[str]
    tell: Callable[[str], None] = _echo
    found: EmbeddedCloud | None = None

    def hear(self) -> None:
        """Pass on what the embedded cloud says, until it has ended."""
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            for line in pipe:
                self.tell(line.rstrip("\n"))

    @contextmanager
    def heard_by(self, tell: Callable[[str], None]) -> Iterator[None]:
        """What it says goes to `tell` while inside."""
        before, self.tell = self.tell, tell
        try:
            yield
        finally:
            self.tell = before

    def cloud(self) -> EmbeddedCloud:
        """Wait until it is up; raises Refused if it does not come up."""
        if self.found is not None:
            return self.found
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _STARTING)
        line = self.process.stdout.readline() if ready else ""
        try:
            told = json.loads(line)
            self.found = EmbeddedCloud(
                told["metadata_url"], told["metadata_host"], Path(told["ca_file"]), tuple(told.get("applications", ()))
            )
        except (ValueError, KeyError):
            raise Refused(
                "the embedded cloud did not start", hint="see the message above; `localarm status` tells more"
            ) from None
        return self.found


def on_azure() -> bool:
    """Whether this machine is an Azure VM, as its firmware says, and not one that LOCALARM_ON_AZURE=1 takes for any other."""
    if os.environ.get("LOCALARM_ON_AZURE") == "1":
        return False
    try:
        return Path("/sys/class/dmi/id/chassis_asset_tag").read_text().strip() == _AZURE_ASSET_TAG
    except OSError:
        return False


@contextmanager
def leased(extra: tuple[str, ...] = ()) -> Iterator[Lease]:
    """Hold a lease on the embedded cloud while inside; it starts in the background at once."""
    if on_azure():
        raise Refused(
            "`--cloud local` is for machines outside Azure, and this is an Azure VM",
            hint="leave `--cloud local` out to build in Azure; where nothing else uses Azure (on a CI machine), "
            "LOCALARM_ON_AZURE=1 allows it",
        )
    # A session of its own: a Ctrl-C meant for gilder must not take the cloud away before the clean-up.
    # Its standard input is the lease: the kernel closes it when gilder dies, however it dies.
    process = subprocess.Popen(
        # -P: `-m` alone takes modules from the working directory first, and this runs as root.
        [sys.executable, "-P", "-m", "localarm", "lease", *extra],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lease = Lease(process)
    hearing = threading.Thread(target=lease.hear, daemon=True)
    hearing.start()
    try:
        yield lease
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()
        hearing.join()
