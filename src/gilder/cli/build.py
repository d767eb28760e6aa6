"""`gilder build`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from gilder.cli.embedded import Lease, leased
from gilder.cli.main import FAILED
from gilder.cli.progress import Look
from gilder.cli.templates import TemplateFile, template_options
from gilder.model.errors import Refused

DEFAULT_LOGS = Path("/var/lib/gilder/runs")
DEFAULT_JOURNAL = Path("/var/lib/gilder/journal.sqlite")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line asked for."""

    logs: Path
    journal: Path
    run: str
    parallel_builds: int
    fail_fast: bool
    look: Look


@click.command("build")
@template_options
@click.option(
    "--cloud",
    type=click.Choice(["azure", "local"]),
    default="azure",
    show_default=True,
    help="Where to build: on this Azure VM, or on the cloud embedded in gilder (any Linux machine).",
)
@click.option(
    "--cloud-state", metavar="DIR", help="Where the embedded cloud keeps its state [default: /var/lib/localarm]."
)
@click.option(
    "-parallel-builds",
    "--parallel-builds",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="At most N builds at a time; 0 means as many as this VM can take.",
)
@click.option("--fail-fast", is_flag=True, help="Stop the other builds when one fails.")
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_LOGS,
    show_default=True,
    help="Each run makes a folder here with a full log of each build.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_JOURNAL,
    show_default=True,
    help="Where gilder writes down what it holds, so that a crash loses nothing.",
)
@click.pass_context
def command(
    ctx: click.Context,
    template: str,
    variables: Sequence[str],
    var_files: Sequence[str],
    cloud: str,
    cloud_state: str | None,
    parallel_builds: int,
    fail_fast: bool,
    log_dir: Path,
    journal: Path,
) -> None:
    """Build the images of TEMPLATE (a Packer template with azure-chroot builders).

    Progress goes to stderr, the summary to stdout. Exits with 0 if all images were built and nothing was left behind,
    1 if something failed, 2 for wrong usage. Ctrl-C stops and cleans up.
    """
    file = TemplateFile(template, variables, var_files)
    if file.report(file.loaded()):
        ctx.exit(FAILED)
    if os.geteuid() != 0:
        raise Refused(
            "gilder build must run as root: it mounts disks and enters chroots", hint="use: sudo -E gilder build …"
        )
    run = f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(2)}"
    options = BuildOptions(log_dir / run, journal, run, parallel_builds, fail_fast, Look())
    state = ("--state", cloud_state) if cloud_state else ()
    with leased(state) if cloud == "local" else nullcontext() as lease:
        ctx.exit(_built(file, options, lease))


def _built(file: TemplateFile, options: BuildOptions, lease: Lease | None) -> int:
    # Imported here: the Azure SDK takes its time, and the embedded cloud starts meanwhile.
    import anyio

    from gilder.cli.session import build_all

    return anyio.run(build_all, file, options, lease)
