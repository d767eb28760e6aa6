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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from gilder.azure.arm import Arm
from gilder.azure.cloud import Cloud
from gilder.azure.metadata import Machine, this_machine
from gilder.build import Attendance, OnError
from gilder.engine import (
    Run,
    RunOptions,
    Stopping,
    arm_on,
    cloud_of,
    login_secrets,
    must_differ,
    settled,
    shared_auth,
    site_for,
)
from gilder.model.deadlines import Deadlines
from gilder.model.diagnostics import render
from gilder.model.errors import GilderError, HostError, Refused, UserError
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
from gilder.runtime.journal import DEFAULT_PATH, Journal, opened
from gilder.runtime.living import living
from gilder.runtime.naming import new_run
from gilder.runtime.redaction import Redactor
from gilder.template import Inputs
from gilder.template import load as load_text
from gilder.template.secrecy import environment_secrets, mistakes_redactor

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

    arm: Arm
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
    async with arm_on(cloud, complete, machine, say) as arm:
        yield Vm(arm, machine, complete)


def load(path: str | Path, vm: VmFacts | None = None, variables: dict[str, str] | None = None) -> list[BuildSpec]:
    """The builds of a template file; raises UserError that lists all its mistakes with their lines.

    Without `vm`, placeholders stand for what only an Azure VM knows: good for checking, not for building.
    """
    text = Path(path).read_text(encoding="utf-8")
    loaded = load_text(text, file=str(path), inputs=Inputs(variables=variables or {}, vm=vm))
    if not loaded.ok:
        hidden = mistakes_redactor(loaded, [text], os.environ)
        lines = (line for diagnostic in loaded.diagnostics for line in render(diagnostic, text, hidden.spans))
        raise UserError(hidden.text("\n".join(lines)))
    return list(loaded.builds)


async def run(
    specs: Sequence[BuildSpec],
    vm: Vm,
    tell: Callable[[Event], None] = lambda event: None,
    options: RunOptions | None = None,
    journal: Path = DEFAULT_PATH,
) -> list[Outcome]:
    """Run builds side by side; how each ended, in the order given. One that fails does not stop the others.

    May be called again on the same connection, also while another run goes on; each is a run of its own in the journal.

    `tell` hears every event; it must neither block nor raise. Raises UserError when two builds want one destination,
    Refused when the journal cannot be written.
    """
    must_differ(specs, vm.auth, vm.machine)
    stopping = Stopping(lambda text: None)
    of_specs = (secret for spec in specs for secret in (*spec.sensitive, *spec.auth.secrets.values()))
    others = login_secrets(vm.auth) | environment_secrets(os.environ)
    redactor = Redactor([*of_specs, *others.values()])
    name = new_run()
    site = site_for(vm.arm, vm.machine, vm.auth, name)
    async with opened(journal, redactor.text) as book, living(name, journal):
        await book.run_started(name, str(vm.machine.id), "")
        try:
            outcomes = await Run(site, book, tell, stopping, options or RunOptions(), redactor).outcomes(specs)
        except anyio.get_cancelled_exc_class():
            # All builds have ended, and given back what they held: no later run must take this one for crashed.
            with anyio.CancelScope(shield=True):
                await _noted(book, name, "failed")
            raise
        clean = all(isinstance(outcome, Built) and not outcome.residues for outcome in outcomes)
        await _noted(book, name, "done" if clean else "failed")
    return outcomes


async def _noted(book: Journal, run: str, status: str) -> None:
    """Note the end of a run. A disk that is full by now hides no outcome: the next run looks, and finds nothing to do."""
    with suppress(HostError):
        await book.run_finished(run, status)


async def build(path: str | Path, tell: Callable[[Event], None] = lambda event: None) -> list[Outcome]:
    """Build everything in a template on this VM, with the authentication that the template asks for.

    Raises UserError when its builders ask for different ones.
    """
    # The cloud is needed to find the VM, and the VM to know what the template means, be it for the login.
    cloud = await cloud_of(await settled(shared_auth(load(path)), os.environ, lambda text: None))
    specs = load(path, (await this_machine(cloud)).facts)
    async with connected(shared_auth(specs), cloud) as vm:
        return await run(specs, vm, tell)
