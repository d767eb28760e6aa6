"""`gilder runs`, `gilder show` and `gilder timeline`: what the journal knows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import anyio
import click

from gilder.cli.chart import chart
from gilder.cli.flags import PackerCommand
from gilder.cli.logs import log_file
from gilder.cli.places import Places, journal_option, log_dir_option
from gilder.cli.plain import seconds
from gilder.cli.record import Record, record, records
from gilder.cli.timeline import Timeline

_journal = journal_option("The journal to read.")


@click.command("runs", cls=PackerCommand)
@_journal
@click.option("--number", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many, latest first.")
def runs(journal: Path, number: int) -> None:
    """List the runs of this machine, the latest first."""
    found = anyio.run(records, journal)
    for line in run_table(found[:number]):
        click.echo(line)
    if len(found) > number:
        click.echo(f"{len(found) - number} older runs are not shown (--number)", err=True)


@click.command("show", cls=PackerCommand, short_help="Show how a run ended.")
@click.argument("run", default="last")
@_journal
@log_dir_option("Where its logs are.")
def show(run: str, journal: Path, log_dir: Path) -> None:
    """Show how a run ended: its builds, errors, images, and what it left behind.

    RUN is an id from `gilder runs`, the beginning of one, or `last`.
    """
    for line in run_lines(anyio.run(record, journal, run), log_dir, Places(journal)):
        click.echo(line)


@click.command("timeline", cls=PackerCommand, short_help="Show where the time of a run went.")
@click.argument("run", default="last")
@_journal
@click.option("--width", type=click.IntRange(min=40), help="Columns to use  [default: those of the terminal]")
def timeline(run: str, journal: Path, width: int | None) -> None:
    """Show where the time of a run went: stages, waits, overlap, and the critical path.

    RUN is an id from `gilder runs`, the beginning of one, or `last`.
    """
    found = anyio.run(record, journal, run)
    took = _took(found)
    click.echo(f"run {found.run.id}, {found.status}" + (f", {took}" if took else ""))
    click.echo()
    if not found.timings:  # a frame without bars, and "0 at most", would say that nothing was done
        click.echo(f"no stage of it has been recorded{' yet' if found.lives else ''}: that is done when a build ends")
        return
    columns = width or shutil.get_terminal_size((120, 24)).columns
    for line in chart(Timeline.of(found.timings, found.run.started, found.end), columns):
        click.echo(line)


def run_table(found: Sequence[Record]) -> Iterator[str]:
    """The runs as a table."""
    if not found:
        yield "no runs yet"
        return
    width = max(len(one.run.id) for one in found)
    yield f"{'RUN':{width}}  {'STARTED':19}  {'TOOK':>6}  {'STATUS':11}  BUILDS"
    for one in found:
        yield f"{one.run.id:{width}}  {_moment(one.run.started)}  {_took(one) or '?':>6}  {one.status:11}  {_counts(one)}"


def run_lines(one: Record, logs: Path, places: Places) -> Iterator[str]:
    """One run in full."""
    yield f"run       {one.run.id}"
    yield f"status    {one.status}"
    took = _took(one)
    yield f"started   {_moment(one.run.started)}, {f'took {took}' if took else 'when it was killed is not known'}"
    yield f"template  {one.run.template}"
    yield f"vm        {one.run.vm}"
    yield f"builds    {_counts(one)}"
    begins = one.begins()
    for build in one.builds:
        status, began = one.status_of(build), begins.get(build.name, build.started)
        end = build.finished if build.finished is not None else one.end
        after = "" if status == "interrupted" else f" after {seconds(max(0.0, end - began))}"
        where = f", while {build.stage}" if build.stage else ""
        yield ""
        yield f"{status:9} {build.name}{after}{where}"
        yield from (f"          {line}" for line in build.error.splitlines())
        yield from (f"          {artifact}" for artifact in build.artifacts)
        with suppress(PermissionError):  # logs of another user
            if (log := log_file(logs / one.run.id, build.name)).exists():
                yield f"          log: {log}"
    if one.operations:
        yield ""
        yield "The cloud works on:" if one.status == "running" else "The cloud worked on, and may still:"
        yield from (f"  {operation.doing}, for {operation.build}" for operation in one.operations)
        if one.status != "running":
            yield f"    follow it with: {_recovery(one, places)}"
    if one.residues:
        yield ""
        yield from _residue_lines(one, places)


def _residue_lines(one: Record, places: Places) -> Iterator[str]:
    held = one.status == "running"
    yield "Held now:" if held else "Left behind:"
    for residue in one.residues:
        why = f" ({residue.why})" if residue.why else ""
        yield f"  {residue.kind} {residue.name}, of {residue.build}{why}"
        if not held:  # a living run gives it back itself: recovery refuses, and Azure's own commands would pull it away
            yield f"    remove it with: {residue.remedy}"
    # Where Azure's own commands reach: an image that was under way may only have to be finished.
    if not held and not one.residues[0].remedy.startswith(_RECOVER):
        yield f"  finish or remove all of it with: {_recovery(one, places)}"


_RECOVER = "gilder recover "


def _recovery(one: Record, places: Places) -> str:
    """The command that recovers a run. The journal does not say which cloud it was on, but what removes its things does."""
    noted = (residue.remedy for residue in one.residues if residue.remedy.startswith(_RECOVER))
    return next(noted, places.command("recover", one.run.id))


def _took(one: Record) -> str:
    """How long a run took so far; "" for one that was killed, nobody knows when."""
    return "" if one.status == "interrupted" else seconds(one.end - one.run.started)


def _counts(one: Record) -> str:
    words = [one.status_of(build) for build in one.builds]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words))) or "none"


def _moment(since_1970: float) -> str:
    return datetime.fromtimestamp(since_1970).astimezone().isoformat(sep=" ", timespec="seconds")[:19]
