"""Running a build's provisioners, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from gilder.host.guest import Guest
from gilder.model.spec import Provisioner
from gilder.provision.context import ProvisionContext


async def provision(guest: Guest, provisioners: Sequence[Provisioner], context: ProvisionContext) -> None:
    """Run provisioners in order. Raises GilderError (CommandFailed, ScriptFailed …) at the first that fails for good."""
    raise NotImplementedError
