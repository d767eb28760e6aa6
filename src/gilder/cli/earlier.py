"""What earlier runs left: told at the start of a build, finished or removed by `gilder recover`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

from gilder.cli.errand import Errand
from gilder.cli.places import Places, is_there
from gilder.engine import Recovered, Recovery, site_on, turn_on
from gilder.model.ids import ArmId
from gilder.runtime.filelock import is_unlocked
from gilder.runtime.journal import Journal, RunRecord, opened_to_read
from gilder.runtime.living import ALIVE, RUN_ID, crashed_runs, living


async def lives_here(places: Places, vm: ArmId, alive: Path = ALIVE) -> Callable[[str], str]:
    """Says of a run's id why garbage collection must leave it alone: it lives on this machine, or can be recovered here.

    The journal may be missing.
    """
    crashed: set[str] = set()
    if is_there(places.journal):
        async with opened_to_read(places.journal) as journal:
            crashed = {run.id for run in await crashed_runs(journal, alive) if run.was_on(vm)}

    by_locks = lives_by_locks(alive)

    def why(run: str) -> str:
        if run in crashed:
            recovery = places.command("recover", run)
            return f"run {run} is dead, as this machine's journal knows; finish or remove it with: {recovery}"
        return by_locks(run)

    return why


def lives_by_locks(alive: Path = ALIVE) -> Callable[[str], str]:
    """The same without a journal: only the locks of this machine tell what lives."""

    def why(run: str) -> str:
        if not RUN_ID.fullmatch(run):
            return ""
        try:
            return "" if is_unlocked(alive / run) else f"run {run} lives on this machine"
        except PermissionError:
            return f"whether run {run} lives on this machine only root can see"

    return why


async def earlier_runs_settled(journal: Journal, errand: Errand, places: Places, *, first: bool) -> bool:
    """Say what earlier runs left on this VM, or with `first` recover them; False when that failed."""
    runs = [run for run in await crashed_runs(journal) if run.was_on(errand.machine.id)]
    if not runs:
        return True
    if not first:
        for run in runs:
            held = len(await journal.residues(run.id))
            errand.tell(crash_line(run.id, held, places.command("recover", run.id)))
        return True
    if await recovered(runs, journal, errand):
        return True
    errand.tell("nothing is built, for something is left of earlier runs: remove it, or build without --recover")
    return False


def crash_line(run: str, held: int, recovery: str) -> str:
    """That a run did not end by itself, and the command for that; pure."""
    if not held:
        return f"run {run} was killed, and left nothing; close its record with: {recovery}"
    return f"run {run} ended without giving back {held} thing{'s' if held != 1 else ''}; recover it with: {recovery}"


async def recovered(runs: list[RunRecord], journal: Journal, errand: Errand) -> bool:
    """Recover these runs and say what was done; False when something is left."""
    machine, tell = errand.machine, errand.tell
    left: list[str] = []

    async def recover(run: RunRecord) -> None:
        recovery = Recovery(site.arm, machine.id, journal, site.devices, turn_on(machine.id), tell)

        def busy() -> None:
            tell(f"another gilder is recovering run {run.id}: waiting for it")

        # While one recovery works on a run, it lives, and no other begins.
        async with living(run.id, journal.path, busy):
            tell(f"recovering run {run.id}")
            result = await recovery.recover(run)
        for line in (*([f"run {run.id}:"] if len(runs) > 1 else []), *recovery_lines(result)):
            tell(line)
        left.extend(result.left)

    async with (
        site_on(errand.cloud, errand.auth, machine, "recovery", tell) as site,
        anyio.create_task_group() as group,
    ):
        for run in runs:  # side by side: the replication of one must not hold the slots of another
            group.start_soon(recover, run)
    return not left


def recovery_lines(result: Recovered) -> list[str]:
    """What a recovery did, as lines; pure."""
    lines = [f"published  {image}" for image in result.published]
    lines += [f"removed    {thing}" for thing in result.removed]
    lines += [f"LEFT       {thing}" for thing in result.left]
    return lines or ["nothing was left of it"]
