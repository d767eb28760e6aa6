"""`gilder doctor`."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path

import click

from gilder.cli.asked import DoctorOptions
from gilder.cli.embedded import Lease, leased
from gilder.cli.flags import PackerCommand
from gilder.cli.main import BUILT, FAILED
from gilder.cli.places import Places, cloud_options, journal_option, log_dir_option
from gilder.cli.templates import Templates, template_options


@click.command(
    "doctor",
    cls=PackerCommand,
    short_help="Check this machine and the credentials before a build.",
    epilog="""\b
Examples:
  gilder doctor --cloud local          is this machine fit to try gilder?
  sudo -E gilder doctor images.json    could these images be built here and now?
""",
)
@functools.partial(template_options, required=False)
@cloud_options("Where it would be built: on this Azure VM, or on the cloud embedded in gilder.")
@log_dir_option("Where the logs would go.")
@journal_option("The journal of the runs.")
@click.option("--force", is_flag=True, help="Images that exist already would be replaced, so they are no obstacle.")
@click.pass_context
def command(
    ctx: click.Context, templates: Templates, cloud: str, cloud_state: Path, log_dir: Path, journal: Path, force: bool
) -> None:
    """Check whether builds could begin, a line for each thing, and what to do where something is wrong.

    Checks this machine (root, programs, kernel, disk space, journal), the metadata service, the token, the requests that
    Azure still takes, the VM and its free LUNs, and the permissions. With TEMPLATE, also what the template asks for: each
    source and destination, and the permissions on their resource groups. Nothing is created or changed.

    Exits with 0 when nothing is wrong, else with 1. What could not be checked counts as not wrong.
    """
    options = DoctorOptions(Places(journal, cloud, cloud_state), log_dir, force)
    state = ("--state", str(cloud_state))
    with leased(state) if options.places.local else nullcontext() as lease:
        ctx.exit(_examined(templates.with_secrets(), options, lease))


def _examined(templates: Templates, options: DoctorOptions, lease: Lease | None) -> int:
    # Imported here: the Azure SDK takes its time, and the embedded cloud starts meanwhile.
    import anyio

    from gilder.cli.examination import Examination
    from gilder.cli.findings import Findings

    findings = Findings()
    anyio.run(Examination(templates, options, lease, findings).run)
    return BUILT if findings.conclude() else FAILED
