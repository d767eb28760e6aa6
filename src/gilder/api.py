"""The public Python API: load templates, run many builds, follow their events, read their outcomes.

Build everything in a template on this Azure VM, printing each stage::

    import anyio
    from gilder.api import StageStarted, build

    def tell(event):
        if isinstance(event, StageStarted):
            print(event.build, event.stage)

    outcomes = anyio.run(build, "template.json", tell)

Choose and change specs before they are built::

    from gilder.api import connected, load, run

    async def nightly():
        async with connected() as vm:
            specs = [spec for spec in load("matrix.yaml", vm.facts) if spec.name.startswith("debian-")]
            return await run(specs, vm, tell=print)

Nothing here installs signal handlers or prints; cancelling the caller's scope cancels the builds with full clean-up.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.build import Attendance, OnError, Site
from gilder.engine import Run, RunOptions, Stopping, cloud_of, must_differ, settled, shared_auth, site_on
from gilder.model.deadlines import Deadlines
from gilder.model.diagnostics import Diagnostic, render
from gilder.model.errors import GilderError, Refused, UserError
from gilder.model.events import (
    Event,
    Finished,
    LeftBehind,
    OutputLine,
    Said,
    Stage,
    StageFinished,
    StageStarted,
    Waiting,
)
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome, Residue
from gilder.model.spec import Auth, BuildSpec
from gilder.model.vm import VmFacts
from gilder.runtime.journal import DEFAULT_PATH, opened
from gilder.runtime.living import living
from gilder.runtime.redaction import Redactor
from gilder.template import Inputs
from gilder.template import load as load_text

__all__ = [
    "Attendance",
    "Auth",
    "BuildSpec",
    "Built",
    "Cancelled",
    "Cloud",
    "Deadlines",
    "Event",
    "Failed",
    "Finished",
    "GilderError",
    "LeftBehind",
    "OnError",
    "Outcome",
    "OutputLine",
    "Refused",
    "Residue",
    "RunOptions",
    "Said",
    "Stage",
    "StageFinished",
    "StageStarted",
    "UserError",
    "VmFacts",
    "Waiting",
    "build",
    "connected",
    "load",
    "run",
]


@dataclass(frozen=True, slots=True)
class Vm:
    """This VM, connected to its cloud; comes only out of `connected`."""

    site: Site
    machine: Machine
    auth: Auth
    """Whom it is connected as."""

    @property
    def facts(self) -> VmFacts:
        """What templates may ask about it."""
        return self.machine.facts


@asynccontextmanager
async def connected(
    auth: Auth | None = None, cloud: Cloud | None = None, say: Callable[[str], None] = lambda text: None
) -> AsyncIterator[Vm]:
    """Be connected to the cloud of this VM while inside; raises Refused where this is not an Azure VM.

    Logs in as `auth` says, completed from environment variables (docs/authentication.md); raises a GilderError when
    that is refused. Without `cloud`, the one that `auth` names.

    `say` hears of waits that a person would wonder about, such as throttling.
    """
    complete = await settled(auth or Auth(), os.environ, say)
    cloud = cloud or await cloud_of(complete)
    machine = await this_machine(cloud)
    name = f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
    async with site_on(cloud, complete, machine, name, say) as site:
        yield Vm(site, machine, complete)


def load(path: str | Path, vm: VmFacts | None = None, variables: dict[str, str] | None = None) -> list[BuildSpec]:
    """The builds of a template file; raises UserError that lists all its mistakes with their lines.

    Without `vm`, placeholders stand for what only an Azure VM knows: good for checking, not for building.
    """
    text = Path(path).read_text(encoding="utf-8")
    loaded = load_text(text, file=str(path), inputs=Inputs(variables=variables or {}, vm=vm))
    if not loaded.ok:
        raise UserError("\n".join(_mistakes(loaded.diagnostics, text)))
    return list(loaded.builds)


def _mistakes(diagnostics: Sequence[Diagnostic], text: str) -> list[str]:
    return [line for diagnostic in diagnostics for line in render(diagnostic, text)]


async def run(
    specs: Sequence[BuildSpec],
    vm: Vm,
    tell: Callable[[Event], None] = lambda event: None,
    options: RunOptions | None = None,
    journal: Path = DEFAULT_PATH,
) -> list[Outcome]:
    """Run builds side by side; how each ended, in the order given. One that fails does not stop the others.

    `tell` hears every event; it must neither block nor raise. Raises UserError when two builds want one destination,
    Refused when the journal cannot be written.
    """
    must_differ(specs)
    stopping = Stopping(lambda text: None)
    of_specs = (secret for spec in specs for secret in (*spec.sensitive, *spec.auth.secrets.values()))
    redactor = Redactor([*of_specs, *vm.auth.secrets.values()])
    async with opened(journal, redactor.text) as book, living(vm.site.run, journal):
        await book.run_started(vm.site.run, str(vm.machine.id), "")
        work = Run(vm.site, book, tell, stopping, options or RunOptions(), redactor)
        outcomes = await work.outcomes(specs)
        clean = all(isinstance(outcome, Built) and not outcome.residues for outcome in outcomes)
        await book.run_finished(vm.site.run, "done" if clean else "failed")
    return outcomes


async def build(path: str | Path, tell: Callable[[Event], None] = lambda event: None) -> list[Outcome]:
    """Build everything in a template on this VM, with the authentication that the template asks for.

    Raises UserError when its builders ask for different ones.
    """
    # The cloud is needed to find the VM, and the VM to know what the template means, be it for the login.
    cloud = await cloud_of(await settled(shared_auth(load(path)), os.environ, lambda text: None))
    specs = load(path, (await this_machine(cloud)).facts)
    async with connected(shared_auth(specs), cloud) as vm:
        return await run(specs, vm, tell)
