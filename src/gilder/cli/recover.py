"""`gilder recover`."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import click

from gilder.cli.embedded import Lease, leased
from gilder.cli.flags import PackerCommand
from gilder.cli.main import BUILT, FAILED
from gilder.cli.places import Places, cloud_options, is_there, journal_option
from gilder.model.errors import Refused, UserError


@click.command("recover", cls=PackerCommand, short_help="Finish or remove what killed runs left.")
@click.argument("run", required=False)
@cloud_options("Where it ran.")
@journal_option("The journal of the runs.")
@click.pass_context
def command(ctx: click.Context, run: str | None, cloud: str, cloud_state: Path, journal: Path) -> None:
    """Finish or remove what killed runs left, all of them or only RUN.

    RUN is an id from `gilder runs`, the beginning of one, or `last`.

    Images that the cloud still works on are waited for, images whose snapshot is there are published, and the rest is
    removed: attachments, snapshots, disks. May be interrupted and called again. Runs that still live are not touched.

    Logs in as the ARM_… or AZURE_… variables of the environment say, else as this VM's managed identity. When a template
    logs in otherwise, use `gilder build --recover TEMPLATE`. Exits with 0 when nothing is left.
    """
    if not is_there(journal):
        raise UserError(f"there is no journal {journal}", hint="name it with --journal")
    state = ("--state", str(cloud_state))
    with leased(state) if cloud == "local" else nullcontext() as lease:
        ctx.exit(_recovered(run, Places(journal, cloud, cloud_state), lease))


def _recovered(run: str | None, places: Places, lease: Lease | None) -> int:
    # Imported here: the Azure SDK takes its time, and the embedded cloud starts meanwhile.
    import anyio

    from gilder.cli.stopping import until_stopped

    status = anyio.run(until_stopped, partial(_recover, run, places, lease))
    return FAILED if status is None else status


async def _recover(name: str | None, places: Places, lease: Lease | None) -> int:
    from gilder.cli.earlier import recovered
    from gilder.cli.errand import errand
    from gilder.cli.record import meant
    from gilder.runtime.journal import opened
    from gilder.runtime.living import crashed_runs, is_alive

    async with opened(places.journal) as journal:
        runs = await crashed_runs(journal)
        if name is not None:
            wanted = meant(await journal.runs(), name, places.command("runs"))
            runs = [run for run in runs if run.id == wanted.id]
            if not runs and is_alive(wanted, journal.path):
                raise Refused(
                    f"run {wanted.id} still lives, and gives back what it holds", hint="let it end, or end it first"
                )
            if not runs:
                click.echo(f"run {wanted.id} left nothing")
                return BUILT
        if not runs:
            click.echo("nothing to recover")
            return BUILT
    # Opened again, now that it is known what is secret: it is told why something is left.
    async with errand(lease) as here, opened(places.journal, here.redactor.text) as journal:
        own = [run for run in runs if run.was_on(here.machine.id)]
        for run in runs:
            if run not in own:
                there = f"run {run.id} was on the VM {run.vm}: recover it there, or when that is gone use"
                here.tell(f"{there}: {places.command('gc')}")
        if not own and name is not None:
            raise Refused(f"run {runs[0].id} was on another VM than this one, {here.machine.id}")
        clean = await recovered(own, journal, here)
    click.echo(last_word(len(own), clean=clean))
    return BUILT if clean else FAILED


def last_word(recovered: int, *, clean: bool) -> str:
    """How the recovery of so many runs ended; pure."""
    if not clean:
        return "something is left: see above"
    return "nothing is left" if recovered else "nothing to recover on this VM"
