"""The embedded cloud for benchmarks: with a state of its own, a gallery where wanted, and gilder building on it."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localarm.settings import SUBSCRIPTION

API = {"disks": "2024-03-02", "snapshots": "2024-03-02", "galleries": "2024-03-03"}
"""api-versions by type; of the other types it is that of machines."""

SIZES = {32: "Standard_D32s_v5", 64: "Standard_D32s_v6"}
"""Sizes of VMs by the data disks that they take."""
GROUP = "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute"
GALLERY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/gilder-local/providers/Microsoft.Compute/galleries/benchmark"
LOCATION = "westeurope"
_STAGE = re.compile(r"--- (?P<stage>.+) (took|FAILED after) (?P<seconds>[0-9.]+) s$")
LOCAL = (
    "mounting",
    "preparing the chroot",
    "provisioning",
    "putting the chroot back in order",
    "unmounting",
)
"""The stages of local work."""

ENDED_BY = """
import atexit, json, resource, sys
file = sys.argv.pop(1)
def tell():
    own, started = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"own": own.ru_utime + own.ru_stime, "started": started.ru_utime + started.ru_stime}
    open(file, "w").write(json.dumps(figures))
atexit.register(tell)
from gilder.cli import main
main()
"""
"""Runs gilder and writes down the CPU seconds of gilder itself and of the programs that it started."""


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process, and of the programs that it started and that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


class Cloud:
    """The embedded cloud, for as long as a block lasts."""

    def __init__(self, folder: Path, addresses: dict[str, Any]) -> None:
        self.folder = folder
        self.addresses = addresses
        self._tls = ssl.create_default_context(cafile=addresses["ca_file"])

    def noted(self, about: str) -> list[Any]:
        """What the cloud noted: its `audit` or `violations`."""
        found: list[Any] = self._ask("GET", f"/_localarm/{about}")["value"]
        return found

    def cpu_s(self) -> float:
        """CPU seconds that it has taken itself."""
        return cpu_seconds(self.addresses["pid"])

    def with_gallery(self) -> None:
        """Make a gallery with a definition for images from the busybox source, and wait until both are there."""
        definition = {
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
            "identifier": {"publisher": "gilder", "offer": "benchmark", "sku": "busybox"},
        }  # fmt: skip
        for path, properties in ((GALLERY, {}), (f"{GALLERY}/images/busybox", definition)):
            self._ask("PUT", path, {"location": LOCATION, "properties": properties})
            while self._ask("GET", path)["properties"]["provisioningState"] != "Succeeded":
                time.sleep(0.05)

    def build(self, names: list[str], gallery: bool) -> tuple[float, dict[str, float]]:
        """Build these images; wall seconds, and CPU seconds of gilder itself and of what it started."""
        template, usage = self.folder / "template.json", self.folder / "usage.json"
        template.write_text(json.dumps(matrix_template(names, gallery)))
        where = ["--cloud-state", str(self.folder / "cloud"), "--journal", str(self.folder / "journal.sqlite")]
        command = [sys.executable, "-c", ENDED_BY, str(usage), "build", "--cloud", "local", *where]
        command += ["--log-dir", str(self.folder / "logs"), str(template)]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"error: the build failed\n{done.stdout}\n{done.stderr[-3000:]}")
        used: dict[str, float] = json.loads(usage.read_text())
        return wall, used

    def stages(self) -> dict[str, float]:
        """How long each stage of the newest run's first image took, in seconds."""
        log = max(self.folder.glob("logs/*/*.log"), key=lambda file: file.stat().st_mtime)
        found: dict[str, float] = {}
        for line in log.read_text().splitlines():
            if match := _STAGE.search(line):
                found[match["stage"]] = found.get(match["stage"], 0.0) + float(match["seconds"])
        return found

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.addresses['resource_manager']}{path}"
        headers = {"Content-Type": "application/json"}
        if not path.startswith("/_localarm/"):
            kind = path.rpartition("/providers/Microsoft.Compute/")[2].partition("/")[0]
            url += f"?api-version={API.get(kind, '2024-07-01')}"
            headers["Authorization"] = f"Bearer {self._token()}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls) as answer:
            return json.load(answer)

    def _token(self) -> str:
        query = "api-version=2018-02-01&resource=https://management.azure.com/"
        url = f"{self.addresses['metadata_url']}/metadata/identity/oauth2/token?{query}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata": "true"})) as answer:
            token: str = json.load(answer)["access_token"]
            return token


@contextmanager
def cloud(*options: str) -> Iterator[Cloud]:
    """A fresh embedded cloud: its token buckets are full."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name) / "cloud"
        command = [sys.executable, "-m", "localarm", "lease", "--state", str(state), *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lease:
            assert lease.stdin is not None
            assert lease.stdout is not None
            line = lease.stdout.readline()
            if not line:
                sys.exit("error: the embedded cloud did not start")
            try:
                yield Cloud(Path(name), json.loads(line))
            finally:
                lease.stdin.close()
                lease.wait(30)
                time.sleep(1)  # the server ends a moment after its last client


def matrix_template(names: list[str], gallery: bool) -> dict[str, Any]:
    """A template with a builder for each name."""
    builders = [
        {
            "name": name,
            "type": "azure-chroot",
            "source": "localarm:busybox:1:latest",
            "image_hyperv_generation": "V2",
            **_destination(name, number, gallery),
        }
        for number, name in enumerate(names)
    ]
    return {
        "builders": builders,
        "provisioners": [{"type": "shell", "inline": ["echo $PACKER_BUILD_NAME > /etc/mark"]}],
    }


def _destination(name: str, number: int, gallery: bool) -> dict[str, Any]:
    if not gallery:
        return {"image_resource_id": f"{GROUP}/images/{name}"}
    version = {"gallery_name": "benchmark", "image_name": "busybox", "image_version": f"1.0.{number}"}
    regions = [{"name": LOCATION, "replicas": 1, "storage_account_type": "standard_lrs"}]
    return {"shared_image_destination": {"resource_group": "gilder-local", **version, "target_regions": regions}}
