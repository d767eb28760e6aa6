"""What earlier runs left: told at the start of a build, finished or removed by `gilder recover`."""

from __future__ import annotations

import click

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine
from gilder.engine import Recovered, Recovery, crashed_runs, site_on, turn_on
from gilder.model.spec import Auth
from gilder.runtime.journal import Journal, RunRecord


def tell(text: str) -> None:
    """Progress of a recovery."""
    click.echo(f"==> {text}", err=True)


async def earlier_runs_settled(journal: Journal, cloud: Cloud, auth: Auth, machine: Machine, *, first: bool) -> bool:
    """Say what earlier runs left on this VM, or with `first` recover them; False when that failed."""
    runs = [run for run in await crashed_runs(journal) if run.vm.lower() == str(machine.id).lower()]
    if not runs:
        return True
    if not first:
        for run in runs:
            count = len(await journal.residues(run.id))
            tell(
                f"run {run.id} ended without giving back {count} thing{'s' if count != 1 else ''}: gilder recover {run.id}"
            )
        return True
    return await recovered(runs, journal, cloud, auth, machine)


async def recovered(runs: list[RunRecord], journal: Journal, cloud: Cloud, auth: Auth, machine: Machine) -> bool:
    """Recover these runs and say what was done; False when something is left."""
    clean = True
    async with site_on(cloud, auth, machine, "recovery", tell) as site:
        recovery = Recovery(site.arm, machine.id, journal, site.devices, turn_on(machine.id), tell)
        for run in runs:
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
