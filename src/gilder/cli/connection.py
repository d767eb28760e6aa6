"""From authentication options to a connection on this VM."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path

from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.arm import connected
from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.azure.identity import credential_for
from gilder.azure.metadata import Machine
from gilder.build import Site
from gilder.cli.embedded import Lease
from gilder.model.ids import ArmId
from gilder.model.spec import Auth
from gilder.runtime.filelock import file_locked
from gilder.runtime.locks import KeyedLocks
from gilder.slots import LunDevices, SlotWriter

LOCKS = Path("/run/gilder")


async def found_cloud(auth: Auth, lease: Lease | None) -> Cloud:
    """The cloud to build on: the embedded one, one described by `metadata_host`, or one known by name."""
    if lease is not None:
        embedded = lease.cloud()
        # azure-identity finds another metadata service by this variable only.
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = embedded.metadata_url
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    if auth.metadata_host:
        return await discovered_cloud(auth.metadata_host)
    return named_cloud(auth.cloud_environment_name)


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
