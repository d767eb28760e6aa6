"""Running a build's provisioners, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gilder.host.guest import Guest
from gilder.model.errors import UserError
from gilder.model.spec import Provisioner, ShellProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.shell import run_shell
from gilder.provision.wrap import wrapped


async def provision(guest: Guest, provisioners: Sequence[Provisioner], context: ProvisionContext) -> None:
    """Run provisioners in order. Raises GilderError (ScriptFailed, ProvisionerTimedOut, HostError …) at the first that
    fails for good."""
    for spec in provisioners:
        if not isinstance(spec, ShellProvisioner):
            raise UserError(f"gilder reads the provisioner {spec.type}, but cannot run it yet")
        await wrapped(spec.type, spec.wrap, context, partial(run_shell, guest, spec, context))
