"""What gilder itself costs: busybox images on the embedded cloud without latency.

`python -m benchmarks.overhead [--runs N] [--images N]`, as root. Prints

- the CPU seconds of gilder for an image by stage, and those of the programs that the stage started, from images built one
  after the other in one process; the time between stages is told as such;
- wall time and CPU seconds of a whole `gilder build` process with one image;
- the start-up of `gilder version` and `gilder validate`, beside Packer's where it is installed (its `validate` has no
  azure-chroot template that it accepts outside of Azure, so it validates one with the builder `null`).

The last line is everything as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import anyio

from benchmarks.cloud import Cloud, cloud, matrix_template
from gilder.api import Event, Finished, RunOptions, StageFinished, StageStarted, connected, load, run
from gilder.azure.cloud import discovered_cloud
from gilder.model.outcomes import Built

BETWEEN = "between stages"
TOKENS = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
"""The variable by which azure-identity learns where to ask for tokens."""
NULL = {"builders": [{"type": "null", "communicator": "none"}]}


class Meter:
    """A sink that charges the CPU seconds since the last event to the stage that ran: gilder's own, and its programs'.

    Made for builds one after the other: then everything that happens between two events belongs to one image.
    """

    def __init__(self) -> None:
        self.own: dict[str, float] = defaultdict(float)
        self.programs: dict[str, float] = defaultdict(float)
        self.images = 0
        self._open: list[str] = []
        self._last = _cpu()

    def __call__(self, event: Event) -> None:
        now, stage = _cpu(), self._open[-1] if self._open else BETWEEN
        self.own[stage] += now[0] - self._last[0]
        self.programs[stage] += now[1] - self._last[1]
        match event:
            case StageStarted():
                self._open.append(str(event.stage))
            case StageFinished():
                self._open.remove(str(event.stage))
            case Finished():
                self.images += 1
            case _:
                pass
        self._last = _cpu()


def _cpu() -> tuple[float, float]:
    """CPU seconds of this process, and of the programs it started that have ended."""
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), programs.ru_utime + programs.ru_stime


def by_stage(images: int) -> dict[str, dict[str, float]]:
    """CPU seconds of one image by stage: gilder's, and those of its programs."""
    with cloud() as place:
        place.build(["warm"], gallery=False)
        os.environ[TOKENS] = place.addresses["metadata_url"]
        meter = anyio.run(_metered, place, images)
        del os.environ[TOKENS]  # the next cloud is another
    per_image = {"gilder_cpu_s": meter.own, "programs_cpu_s": meter.programs}
    return {
        key: {stage: round(seconds / meter.images, 4) for stage, seconds in spent.items()}
        for key, spent in per_image.items()
    }


async def _metered(place: Cloud, images: int) -> Meter:
    """Build that many images, one at a time, and meter them."""
    addresses = place.addresses
    found = await discovered_cloud(
        addresses["metadata_host"], instance_metadata=addresses["metadata_url"], ca_file=Path(addresses["ca_file"])
    )
    template = place.folder / "metered.json"
    template.write_text(json.dumps(matrix_template([f"image{number}" for number in range(images)], gallery=False)))
    async with connected(cloud=found) as vm:
        specs, meter = load(template, vm.facts), Meter()
        outcomes = await run(specs, vm, meter, RunOptions(parallel_builds=1), place.folder / "metered.sqlite")
    if not all(isinstance(outcome, Built) for outcome in outcomes):
        sys.exit(f"error: a build failed: {outcomes}")
    return meter


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed\n{done.stdout}{done.stderr[-3000:]}")
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def medians(command: list[str], runs: int) -> dict[str, float]:
    """Median wall and CPU seconds of a command."""
    results = [timed(command) for _ in range(runs)]
    wall, cpu = (statistics.median(values) for values in zip(*results, strict=True))
    return {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}


def start_up(folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """How long `version`, `validate` and a whole build take."""
    gilder, template, null = [sys.executable, "-m", "gilder"], folder / "template.json", folder / "null.json"
    null.write_text(json.dumps(NULL))
    found = {
        "gilder version": medians([*gilder, "version"], runs),
        "gilder validate": medians([*gilder, "validate", str(template)], runs),
    }
    if packer := shutil.which("packer"):
        os.environ["CHECKPOINT_DISABLE"] = "1"  # it would ask the network whether there is a newer one
        found["packer version"] = medians([packer, "version"], runs)
        found["packer validate"] = medians([packer, "validate", str(null)], runs)
    return found


def whole_builds(folder: Path, runs: int) -> dict[str, float]:
    """A `gilder build` of one image, the embedded cloud's start included."""
    template = folder / "template.json"
    image = "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute"
    builder = matrix_template(["tiny"], gallery=False)["builders"][0]
    builder["image_resource_id"] = f"{image}/images/tiny-{{{{uuid}}}}"
    template.write_text(json.dumps({"builders": [builder]}))
    where = ["--cloud", "local", "--cloud-state", str(folder / "cloud"), "--log-dir", str(folder / "logs")]
    where += ["--journal", str(folder / "journal.sqlite")]
    build = [sys.executable, "-m", "gilder", "build", *where, str(template)]
    timed(build)  # makes the platform image
    return medians(build, runs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--images", type=int, default=8, help="images that are metered by stage (default 8)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("error: the build needs root")
    load_before = os.getloadavg()[0]
    stages = by_stage(options.images)
    with tempfile.TemporaryDirectory() as name:
        build = whole_builds(Path(name), options.runs)
        commands = {"gilder build": build, **start_up(Path(name), options.runs)}
    totals = {key: round(sum(spent.values()), 4) for key, spent in stages.items()}
    figures = {
        "runs": options.runs,
        "images": options.images,
        "cores": os.cpu_count(),
        "load_before": round(load_before, 1),
        "commands": commands,
        "per_image": totals,
        "per_image_by_stage": stages,
    }
    print(f"{'command':36} {'wall':>8} {'CPU':>8}")
    for command, spent in commands.items():
        print(f"{command:36} {spent['wall_s']:8.3f} {spent['cpu_s']:8.3f}")
    print(f"\n{'CPU seconds of an image':36} {'gilder':>8} {'programs':>8}")
    own, programs = stages["gilder_cpu_s"], stages["programs_cpu_s"]
    for stage in sorted(own, key=lambda stage: -own[stage]):
        print(f"{stage:36} {own[stage]:8.4f} {programs[stage]:8.4f}")
    print(f"{'together':36} {totals['gilder_cpu_s']:8.4f} {totals['programs_cpu_s']:8.4f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
