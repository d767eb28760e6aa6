"""From authentication options to a connection on this VM, with everything that work there needs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from gilder.azure.arm import Arm, connected
from gilder.azure.cloud import Cloud
from gilder.azure.identity import credential_for
from gilder.azure.metadata import Machine
from gilder.azure.standing import caller
from gilder.azure.transport import transport_for
from gilder.build import Site
from gilder.engine.login import with_tenant
from gilder.model.ids import ArmId
from gilder.model.spec import Auth
from gilder.runtime.filelock import Turn, in_line, nobody
from gilder.runtime.living import works
from gilder.runtime.locks import KeyedLocks
from gilder.slots import LunDevices, SlotWriter

LOCKS = Path("/run/gilder")


@asynccontextmanager
async def arm_on(
    cloud: Cloud, auth: Auth, machine: Machine, say: Callable[[str], None], *, log_in: bool = True
) -> AsyncIterator[Arm]:
    """A connection for work on this VM, closed when the block ends.

    With `log_in`, `auth` (`settled`) that does not work is refused here, before anything is touched, and not by each
    build. Raises UserError and CloudError.
    """
    auth = await with_tenant(auth, cloud, machine.id.subscription)
    transport = transport_for(cloud)
    credential = credential_for(auth, cloud, transport)
    async with connected(cloud, credential, transport, say) as arm:
        if log_in:
            who = await caller(arm, time.time)
            if auth.object_id and who.object_id and auth.object_id.lower() != who.object_id.lower():
                say(f"object_id: the token is that of {who.object_id}, not of {auth.object_id}")
        yield arm


def site_for(arm: Arm, machine: Machine, auth: Auth, run: str) -> Site:
    """Everything that a run on this VM needs. Those of one process share it no more than those of several processes."""
    devices = LunDevices()
    writer = SlotWriter(arm, machine.id, devices, turn_on(machine.id), lambda other: other != run and works(other))
    return Site(arm, machine, writer, devices, run, turns=KeyedLocks(LOCKS), auth=auth)


@asynccontextmanager
async def site_on(
    cloud: Cloud, auth: Auth, machine: Machine, run: str, say: Callable[[str], None], *, log_in: bool = True
) -> AsyncIterator[Site]:
    """Both: `arm_on` and `site_for`."""
    async with arm_on(cloud, auth, machine, say, log_in=log_in) as arm:
        yield site_for(arm, machine, auth, run)


def turn_on(vm: ArmId) -> Turn:
    """Makes the block in which no other gilder process of this machine changes the VM's disks."""
    lock = LOCKS / f"{sha256(str(vm).lower().encode()).hexdigest()[:16]}.lock"
    return lambda busy=nobody: in_line(lock, busy=busy)
