"""Straits: situations of this machine that no stand-in makes, each met by the first of two builds.

Afterwards the outcome is as told, the other build has its image where it can have it, and nothing is left, or nothing after
what caused it is over and `gilder recover` ran once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.e2e.conftest import Ended, builder, shell
from tests.sweeps.frame import Say, Tally
from tests.sweeps.ground import Ground, ground
from tests.sweeps.situations import SITUATIONS, Meanwhile, Scene, Situation
from tests.sweeps.truth import MARK, unreadable, untrue


def sweep(folder: Path, *, everything: bool, seed: int, sample: int = 4, say: Say = lambda line: None) -> Tally:
    """All situations, or `sample` of those that are not slow, drawn by `seed`."""
    tally = Tally()
    chosen = [situation for situation in SITUATIONS if situation.needs.exists()]
    tally.remarks = [f"left out, no {each.needs} here: {each.name}" for each in SITUATIONS if each not in chosen]
    if not everything:
        chosen = Random(seed).sample([each for each in chosen if not each.slow and not each.before_world], sample)
    with ExitStack() as stack:
        usual = stack.enter_context(ground(folder / "usual")) if any(not s.before_world for s in chosen) else None
        for number, situation in enumerate(chosen):
            names = [f"cell{number}-0", f"cell{number}-1"]
            if situation.before_world is not None:
                stack.close()  # one cloud at a time owns the names of devices
                with situation.before_world(folder / str(number)), ground(folder / str(number)) as own:
                    wrong = cell(own, names, situation)
                usual = stack.enter_context(ground(folder / "usual"))
            else:
                assert usual is not None
                wrong = cell(usual, names, situation)
            tally.cells[situation.name] += 1
            tally.violations += [f"{situation.name}: {what}" for what in wrong]
            say(f"{situation.name}: {'; '.join(wrong) or 'ok'}")
    return tally


def cell(place: Ground, names: Sequence[str], situation: Situation) -> list[str]:
    """Build in a situation; what is wrong afterwards."""
    place.next()
    with situation.around(place):
        before, sins = place.sight(), place.sins()
        start = time.monotonic()
        ended, wrong = _built(place, names, situation)
        took = time.monotonic() - start
        wrong += [f"it took {took:.0f} s"] if took > situation.bound else []
        wrong += [*unreadable(place), *_untold(ended, names, situation)]
        if situation.cure is not None:
            situation.cure(place)
            recovered = place.gilder("recover", *place.where)
            wrong += [] if recovered.status == 0 else [f"recover: {recovered.out}{recovered.err}"]
        return wrong + place.sight_again(before) + place.sins()[len(sins) :] + untrue(place, names)


def _built(place: Ground, names: Sequence[str], situation: Situation) -> tuple[Ended, list[str]]:
    """How the run ended, and what went wrong with the meddling."""
    ready, go = place.folder / "ready", place.folder / "go"
    ready.unlink(missing_ok=True)
    go.unlink(missing_ok=True)
    first = "case $PACKER_BUILD_NAME in *-1) exit 0 ;; esac"
    local = situation.local.replace("$READY", f"touch {ready}; while ! [ -e {go} ]; do sleep 0.05; done")
    provisioners = [
        shell(f'echo "{MARK}" > /etc/mark', first, situation.guest),
        {"type": "shell-local", "inline": [first, local]},
    ]
    builders = [builder(names[0], **situation.options(place)), builder(names[1])]
    template = place.folder / "template.json"
    template.write_text(json.dumps({"builders": builders, "provisioners": provisioners}))
    where = [*place.where, "--log-dir", str(place.program.logs), str(template)]
    program = ["tests.sweeps.tuned", *situation.tuned, "--"] if situation.tuned else ["gilder"]
    with subprocess.Popen(
        [sys.executable, "-m", *program, "build", *where],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    ) as run:  # fmt: skip
        failures: list[str] = []
        scene = Scene(place, run.pid)
        meddler = threading.Thread(target=_meddle, args=(situation.meanwhile, scene, run, ready, go, failures))
        meddler.start()
        try:
            out, err = run.communicate(timeout=2 * situation.bound)
        except subprocess.TimeoutExpired:
            run.kill()
            out, err = run.communicate()
        meddler.join()
    return Ended(run.returncode, out, err), failures


def _meddle(
    meanwhile: Meanwhile | None, scene: Scene, run: subprocess.Popen[str], ready: Path, go: Path, failures: list[str]
) -> None:
    while run.poll() is None and not ready.exists():
        time.sleep(0.02)
    try:
        if meanwhile is not None and run.poll() is None:
            meanwhile(scene)
    except (AssertionError, OSError) as error:  # else the run would wait for ever, and spoil the situations after it
        failures.append(f"nothing was meddled with: {error}")
    finally:
        go.touch()


def _untold(ended: Ended, names: Sequence[str], situation: Situation) -> list[str]:
    how = {line.split()[1]: line.split()[0] for line in ended.out.splitlines() if line[:1].isalpha() and " " in line}
    ends = tuple(how.get(name, "nothing said") for name in names)
    told = ended.out + ended.err
    wrong = []
    if not re.fullmatch(situation.ends, " ".join(ends)):
        wrong.append(f"the builds are {ends}")
    if not re.search(situation.says, told):
        wrong.append(f"it does not say {situation.says!r}")
    if (ended.status == 0) != (ends == ("built", "built") and "Left behind" not in ended.out):
        wrong.append(f"it ended with {ended.status}")
    if "mistake in gilder" in told or "Traceback" in told:
        wrong.append("an unexpected error")
    return [*wrong, told[-2000:]] if wrong else []
