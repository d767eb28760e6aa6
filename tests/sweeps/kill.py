"""Kill and interrupt: signals to the real program at every record of its journal, program it starts and request it sends.

After `kill -9` and a recovery, or after Ctrl-C alone, this machine and the cloud are as before, each image is finished or
not there, and the journal says which.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, get_args
from zlib import crc32

from tests.e2e.conftest import Ended, builder, shell
from tests.sweeps.doomed import Kind, Point, Side
from tests.sweeps.frame import Tally
from tests.sweeps.ground import DEFINITION, Ground, ground
from tests.sweeps.truth import MARK, unreadable, untrue

BOUND = 45.0
"""Seconds within which a recovery must end where the cloud takes no time."""

Say = Callable[[str], None]


def builders(names: Sequence[str]) -> list[dict[str, Any]]:
    """Builds that differ in what they start and make."""
    ways: list[dict[str, Any]] = [
        {},
        {"pre_mount_commands": ["sync {{.Device}}"], "post_mount_commands": ["sleep 0.05; true {{.MountPath}}"]},
        {"os_disk_size_gb": 2, "grow_root": True},
        {"os_disk_cache_type": "ReadWrite"},
    ]
    into = {name: {"shared_image_destination": version(number)} for name, number in versions(names).items()}
    return [builder(name, **ways[number % len(ways)], **into.get(name, {})) for number, name in enumerate(names)]


def versions(names: Sequence[str]) -> dict[str, str]:
    """The numbers of the gallery image versions that builds make beside their images: every second one."""
    return {name: f"1.0.{crc32(name.encode()) % 2**31}" for name in names[1::2]}


def version(number: str) -> dict[str, Any]:
    """Where a gallery image version is to be made."""
    place = {"resource_group": "{{vm `resource_group`}}", "gallery_name": "gallery", "image_name": DEFINITION}
    return place | {"image_version": number, "target_regions": [{"name": "westeurope"}]}


PROVISIONERS = [
    shell("sleep 600 >/dev/null 2>&1 &", f'echo "{MARK}" > /etc/mark'),
    {"type": "shell-local", "inline": ["sleep 0.05"]},
]


def points(place: Ground, builds: int) -> list[Point]:
    """Every point of a run of that many builds, by counting one that is not killed."""
    names = [f"counted-{builds}-{number}" for number in range(builds)]
    counts = place.folder / "counts"
    ended = _struck(place, f"count:{counts}", names)
    if ended.status != 0:
        raise AssertionError(f"the run without a kill failed:\n{ended.out}{ended.err}")
    return _counted(counts)


def _counted(counts: Path) -> list[Point]:
    seen = json.loads(counts.read_text())
    return [
        Point(kind, side, number)
        for kind in get_args(Kind)
        for side in get_args(Side)
        for number in range(1, seen.get(f"{kind}:{side}", 0) + 1)
    ]


def sweep(folder: Path, *, everything: bool, seed: int, sample: int = 10, say: Say = lambda line: None) -> Tally:
    """Kill at all points with one build and with four, or at `sample` of them drawn by `seed`."""
    tally = Tally()
    random = Random(seed)
    with ground(folder) as place:
        cells = [(builds, point) for builds in (1, 4) for point in points(place, builds)]
        for number, (builds, point) in enumerate(cells if everything else random.sample(cells, sample)):
            names = [f"cell{number}-{each}" for each in range(builds)]
            fired, wrong = cell(place, names, point)
            tally.cells[f"{point.kind} {point.side}, {builds}"] += fired
            tally.violations += [f"{builds} builds, {point}: {what}" for what in wrong]
            say(f"{builds} builds, {point}: {'; '.join(wrong) or ('ok' if fired else 'not reached')}")
    return tally


def recoveries(folder: Path, *, everything: bool, seed: int, sample: int = 2, say: Say = lambda line: None) -> Tally:
    """Kill four builds, then kill their recovery, at all of its points or a sample of them; then recover again."""
    tally = Tally()
    random = Random(seed)
    with ground(folder) as place:
        ways = points(place, 4)
        answers = [point for point in ways if (point.kind, point.side) == ("request", "after")]
        # Two thirds through, something of everything is there.
        firsts = [answers[len(answers) * 2 // 3], *(random.sample(ways, 2) if everything else ())]
        cells = [(first, second) for first in firsts for second in _points_of_recovery(place, first)]
        for number, (first, second) in enumerate(cells if everything else random.sample(cells, sample)):
            names = [f"again{number}-{each}" for each in range(4)]
            fired, wrong = cell(place, names, first, second)
            tally.cells[f"{second.kind} {second.side} of a recovery"] += fired
            tally.violations += [f"{first}, recovery {second}: {what}" for what in wrong]
            say(f"{first}, recovery {second}: {'; '.join(wrong) or ('ok' if fired else 'not reached')}")
    return tally


def _points_of_recovery(place: Ground, first: Point) -> list[Point]:
    place.next()
    counts = place.folder / "counts"
    _struck(place, str(first), [f"counted-{first.kind}{first.side}{first.number}-{number}" for number in range(4)])
    ended = _recovery_struck(place, f"count:{counts}")
    if ended.status != 0:
        raise AssertionError(f"the recovery without a kill failed:\n{ended.out}{ended.err}")
    return _counted(counts)


def interrupts(folder: Path, *, everything: bool, seed: int, sample: int = 4, say: Say = lambda line: None) -> Tally:
    """SIGINT, SIGTERM and SIGHUP, once, twice and three times, over all points of four builds or a sample of them."""
    tally = Tally()
    random = Random(seed)
    with ground(folder) as place:
        cells = points(place, 4)
        cells = cells if everything else random.sample(cells, sample)
        first = random.randrange(9)
        for number, point in enumerate(cells, first):
            signals = [_STOPS[number % 3]] * (number // 3 % 3 + 1)
            fired, wrong = interrupted(place, [f"cell{number}-{each}" for each in range(4)], point, signals)
            tally.cells[",".join(signals)] += fired
            tally.violations += [f"{','.join(signals)} at {point}: {what}" for what in wrong]
            say(f"{','.join(signals)} at {point}: {'; '.join(wrong) or ('ok' if fired else 'not heard')}")
    return tally


_STOPS = ("SIGINT", "SIGTERM", "SIGHUP")


def interrupted(place: Ground, names: Sequence[str], point: Point, signals: Sequence[str]) -> tuple[bool, list[str]]:
    """Send signals to a run at one point; says whether it heard the last of them, and what is wrong afterwards."""
    place.next()
    before = place.sight()
    ended = _struck(place, str(point), names, signals)
    heard = ended.err.count(f"==> {signals[0]}: ")
    # Once the builds are over and all is given back, gilder hears no more signals, and what comes then ends it as usual.
    unheard = heard < len(signals) and ended.status == -signal.Signals[signals[0]]
    wrong = [] if ended.status in (0, 1) or unheard else [f"it ended with {ended.status}"]
    if heard and ended.status == 0:
        wrong.append("it was stopped and ended with 0")
    if "Traceback" in ended.err or "mistake in gilder" in ended.out:
        wrong.append("an unexpected error")
    if heard == 3:
        wrong += _recovered(place)
    elif "Left behind" in ended.out:
        wrong.append("it left something")
    wrong += [*unreadable(place), *place.sight_again(before), *place.sins(), *untrue(place, names, versions(names))]
    return heard == len(signals), [*wrong, (ended.out + ended.err)[-2000:]] if wrong else []


def cell(place: Ground, names: Sequence[str], point: Point, second: Point | None = None) -> tuple[bool, list[str]]:
    """Kill a run at one point (and its recovery at a `second`), then recover.

    Says whether what was to be killed was, and what is wrong afterwards.
    """
    place.next()
    before = place.sight()
    killed = _struck(place, str(point), names)
    if killed.status != -9:
        wrong = [] if killed.status == 0 else [f"it ended with {killed.status}: {killed.out}{killed.err}"]
        return False, wrong + place.sight_again(before)
    fired = second is None or _recovery_struck(place, str(second)).status == -9
    wrong = [*unreadable(place), *_recovered(place), *place.sight_again(before), *place.sins()]
    return fired, wrong + untrue(place, names, versions(names))


def _recovery_struck(place: Ground, point: str) -> Ended:
    return place.run([sys.executable, "-m", "tests.sweeps.doomed", point, "SIGKILL", "recover", *place.where])


def _struck(place: Ground, point: str, names: Sequence[str], signals: Iterable[str] = ("SIGKILL",)) -> Ended:
    template = place.folder / "template.json"
    template.write_text(json.dumps({"builders": builders(names), "provisioners": PROVISIONERS}))
    logs = ["--log-dir", str(place.program.logs)]
    program = ["tests.sweeps.doomed", point, ",".join(signals)]
    return place.run([sys.executable, "-m", *program, "build", *place.where, *logs, str(template)])


def _recovered(place: Ground) -> list[str]:
    """Recover, now and then twice (the journal tells as much); what is wrong with that."""
    start = time.monotonic()
    first = place.gilder("recover", *place.where)
    took = time.monotonic() - start
    wrong = [] if first.status == 0 else [f"recover ended with {first.status}: {first.out}{first.err}"]
    if took > BOUND:
        wrong.append(f"recover took {took:.0f} s")
    if place.runs % 5:
        return wrong
    again = place.gilder("recover", *place.where)
    if (again.status, again.out) != (0, "nothing to recover\n"):
        wrong.append(f"recovering again gave {again.status}: {again.out}{again.err}")
    return wrong
