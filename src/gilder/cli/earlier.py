"""What earlier runs left: told at the start of a build, finished or removed by `gilder recover`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from gilder.cli.errand import Errand
from gilder.engine import ALIVE, Recovered, Recovery, crashed_runs, site_on, turn_on
from gilder.runtime.filelock import file_locked, is_unlocked
from gilder.runtime.journal import Journal, RunRecord, opened

_RUN = re.compile(r"[0-9A-Za-z_-]+")


async def lives_here(path: Path) -> Callable[[str], str]:
    """Says of a run's id why garbage collection must leave it alone: it lives on this machine, or can be recovered.

    `path` is a journal, which may be missing.
    """
    crashed: set[str] = set()
    if path.exists():
        async with opened(path) as journal:
            crashed = {run.id for run in await crashed_runs(journal)}

    def why(run: str) -> str:
        if run in crashed:
            return f"this machine's journal knows run {run}: gilder recover {run} finishes or removes it"
        if _RUN.fullmatch(run) and not is_unlocked(ALIVE / run):  # not every tag is fit to be a file's name
            return f"run {run} lives on this machine"
        return ""

    return why


async def earlier_runs_settled(journal: Journal, errand: Errand, *, first: bool) -> bool:
    """Say what earlier runs left on this VM, or with `first` recover them; False when that failed."""
    runs = [run for run in await crashed_runs(journal) if run.vm.lower() == str(errand.machine.id).lower()]
    if not runs:
        return True
    if not first:
        for run in runs:
            count = len(await journal.residues(run.id))
            errand.tell(
                f"run {run.id} ended without giving back {count} thing{'s' if count != 1 else ''}: gilder recover {run.id}"
            )
        return True
    return await recovered(runs, journal, errand)


async def recovered(runs: list[RunRecord], journal: Journal, errand: Errand) -> bool:
    """Recover these runs and say what was done; False when something is left."""
    clean = True
    machine, tell = errand.machine, errand.tell
    async with site_on(errand.cloud, errand.auth, machine, "recovery", tell) as site:
        recovery = Recovery(site.arm, machine.id, journal, site.devices, turn_on(machine.id), tell)
        for run in runs:
            # The lock by which a run lives: while one recovery works on it, no other begins.
            async with file_locked(ALIVE / run.id, ephemeral=True):
                tell(f"recovering run {run.id}")
                result = await recovery.recover(run)
            for line in recovery_lines(result):
                tell(line)
            clean = clean and not result.left
    return clean


def recovery_lines(result: Recovered) -> list[str]:
    """What a recovery did, as lines; pure."""
    lines = [f"published  {image}" for image in result.published]
    lines += [f"removed    {thing}" for thing in result.removed]
    lines += [f"LEFT       {thing}" for thing in result.left]
    return lines or ["nothing was left of it"]
