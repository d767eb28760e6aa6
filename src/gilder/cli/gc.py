"""`gilder gc`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilder.cli.embedded import Lease, leased
from gilder.cli.flags import PackerCommand
from gilder.cli.main import BUILT, FAILED
from gilder.cli.places import Places, cloud_options, journal_option
from gilder.model.errors import JournalDamaged

if TYPE_CHECKING:
    from gilder.cli.errand import Errand
    from gilder.engine import Collected, Judged
    from gilder.model.ids import ArmId


@dataclass(frozen=True, slots=True)
class GcOptions:
    """What the command line asked for; "" and () mean those of this VM."""

    subscription: str
    groups: tuple[str, ...]
    places: Places
    yes: bool

    def again(self) -> str:
        """The command that deletes what these show."""
        where = [word for group in self.groups for word in ("--resource-group", group)]
        where += ["--subscription", self.subscription] if self.subscription else []
        return self.places.command("gc", *where, "--yes")


def _named(ctx: click.Context, option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names; an empty one, of a variable that a script did not set, would be a path that Azure does not have."""
    if not all(name.strip() for name in names):
        raise click.BadParameter("a resource group has a name")
    return names


@click.command(
    "gc",
    cls=PackerCommand,
    short_help="Remove what runs left, by its tags, without a journal.",
    epilog="""\b
Examples:
  gilder gc                                       what would be deleted in this VM's resource group, and why
  gilder gc --resource-group images --yes         delete it
""",
)
@click.option(
    "--resource-group",
    "groups",
    multiple=True,
    callback=_named,
    metavar="NAME",
    help="Where to look; may be given again.  [default: that of this VM]",
)
@click.option("--subscription", default="", metavar="ID", help="Whose resource groups.  [default: that of this VM]")
@click.option("--yes", is_flag=True, help="Delete. Without it, gilder only shows what it would delete.")
@cloud_options("Where to look.")
@journal_option("If it is there: what `gilder recover` can finish is left to it.")
@click.pass_context
def command(
    ctx: click.Context,
    groups: tuple[str, ...],
    subscription: str,
    yes: bool,
    cloud: str,
    cloud_state: Path,
    journal: Path,
) -> None:
    """Remove disks and snapshots that runs left, by their tags: for when the journal, or the VM with it, is lost.

    Every temporary resource carries gilder's tags, and a lease that its run renews while it lives. What has them all,
    whose lease ran out by the cloud's own clock, and which nothing uses is garbage. A disk that is still attached to
    this VM is detached first, if nothing here uses it. Everything else is shown with the reason why it stays; what has
    no tags of gilder's is not even looked at. Images are never deleted. Logs in as `gilder recover` does.

    Exits with 0, or with 1 when something could not be deleted.
    """
    state = ("--state", str(cloud_state))
    options = GcOptions(subscription, groups, Places(journal, cloud, cloud_state), yes)
    with leased(state) if cloud == "local" else nullcontext() as lease:
        ctx.exit(_collected(options, lease))


def _collected(options: GcOptions, lease: Lease | None) -> int:
    # Imported here: the Azure SDK takes its time, and the embedded cloud starts meanwhile.
    import anyio

    from gilder.cli.stopping import until_stopped

    status = anyio.run(until_stopped, partial(_collect, options, lease))
    return FAILED if status is None else status


async def _collect(options: GcOptions, lease: Lease | None) -> int:
    from gilder.cli.errand import errand

    async with errand(lease) as here:
        return await _collect_here(options, here)


async def _collect_here(options: GcOptions, errand: Errand) -> int:
    from gilder.engine import Collector, Here, site_on, telling, turn_on

    vm = errand.machine.id
    here = Here(vm, await known_here(options.places, vm, errand.tell))
    async with site_on(errand.cloud, errand.auth, errand.machine, "gc", errand.tell) as site:
        collector = Collector(site.arm, here, telling(site.devices, errand.tell), turn_on(vm))
        found = await collector.found(options.subscription or vm.subscription, options.groups or (vm.resource_group,))
        for line in found_lines(found, "" if options.yes else options.again()):
            errand.show(line)
        garbage = sum(one.garbage for one in found)
        if not options.yes or not garbage:
            return BUILT
        try:
            await collector.collect(found)
        finally:  # also when a signal stops it: what is gone is gone
            for line in done_lines(collector.done, garbage):
                errand.show(line)
    return FAILED if collector.done.left else BUILT


async def known_here(places: Places, vm: ArmId, tell: Callable[[str], None]) -> Callable[[str], str]:
    """Says of a run's id why it must be left alone. A damaged journal is told of, and is as good as lost: this command is
    for those, and refused to work. What lives has its locks, and its leases."""
    from gilder.cli.earlier import lives_by_locks, lives_here
    from gilder.runtime.living import beside, works

    try:
        return await lives_here(places, vm)
    except JournalDamaged as error:
        tell(f"{error.message}; it is passed over, and only tags and locks tell what lives")
    by_locks = lives_by_locks()

    def why(run: str) -> str:
        # In a container with a `/run` of its own, only the locks beside the journal are seen.
        return by_locks(run) or (f"run {run} lives on this machine" if works(run, beside(places.journal)) else "")

    return why


def done_lines(done: Collected, garbage: int) -> Iterator[str]:
    """What became of so much garbage, as lines. Pure."""
    for resource, why in done.left:
        yield f"LEFT    {resource}: {why}"
    rest = garbage - len(done.removed) - len(done.left)
    yield f"{len(done.removed)} deleted, {len(done.left)} left" + (f", {rest} not finished" if rest else "")


def found_lines(found: Sequence[Judged], deletion: str) -> Iterator[str]:
    """What was found, as lines; garbage first. `deletion` is the command that deletes it, "" when that is done. Pure."""
    if not found:
        yield "nothing with gilder's tags"
        return
    for one in sorted(found, key=lambda one: (not one.garbage, str(one.resource.id))):
        verb = "DELETE" if one.garbage else "stays "
        yield f"{verb}  {one.kind:8}  {one.resource.id.resource_group}/{one.resource.id.name}, {one.resource.size_gb} GiB"
        yield f"        {one.why}"
    garbage = sum(one.garbage for one in found)
    if garbage and deletion:
        yield f"{garbage} of {len(found)} would be deleted; do it with: {deletion}"
    elif not garbage:
        yield f"none of {len(found)} is garbage"
