"""Thousands of images in virtual time, against the bound of docs/architecture.md.

`python -m benchmarks.scale [--builds 1000]`. gilder's engine, slots and client run against localarm in one process; local
work is pretended: lognormal, 30 s in the mean, a quarter of it CPU time on 8 cores. Gallery image versions on 64 LUNs, and
the same another night, when the journal knows the durations of the first; managed images on 32 LUNs; and a tenth of the
first, to see how cost grows. Each runs in a process of its own, whose CPU seconds and peak memory hold the cloud as well.
What gilder alone keeps of a finished build is measured apart, by tracing allocations. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from azure.mgmt.compute import models
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import GROUP, Place, image_spec, lognormal, placed, version_spec

from benchmarks.matrix import Inputs, profile
from gilder.model.outcomes import Built
from gilder.runtime.journal import Journal, TimingRecord
from localarm.settings import SUBSCRIPTION

CORES, CPU_SHARE, MEAN = 8, 0.25, 30.0


def bound(local: list[float], slots: int, i: Inputs) -> dict[str, float]:
    """The lower bounds by name, in seconds, for builds whose local times are `local`."""
    builds = len(local)
    head, tail = i.create + i.attach, max(i.snapshot + i.publish, i.detach) + i.delete
    in_slot = [i.attach + seconds + i.detach for seconds in local]
    rounds = math.ceil(builds / slots)
    return {
        "one build": head + max(local) + tail,
        "cores": head + sum(local) * CPU_SHARE / CORES + tail,
        "slots": i.create + max(sum(in_slot) / slots, rounds * min(in_slot)) + i.delete,
        "writes": i.create + (rounds + 1) * min(i.attach, i.detach) + i.delete,
        "publications": head
        + min(local)
        + i.snapshot
        + max(0, builds - i.publish_bucket) / i.publish_refill
        + i.publish
        + i.delete,
    }


async def gallery_made(place: Place) -> None:
    """A gallery with a definition for Linux."""
    client = place.arm.client(SUBSCRIPTION)
    gallery = models.Gallery(location="westeurope")
    await (await client.galleries.begin_create_or_update(GROUP, "gallery", gallery)).result()
    definition = models.GalleryImage(
        location="westeurope",
        properties=models.GalleryImageProperties(
            os_type="Linux",
            os_state="Generalized",
            hyper_v_generation="V2",
            identifier=models.GalleryImageIdentifier(publisher="p", offer="o", sku="s"),
        ),
    )
    await (await client.gallery_images.begin_create_or_update(GROUP, "gallery", "linux", definition)).result()


async def remembered(journal: Journal, timings: Sequence[TimingRecord]) -> None:
    """Have a journal know of an earlier night what its own journal knew."""
    for run in {timing.run for timing in timings}:
        await journal.run_started(f"earlier {run}", "vm", "")
    for run, build in {(timing.run, timing.build) for timing in timings}:
        await journal.build_started(f"earlier {run}", build)
        await journal.build_finished(f"earlier {run}", build, "built", "", "", [])
    await journal.timed([replace(timing, run=f"earlier {timing.run}") for timing in timings])


def measured(
    builds: int,
    slots: int,
    gallery: bool,
    earlier: Sequence[TimingRecord] = (),
    at_end: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Any], list[TimingRecord]]:
    """The figures of one run, and the timings that it leaves in its journal; `earlier` are those of another night.

    `at_end` is called when the builds are over and the world is still there.
    """
    seconds = lognormal(MEAN, seed=1)
    names = [f"image{number:05}" for number in range(builds)]

    async def main() -> tuple[float, int, list[TimingRecord]]:
        with tempfile.TemporaryDirectory() as folder:
            async with placed(Path(folder), slots) as place:
                place.seconds, place.cpu_share, place.cores = seconds, CPU_SHARE, CORES
                place.tell = lambda event: None
                if gallery:
                    await gallery_made(place)
                specs = [version_spec(n, i) if gallery else image_spec(n) for i, n in enumerate(names)]
                await remembered(place.journal, earlier)
                start = place.world.clock()
                outcomes = await place.build(specs)
                took = place.world.clock() - start
                at_end()
                assert all(isinstance(outcome, Built) for outcome in outcomes), outcomes
                assert not place.plugs.violations
                assert not place.left()
                return took, place.writes.writes, await place.journal.last_timings()

    cpu = time.process_time()
    (took, writes, timings), _ = in_virtual_time(main)
    cpu = time.process_time() - cpu
    return _figures([seconds(name) for name in names], slots, gallery, took, writes, cpu), timings


def _figures(local: list[float], slots: int, gallery: bool, took: float, writes: int, cpu: float) -> dict[str, Any]:
    inputs = profile(gallery, sum(local) / len(local), sum(local) * CPU_SHARE / len(local))
    bounds = bound(local, slots, inputs)
    return {
        "builds": len(local),
        "slots": slots,
        "gallery": gallery,
        "virtual_s": round(took, 1),
        "bound_s": round(max(bounds.values()), 1),
        "ratio_to_bound": round(took / max(bounds.values()), 3),
        "vm_writes": writes,
        "cpu_s": round(cpu, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "bounds": {name: round(value, 1) for name, value in bounds.items()},
        "inputs": asdict(inputs),
    }


def kept(builds: int) -> int:
    """Bytes that gilder's own code still holds after so many builds, before the run itself ends."""
    found = 0

    def look() -> None:
        nonlocal found
        gc.collect()
        for trace in tracemalloc.take_snapshot().traces:
            files = [frame.filename for frame in reversed(trace.traceback)]
            own = next((file for file in files if "/gilder/" in file or "/localarm/" in file), "")
            found += trace.size if "/gilder/" in own else 0

    tracemalloc.start(10)
    try:
        measured(builds, 64, gallery=True, at_end=look)
    finally:
        tracemalloc.stop()
    return found


def alone(what: Callable[..., Any], *args: Any) -> Any:
    """Call it in a process of its own, so that peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(what, *args).result()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--builds", type=int, default=1000)
    builds = parser.parse_args().builds
    tenth, _ = alone(measured, max(1, builds // 10), 64, True)
    first, timings = alone(measured, builds, 64, True)
    second, _ = alone(measured, builds, 64, True, timings)
    images, _ = alone(measured, builds, 32, False)
    runs = {"gallery_tenth": tenth, "gallery": first, "gallery_known": second, "images": images}
    few, many = max(1, builds // 10), max(2, builds // 4)
    per_build = (alone(kept, many) - alone(kept, few)) / (many - few)
    for name, figures in runs.items():
        print(name)
        for key, value in figures.items():
            print(f"  {key:18} {value}")
    print(f"gilder keeps {per_build / 1024:.1f} KiB of a finished build until the run ends")
    figures = {"cores": CORES, "local_mean_s": MEAN, "cpu_share": CPU_SHARE, "runs": runs}
    print(json.dumps(figures | {"kept_kib_per_build": round(per_build / 1024, 1)}))


if __name__ == "__main__":
    main()
