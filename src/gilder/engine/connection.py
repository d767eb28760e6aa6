"""From authentication options to a connection on this VM, with everything that work there needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path

from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.arm import connected
from gilder.azure.cloud import Cloud
from gilder.azure.identity import credential_for
from gilder.azure.metadata import Machine
from gilder.build import Site
from gilder.model.ids import ArmId
from gilder.model.spec import Auth
from gilder.runtime.filelock import file_locked
from gilder.runtime.locks import KeyedLocks
from gilder.slots import LunDevices, SlotWriter

LOCKS = Path("/run/gilder")


@asynccontextmanager
async def site_on(
    cloud: Cloud, auth: Auth, machine: Machine, run: str, say: Callable[[str], None]
) -> AsyncIterator[Site]:
    """A connection with everything that work on this VM needs, closed when the block ends."""
    transport = AioHttpTransport(connection_verify=str(cloud.ca_file) if cloud.ca_file else True)
    credential = credential_for(auth, cloud, transport)
    devices = LunDevices()
    async with connected(cloud, credential, transport, say) as arm:
        writer = SlotWriter(arm, machine.id, devices, turn_on(machine.id))
        yield Site(arm, machine, writer, devices, run, turns=KeyedLocks(LOCKS))


def turn_on(vm: ArmId) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Makes the block in which no other gilder process of this machine changes the VM's disks."""
    lock = LOCKS / f"{sha256(str(vm).lower().encode()).hexdigest()[:16]}.lock"
    return lambda: file_locked(lock)
