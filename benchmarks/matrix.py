"""Many images on one VM against the physical bound of docs/architecture.md, and against Packer.

`python -m benchmarks.matrix --builds N [--slots 32|64] [--latency median|recorded] [--gallery] [--peer packer]`, as root.

Builds N images from the busybox source in one run on the embedded cloud, with the durations of recorded Azure operations,
`Retry-After` as recorded, and its throttling on. The inputs of the bound come from the latency profile and from solo runs,
never from the run being measured; all are printed, so that anybody can compute it again. The last line is one JSON object.

With `--latency recorded` every duration is drawn, so that no single figure is the bound: `bound_s` is the median of the
bounds of 200 drawn worlds, and `bound_deciles` says how far they lie apart.

With `--peer packer` the same images are then built by Packer, one at a time, in a world of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from benchmarks.bounds import Inputs, bound, drawn_bounds, profile
from benchmarks.cloud import LOCAL, SIZES, cloud
from benchmarks.peer import changes_vm, packer_figures

__all__ = ["Inputs", "bound", "profile"]


def solo() -> tuple[float, float]:
    """Local seconds of one image alone, and the CPU seconds of the programs that one image more takes; no latency.

    The CPU seconds are those of a run with two images less those of a run with one: what is started once is not counted.
    """
    with cloud() as place:
        place.build(["warm"], gallery=False)
        _, one = place.build(["solo"], gallery=False)
        local = sum(seconds for stage, seconds in place.stages().items() if stage in LOCAL)
        _, two = place.build(["first", "second"], gallery=False)
        return local, max(0.0, two["started"] - one["started"])


def bound_figures(options: argparse.Namespace, inputs: Inputs, cores: int) -> dict[str, Any]:
    """The bound, and what it is made of."""
    bounds = bound(options.builds, options.slots, cores, inputs)
    if options.latency == "median":
        return {"bound_s": round(max(bounds.values()), 2), "bounds": {n: round(v, 2) for n, v in bounds.items()}}
    deciles = drawn_bounds(options.builds, options.slots, cores, options.gallery, inputs)
    return {"bound_s": round(deciles[4], 2), "bound_deciles": [round(decile, 2) for decile in deciles]}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one comparison."""
    names = [f"image{number:03}" for number in range(options.builds)]
    size, cores = SIZES[options.slots], os.cpu_count() or 1
    load = os.getloadavg()[0]  # before the solo runs, which are load themselves
    inputs = profile(options.gallery, *solo())
    world = ["--latency", options.latency, "--seed", str(options.seed), "--throttle", "on", "--vm-size", size]
    with cloud(*world, "--concurrent-writes", options.concurrent_writes) as place:
        if options.gallery:
            place.with_gallery()
        before, cloud_cpu = len(place.noted("audit")), place.cpu_s()
        wall, used = place.build(names, options.gallery)
        cloud_cpu = place.cpu_s() - cloud_cpu
        audit = place.noted("audit")[before:]
        if violations := place.noted("violations"):
            sys.exit(f"error: the cloud saw violations: {violations[:3]}")
    limits = bound_figures(options, inputs, cores)
    figures: dict[str, Any] = {
        "builds": options.builds,
        "slots": options.slots,
        "cores": cores,
        "load_before": round(load, 1),
        "latency": options.latency,
        "gallery": options.gallery,
        "concurrent_writes": options.concurrent_writes,
        "wall_s": round(wall, 2),
        "bound_s": limits["bound_s"],
        "ratio_to_bound": round(wall / limits["bound_s"], 3),
        "vm_writes": sum(changes_vm(request) for request in audit),
        "api_calls_per_image": round(len(audit) / options.builds, 1),
        "throttled": sum(request["status"] == 429 for request in audit),
        "gilder_cpu_s": round(used["own"], 2),
        "programs_cpu_s": round(used["started"], 2),
        "localarm_cpu_s": round(cloud_cpu, 2),
        **limits,
        "inputs": {name: round(value, 4) for name, value in asdict(inputs).items()},
    }
    if options.peer == "packer":
        figures |= against_packer(names[: options.peer_builds or None], wall, size, options)
    return figures


def against_packer(names: list[str], wall: float, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Packer's figures and how many times faster gilder is; fewer builds than gilder made are scaled up, and that is said."""
    found = packer_figures(names, options.latency, size, options.concurrent_writes)
    if found["packer_images"] != len(names):
        return {**found, "speedup": None}  # nothing to compare with: Packer did not make the images
    scale = options.builds / len(names)
    extrapolated = {} if scale == 1 else {"packer_extrapolated_s": round(scale * found["packer_s"], 2)}
    return {**found, **extrapolated, "speedup": round(scale * found["packer_s"] / wall, 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--builds", type=int, default=16)
    parser.add_argument("--slots", type=int, choices=sorted(SIZES), help="data disks of the VM (default: 32, or 64)")
    parser.add_argument("--latency", choices=["median", "recorded"], default="median")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn with --latency recorded")
    parser.add_argument("--gallery", action="store_true", help="publish gallery image versions")
    parser.add_argument("--peer", choices=["packer"], help="build the same with Packer, one image at a time")
    parser.add_argument("--peer-builds", type=int, default=0, metavar="K", help="let it build K of them, and scale up")
    parser.add_argument(
        "--concurrent-writes",
        choices=["refuse", "preempt"],
        help="what a write to the VM meets while another runs, here and at Packer's (default: refuse; with --peer packer "
        "preempt, because Packer's own detach is refused otherwise and none of its builds makes an image)",
    )
    options = parser.parse_args()
    options.slots = options.slots or (32 if options.builds <= 32 else 64)
    options.concurrent_writes = options.concurrent_writes or ("preempt" if options.peer else "refuse")
    if os.geteuid() != 0:
        sys.exit("error: the builds need root")
    if options.peer and options.gallery:
        sys.exit("error: --peer packer makes managed images only: leave out --gallery")
    figures = measured(options)
    for key, value in figures.items():
        print(f"{key:22} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
