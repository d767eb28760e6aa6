"""Host faults: programs of this machine fail, lie, die or hang, at each call that a run of builds makes of them.

Afterwards nothing is left, the summary is the truth, and the builds that were not struck have their images.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, get_args

from tests.e2e.conftest import Ended, builder, shell
from tests.sweeps.frame import Tally
from tests.sweeps.ground import Ground, ground
from tests.sweeps.standins import How, Misdeed, Standins
from tests.sweeps.truth import MARK, unreadable, untrue

Say = Callable[[str], None]

BOUND = 60.0
"""Seconds for a run that a person interrupts as soon as something hangs."""

_HANGING = ("hangs", "deaf")

PROVISIONERS = [
    shell("sleep 600 >/dev/null 2>&1 &", f'echo "{MARK}" > /etc/mark'),
    {"type": "shell-local", "inline": ["true"]},
]


def builders(names: Sequence[str]) -> list[dict[str, Any]]:
    """Two builds that between them start everything."""
    plain, grown = names
    commands = ["true {{.Device}}"]
    return [
        builder(plain, post_mount_commands=["true {{.MountPath}}"]),
        builder(grown, os_disk_size_gb=2, grow_root=True, pre_mount_commands=commands),
    ]


def misdeeds(place: Ground, standins: Standins) -> list[Misdeed]:
    """Every misdeed at every call of a run, by counting one without."""
    ended = _built(place, standins, ["counted-0", "counted-1"], None)
    if ended.status != 0:
        raise AssertionError(f"the run without a fault failed:\n{ended.out}{ended.err}")
    return [
        Misdeed(program, call, how)
        for program, calls in standins.calls().items()
        for call in range(1, calls + 1)
        for how in get_args(How)
    ]


def sweep(folder: Path, *, everything: bool, seed: int, sample: int = 6, say: Say = lambda line: None) -> Tally:
    """All misdeeds, or `sample` of them drawn by `seed`, one of which hangs."""
    tally = Tally()
    standins = Standins(folder / "standins")
    with ground(folder) as place:
        cells = misdeeds(place, standins)
        if not everything:
            prompt, hanging = ([each for each in cells if (each.how in _HANGING) == is_so] for is_so in (False, True))
            random = Random(seed)
            cells = [*random.sample(prompt, sample - 1), *random.sample(hanging, 1)]
        for number, misdeed in enumerate(cells):
            fired, wrong = cell(place, standins, [f"cell{number}-0", f"cell{number}-1"], misdeed)
            tally.cells[f"{misdeed.program} {misdeed.how}"] += fired
            tally.violations += [f"{misdeed}: {what}" for what in wrong]
            say(f"{misdeed}: {'; '.join(wrong) or ('ok' if fired else 'not reached')}")
    return tally


def cell(place: Ground, standins: Standins, names: Sequence[str], misdeed: Misdeed) -> tuple[bool, list[str]]:
    """Build while a program misbehaves; says whether it did, and what is wrong afterwards."""
    place.next()
    before, sins = place.sight(), place.sins()
    start = time.monotonic()
    ended = _built(place, standins, names, misdeed)
    wrong = [f"it took {took:.0f} s"] if (took := time.monotonic() - start) > BOUND else []
    wrong += [*unreadable(place), *place.sight_again(before), *place.sins()[len(sins) :], *untrue(place, names)]
    return standins.fired, [*wrong, *_untold(ended, names, misdeed)]


def _built(place: Ground, standins: Standins, names: Sequence[str], misdeed: Misdeed | None) -> Ended:
    template = place.folder / "template.json"
    template.write_text(json.dumps({"builders": builders(names), "provisioners": PROVISIONERS}))
    command = [
        sys.executable,
        "-m",
        "gilder",
        "build",
        *place.where,
        "--log-dir",
        str(place.program.logs),
        str(template),
    ]
    env = {**standins.environment(misdeed), "TMPDIR": str(place.temporary)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env
    ) as run:
        person = threading.Thread(target=_interrupt, args=(run, standins))
        if misdeed is not None and misdeed.how in _HANGING:
            person.start()
        try:
            out, err = run.communicate(timeout=2 * BOUND)
        except subprocess.TimeoutExpired:
            run.kill()
            out, err = run.communicate()
        if person.ident is not None:
            person.join()
    return Ended(run.returncode, out, err)


def _interrupt(run: subprocess.Popen[str], standins: Standins) -> None:
    """Press Ctrl-C when a program hangs and the other build had its time, and again when that does not end it."""
    while run.poll() is None and not standins.fired:
        time.sleep(0.02)
    for patience in (3.0, 10.0):
        with_end = time.monotonic() + patience
        while run.poll() is None and time.monotonic() < with_end:
            time.sleep(0.02)
        if run.poll() is None:
            run.send_signal(signal.SIGINT)


def _untold(ended: Ended, names: Sequence[str], misdeed: Misdeed) -> list[str]:
    """Where what is printed, or the exit code, is not the truth or no help."""
    how = {line.split()[1]: line.split()[0] for line in ended.out.splitlines() if line[:1].isalpha() and " " in line}
    ends = [how.get(name, "nothing said") for name in names]
    told = ended.out + ended.err
    wrong = []
    # The second Ctrl-C may come when all is told and gilder is just leaving.
    usual = (0, 1, -signal.SIGINT) if misdeed.how in _HANGING else (0, 1)
    if (ended.status == 0) != (ends == ["built", "built"]) or ended.status not in usual:
        wrong.append(f"it ended with {ended.status}, the builds are {ends}")
    if ends.count("built") < 1:
        wrong.append(f"one program's fault ended both builds: {ends}\n{told[-2000:]}")
    if "Left behind" in ended.out:
        wrong.append(f"it says that something is left: {ended.out}")
    if "mistake in gilder" in told or "Traceback" in told:
        wrong.append(f"an unexpected error: {told[-2000:]}")
    # Who enters namespaces is never named, but what was to run there; nor is what a person gave up waiting for.
    named = (
        misdeed.program in ended.out
        or misdeed.program in ("nsenter", "setpriv", "unshare", "env")
        or misdeed.how in _HANGING
    )
    if "while cleaning up" in ended.out:
        wrong.append(f"it did not fail in the clean-up: {ended.out}")
    if "failed" in ends and not named:
        wrong.append(f"what failed is not named: {ended.out}")
    return wrong
