"""Many images on one VM against the physical bound of docs/architecture.md, and against Packer.

`python -m benchmarks.matrix --builds N [--slots 32|64] [--latency median|recorded] [--gallery] [--peer packer]`, as root.

Builds N images from the busybox source in one run on the embedded cloud, with the durations of recorded Azure operations
and its throttling on. The inputs of the bound come from the latency profile and from solo runs, never from the run being
measured; all are printed, so that anybody can compute it again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localarm.latency import figures

SIZES = {32: "Standard_D32s_v5", 64: "Standard_D32s_v6"}
GROUP = "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute"
_STAGE = re.compile(r"--- (?P<stage>.+) took (?P<seconds>[0-9.]+) s$")
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


@dataclass(frozen=True)
class Inputs:
    """What the bound is computed from, in seconds: medians of the latency profile, and a solo run without latency."""

    create: float
    attach: float
    detach: float
    snapshot: float
    publish: float
    delete: float
    local: float
    cpu: float
    publish_bucket: int
    publish_refill: float
    """Publications a second that the service allows once the bucket is used up."""


def bound(builds: int, slots: int, cores: int, i: Inputs) -> dict[str, float]:
    """The lower bounds of docs/architecture.md by name, in seconds; the largest counts."""
    head, tail = i.create + i.attach, max(i.snapshot + i.publish, i.detach) + i.delete
    in_slot = i.attach + i.local + i.detach
    rounds = math.ceil(builds / slots)
    earliest = head + i.local + i.snapshot
    return {
        "one build": head + i.local + tail,
        "cores": head + builds * i.cpu / cores + tail,
        "slots": i.create + max(builds * in_slot / slots, rounds * in_slot) + i.delete,
        "writes": i.create + (rounds + 1) * min(i.attach, i.detach) + i.delete,
        "publications": earliest + max(0, builds - i.publish_bucket) / i.publish_refill + i.publish + i.delete,
    }


def profile(gallery: bool, local: float, cpu: float) -> Inputs:
    """The inputs from the medians of the latency profile."""
    durations, trips = figures()["durations"], figures()["round_trips"]

    def seconds(kind: str) -> float:
        return float(durations[kind]["quantiles"][10])

    def trip(request: str) -> float:
        return float(trips[request][1]) / 1000

    publish = "version.create.snapshot.1" if gallery else "image.create.snapshot"
    return Inputs(
        create=trip("PUT disks") + seconds("disk.create.platform"),
        attach=trip("PUT virtualmachines") + seconds("vm.attachdetach.attach"),
        detach=trip("PUT virtualmachines") + seconds("vm.attachdetach.detach"),
        snapshot=trip("PUT snapshots") + seconds("snapshot.create.full"),
        publish=trip("PUT images") + seconds(publish),
        delete=trip("DELETE disks") + seconds("disk.delete"),
        local=local,
        cpu=cpu,
        publish_bucket=375 if gallery else 60,
        publish_refill=375 / 180 if gallery else 20 / 60,
    )


class Cloud:
    """The embedded cloud with a state of its own, for as long as a block lasts."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.folder = folder
        self._addresses = addresses

    def noted(self, about: str) -> list[Any]:
        """What the cloud noted: its `audit` or `violations`."""
        context = ssl.create_default_context(cafile=self._addresses["ca_file"])
        url = f"{self._addresses['resource_manager']}/_localarm/{about}"
        with urllib.request.urlopen(url, context=context) as answer:
            found: list[Any] = json.load(answer)["value"]
            return found

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

    def local_seconds(self) -> float:
        """How long the local work of the newest run's first image took."""
        log = max(self.folder.glob("logs/*/*.log"), key=lambda file: file.stat().st_mtime)
        stages = [match for line in log.read_text().splitlines() if (match := _STAGE.search(line))]
        return sum(float(match["seconds"]) for match in stages if match["stage"] in LOCAL)


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
            "image_resource_id": f"{GROUP}/images/{name}",
        }
        for name in names
    ]
    if gallery:
        sys.exit("error: --gallery needs a gallery on the embedded cloud, which this benchmark cannot make yet")
    return {
        "builders": builders,
        "provisioners": [{"type": "shell", "inline": ["echo $PACKER_BUILD_NAME > /etc/mark"]}],
    }


