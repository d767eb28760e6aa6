"""`gilder build`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from gilder.cli.asked import BuildOptions
from gilder.cli.asking import has_terminal
from gilder.cli.durations import Duration, StageDuration, deadlines_of
from gilder.cli.embedded import Lease, leased
from gilder.cli.flags import PackerCommand, machine_readable_option
from gilder.cli.look import Look
from gilder.cli.main import FAILED
from gilder.cli.places import Places, cloud_options, journal_option, log_dir_option
from gilder.cli.templates import Templates, template_options
from gilder.model.errors import Refused, UserError
from gilder.runtime.naming import new_run


@click.command(
    "build",
    cls=PackerCommand,
    short_help="Build the images of templates.",
    epilog="""\b
Examples:
  gilder build --cloud local examples/quickstart.json     try it, on any Linux machine
  gilder build -var version=1.4.0 -only='debian-*' images.yaml
  gilder build -parallel-builds=8 -on-error=cleanup templates/
""",
)
@template_options
@cloud_options("Where to build: on this Azure VM, or on the cloud embedded in gilder (any Linux machine).")
@click.option(
    "--parallel-builds",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="At most N builds at a time. 0, the default, means as many as the slots and CPUs of this VM allow.",
)
@click.option("--fail-fast", is_flag=True, help="Stop the other builds when one fails. Without it, they go on.")
@click.option(
    "--on-error",
    type=click.Choice(["cleanup", "abort", "ask", "run-cleanup-provisioner"]),
    default="cleanup",
    show_default=True,
    help="What to do with a build that fails: clean up; abort, which leaves its disk attached and its resources in "
    "place; ask, which cleans up where there is no terminal; or abort after the error-cleanup-provisioner.",
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "board", "plain"]),
    default="auto",
    show_default=True,
    help="How to show progress: a live board on a terminal, plain lines elsewhere, folded logs under CI systems.",
)
@click.option("--color/--no-color", default=True, help="Colours on a terminal. NO_COLOR switches them off too.")
@click.option("--timestamp-ui", is_flag=True, help="Plain lines, each with its time in front.")
@machine_readable_option("Progress and results on stdout, in Packer's format for programs.")
@click.option("--force", is_flag=True, help="Replace images and image versions that exist already.")
@click.option("--debug", is_flag=True, help="One build at a time, waiting for Enter after each step.")
@log_dir_option("Each run makes a folder here, with a log of each build and events.jsonl.")
@journal_option("Where gilder writes down what it holds, so that a crash loses nothing.")
@click.option(
    "--deadline",
    type=Duration(),
    metavar="TIME",
    help="How long each build may take, such as 2h or 1h30m, before it fails and is cleaned up.",
)
@click.option(
    "--stage-deadline",
    "stage_deadlines",
    type=StageDuration(),
    multiple=True,
    metavar="STAGE=TIME",
    help="The same for one stage, such as provision=30m; may be given again.",
)
@click.option("--recover", is_flag=True, help="First finish or remove what earlier, killed runs left.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    templates: Templates,
    cloud: str,
    cloud_state: Path,
    parallel_builds: int,
    fail_fast: bool,
    on_error: str,
    force: bool,
    debug: bool,
    log_dir: Path,
    journal: Path,
    recover: bool,
    deadline: float | None,
    stage_deadlines: tuple[tuple[str, float], ...],
    **others: Any,
) -> None:
    """Build the images of TEMPLATE: a Packer template (JSON) with azure-chroot builders, or a matrix file (YAML).

    TEMPLATE is a file, a directory with templates, or - for standard input; several are built in one run. All builds
    run side by side, and one that fails does not stop the others. Options may be written as for Packer, with one dash
    or two: -var x=y, -parallel-builds=2, -color=false.

    Progress goes to stderr, the summary to stdout. Exits with 0 if all images were built and nothing was left behind,
    1 if something failed, 2 for wrong usage. Ctrl-C stops and cleans up; once more hurries; a third time leaves at
    once and says what is left behind.
    """
    look = _look(**others)
    if debug and not has_terminal():
        raise UserError("-debug needs a terminal: it waits for you after each step", hint="or use a sleep provisioner")
    templates = templates.with_secrets()
    if templates.report(templates.loaded(), machine=look.machine):
        ctx.exit(FAILED)
    if os.geteuid() != 0:
        raise Refused(
            "gilder build must run as root: it mounts disks and enters chroots", hint="use: sudo -E gilder build …"
        )
    run = new_run()
    options = BuildOptions(
        logs=log_dir / run,
        places=Places(journal, cloud, cloud_state),
        run=run,
        parallel_builds=1 if debug else parallel_builds,
        fail_fast=fail_fast,
        on_error=on_error,
        force=force,
        debug=debug,
        attended=has_terminal(),
        recover=recover,
        deadlines=deadlines_of(deadline, stage_deadlines),
        look=look,
    )
    state = ("--state", str(cloud_state))
    with leased(state) if cloud == "local" else nullcontext() as lease:
        ctx.exit(_built(templates, options, lease))


def _look(progress: str, color: bool, timestamp_ui: bool, machine_readable: bool) -> Look:
    """How progress is shown; raises UserError for what contradicts itself."""
    if progress == "board" and (timestamp_ui or machine_readable):
        raise UserError("a board has no lines to print in another form", hint="leave --progress=board out")
    board = None if progress == "auto" and not timestamp_ui else progress == "board"
    return Look(board=board, colour=color, timestamps=timestamp_ui, machine=machine_readable)


def _built(templates: Templates, options: BuildOptions, lease: Lease | None) -> int:
    # Imported here: the Azure SDK takes its time, and the embedded cloud starts meanwhile.
    import anyio

    from gilder.cli.session import build_all
    from gilder.cli.watching import watch_programs_by_pidfd

    watch_programs_by_pidfd()
    return anyio.run(build_all, templates, options, lease)
