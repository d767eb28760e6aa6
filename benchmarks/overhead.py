"""What gilder itself costs: one busybox image on the embedded cloud without latency.

`python -m benchmarks.overhead [--runs N]`, as root. Prints the wall time of the whole `gilder build` process, of each
stage, the CPU seconds of gilder and of what it started, and the start-up of `gilder version` and `gilder validate`
(beside Packer's, where Packer is installed); the last line is everything as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEMPLATE = {
    "builders": [
        {
            "type": "azure-chroot",
            "name": "tiny",
            "source": "localarm:busybox:1:latest",
            "image_hyperv_generation": "V2",
            "image_resource_id": "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}"
            "/providers/Microsoft.Compute/images/tiny-{{uuid}}",
        }
    ],
    "provisioners": [{"type": "shell", "inline": ["echo built > /etc/mark"]}],
}
_STAGE = re.compile(r"--- (?P<stage>.+) (took|FAILED after) (?P<seconds>[0-9.]+) s$")


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all it waited for; raises CalledProcessError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stages(logs: Path) -> dict[str, float]:
    """The stage times of the newest run, from its log: seconds."""
    newest = max(logs.glob("*/tiny.log"), key=lambda file: file.stat().st_mtime)
    found: dict[str, float] = {}
    for line in newest.read_text().splitlines():
        if match := _STAGE.search(line):
            found[match["stage"]] = found.get(match["stage"], 0.0) + float(match["seconds"])
    return found


def medians(command: list[str], runs: int) -> tuple[float, float]:
    """Median wall and CPU seconds."""
    results = [timed(command) for _ in range(runs)]
    return statistics.median(wall for wall, _ in results), statistics.median(cpu for _, cpu in results)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default 5)")
    runs = parser.parse_args().runs
    if os.geteuid() != 0:
        sys.exit("error: the build needs root")
    gilder = [sys.executable, "-m", "gilder"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template = folder / "template.json"
        template.write_text(json.dumps(TEMPLATE))
        where = ["--cloud", "local", "--cloud-state", str(folder / "cloud"), "--log-dir", str(folder / "logs")]
        where += ["--journal", str(folder / "journal.sqlite")]
        build = [*gilder, "build", *where, str(template)]
        first, _ = timed(build)
        wall, cpu = medians(build, runs)
        per_stage = stages(folder / "logs")
        version, _ = medians([*gilder, "version"], runs)
        validate, _ = medians([*gilder, "validate", str(template)], runs)
    figures: dict[str, object] = {
        "runs": runs,
        "cores": os.cpu_count(),
        "first_build_wall_s": round(first, 3),
        "build_wall_s": round(wall, 3),
        "build_cpu_s": round(cpu, 3),
        "stages_s": per_stage,
        "version_s": round(version, 3),
        "validate_s": round(validate, 3),
    }
    if packer := shutil.which("packer"):
        figures["packer_version_s"] = round(medians([packer, "version"], runs)[0], 3)
    for key, value in figures.items():
        if isinstance(value, dict):
            for stage, seconds in value.items():
                print(f"  {stage:36} {seconds:.3f} s")
        else:
            print(f"{key:36} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
