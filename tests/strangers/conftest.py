"""A place where programs made for the real Azure meet localarm: a network of its own, with Azure's names and addresses."""

from __future__ import annotations

import json
import os
import re
import shutil
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

NAMES = "localhost management.azure.com login.microsoftonline.com login.windows.net"
PREPARE = """
set -e
ip link set lo up
ip address add 169.254.169.254/32 dev lo
mount --bind "$1" /etc/hosts
mount -t tmpfs none /mnt
shift
exec "$@"
"""
PATIENCE = 60
"""Seconds to wait while other tests on this machine own the device names."""
VM = "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute"


@dataclass(frozen=True)
class Ended:
    """How a program ended; `out` has both its streams."""

    status: int
    out: str


class Place:
    """A running localarm that owns 169.254.169.254 and Azure's host names, in namespaces that only its guests share.

    The namespaces live as long as the server, so nothing of them can be left behind.
    """

    def __init__(self, folder: Path, server: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.state = folder / "cloud"
        self._server = server

    def run(self, *argv: str, timeout: float = 110) -> Ended:
        """Run a program there, for at most `timeout` seconds."""
        enter = ["nsenter", "--target", str(self._server.pid), "--net", "--mount"]
        # To be entered from inside: a directory opened outside the namespace has no path there, which Packer needs.
        enter += ["sh", "-c", 'cd "$0" && exec "$@"', str(self.folder)]
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder),
            "SSL_CERT_FILE": str(self.state / "tls/ca.pem"), "CHECKPOINT_DISABLE": "1",
            "PACKER_CACHE_DIR": str(self.folder / "packer-cache"),
        }  # fmt: skip
        env |= {
            name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
        }  # this gilder, not an installed one
        done = subprocess.run(
            [*enter, *argv],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout)

    def packer(self, template: str) -> Ended:
        return self.run("packer", "build", "-color=false", template)

    def gilder(self, template: str, **variables: str) -> Ended:
        where = ["--log-dir", str(self.folder / "logs"), "--journal", str(self.folder / "journal.sqlite")]
        environment = [f"{name}={value}" for name, value in variables.items()]
        build = ["-m", "gilder", "build", "--progress", "plain", *where, template]
        return self.run("env", *environment, sys.executable, *build)

    def template(self, *names: str, **options: str) -> str:
        """A Packer template with a builder for each name, all from the same source and with the same `options`."""
        builders = [
            {
                "name": name,
                "type": "azure-chroot",
                "source": "localarm:busybox:1:latest",
                "image_hyperv_generation": "V2",
                "image_resource_id": f"{VM}/images/{name}-image",
                "temporary_os_disk_id": f"{VM}/disks/{name}-disk",
                **options,
            }
            for name in names
        ]
        shell = {"type": "shell", "inline": ["echo made by $PACKER_BUILD_NAME > /root/mark"]}
        file = self.folder / "template.json"
        file.write_text(json.dumps({"builders": builders, "provisioners": [shell]}))
        return str(file)

    def asked(self, about: str) -> list[Any]:
        """What localarm noted: `audit` (every request) or `violations`."""
        script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        ended = self.run(sys.executable, "-c", script, f"https://localhost/_localarm/{about}")
        assert ended.status == 0, ended.out
        found: list[Any] = json.loads(ended.out)["value"]
        return found

    def localarm(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "localarm", *arguments, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def inventory(self) -> dict[str, int]:
        """What the cloud holds, by kind."""
        found = re.findall(r"^\s+(\d+) (\w+)$", self.localarm("status"), re.MULTILINE)
        return {kind: int(count) for count, kind in found}

    def file_in(self, image: str, name: str) -> str:
        """The text of a file in the first partition of an image."""
        raw = self.folder / f"{image}.raw"
        self.localarm("export", image, str(raw))
        inside = f"{raw}?offset={1 << 20}"
        done = subprocess.run(["debugfs", "-R", f"cat {name}", inside], capture_output=True, text=True, check=True)
        raw.unlink()
        return done.stdout


@contextmanager
def opened(folder: Path, *options: str) -> Iterator[Place]:
    """localarm in namespaces of its own, on Azure's addresses and ports."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 {NAMES}\n")
    serve = [sys.executable, "-m", "localarm", "serve", f"--state={folder / 'cloud'}", "--port=443", *options]
    serve += ["--metadata-host=169.254.169.254", "--metadata-port=80"]
    command = ["unshare", "--net", "--mount", "sh", "-c", PREPARE, "sh", str(hosts), *serve]
    with (folder / "serve.log").open("w+b") as log:
        deadline = time.monotonic() + PATIENCE
        while not _is_ready(server := subprocess.Popen(command, stdout=log, stderr=log), folder / "serve.log"):
            text = (folder / "serve.log").read_text()
            assert "owns /dev/disk/azure" in text, text
            assert time.monotonic() < deadline, text
            time.sleep(1)
        try:
            yield Place(folder, server)
        finally:
            server.terminate()
            server.wait(20)


def _is_ready(server: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait until the server is ready (True) or has ended (False)."""
    while server.poll() is None:
        if " ready: " in log.read_text():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="session")
def packer() -> str:
    """The version of Packer on this machine: the last line with azure-chroot built in is 1.6."""
    if shutil.which("packer") is None:
        pytest.skip("needs Debian's package packer")
    text = subprocess.run(
        ["packer", "version"], env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if not text.startswith("Packer v1.6."):
        pytest.skip(f"needs Packer 1.6, which has azure-chroot built in; this is {text.strip()}")
    return text.strip()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short path: Packer makes sockets in it."""
    with tempfile.TemporaryDirectory(prefix="strangers-") as made:
        yield Path(made)