def solo() -> tuple[float, float]:
    """Local seconds of one image alone, and the CPU seconds of the programs that one image more takes; no latency.

    The CPU seconds are those of a run with two images less those of a run with one: what is started once is not counted.
    """
    with cloud() as place:
        place.build(["warm"], gallery=False)
        _, one = place.build(["solo"], gallery=False)
        local = place.local_seconds()
        _, two = place.build(["first", "second"], gallery=False)
        return local, max(0.0, two["started"] - one["started"])


def packer_seconds(names: list[str], latency: str, size: str) -> float:
    """Wall seconds of real Packer for the same images, one at a time (in parallel it fails)."""
    from tests.strangers.conftest import opened

    options = ("--latency", latency, "--throttle", "on", "--vm-size", size)
    with tempfile.TemporaryDirectory(prefix="peer-") as name, opened(Path(name), *options) as place:
        template = Path(name) / "template.json"
        template.write_text(json.dumps(matrix_template(names, gallery=False)))
        start = time.perf_counter()
        ended = place.run("packer", "build", "-color=false", "-parallel-builds=1", str(template), timeout=7200)
        if ended.status:
            sys.exit(f"error: Packer failed\n{ended.out[-3000:]}")
        return time.perf_counter() - start


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one comparison."""
    names = [f"image{number:03}" for number in range(options.builds)]
    size, cores = SIZES[options.slots], os.cpu_count() or 1
    inputs = profile(options.gallery, *solo())
    with cloud("--latency", options.latency, "--throttle", "on", "--vm-size", size) as place:
        wall, used = place.build(names, options.gallery)
        audit = place.noted("audit")
        if violations := place.noted("violations"):
            sys.exit(f"error: the cloud saw violations: {violations[:3]}")
    writes = sum("attachDetachDataDisks" in str(request) for request in audit)
    bounds = bound(options.builds, options.slots, cores, inputs)
    figures_of_run: dict[str, Any] = {
        "builds": options.builds,
        "slots": options.slots,
        "cores": cores,
        "latency": options.latency,
        "wall_s": round(wall, 2),
        "bound_s": round(max(bounds.values()), 2),
        "ratio_to_bound": round(wall / max(bounds.values()), 3),
        "vm_writes": writes,
        "api_calls_per_image": round(len(audit) / options.builds, 1),
        "gilder_cpu_s": round(used["own"], 2),
        "programs_cpu_s": round(used["started"], 2),
        "bounds": {name: round(value, 2) for name, value in bounds.items()},
        "inputs": asdict(inputs),
    }
    if options.peer == "packer":
        if shutil.which("packer") is None:
            sys.exit("error: --peer packer needs Debian's package packer")
        peer = packer_seconds(names, options.latency, size)
        figures_of_run |= {"packer_s": round(peer, 2), "speedup": round(peer / wall, 2)}
    return figures_of_run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__.split("\n")[0])
    parser.add_argument("--builds", type=int, default=16)
    parser.add_argument("--slots", type=int, choices=sorted(SIZES), help="data disks of the VM (default: 32, or 64)")
    parser.add_argument("--latency", choices=["median", "recorded"], default="median")
    parser.add_argument("--gallery", action="store_true", help="publish gallery image versions")
    parser.add_argument("--peer", choices=["packer"], help="build the same with Packer, one image at a time")
    options = parser.parse_args()
    options.slots = options.slots or (32 if options.builds <= 32 else 64)
    if os.geteuid() != 0:
        sys.exit("error: the builds need root")
    figures_of_run = measured(options)
    for key, value in figures_of_run.items():
        print(f"{key:22} {value}")
    print(json.dumps(figures_of_run))


if __name__ == "__main__":
    main()
