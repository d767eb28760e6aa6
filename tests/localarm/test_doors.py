"""Two doors to one world: the field's own SDK in-process, in virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.identity.aio import ClientSecretCredential
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.compute.models import (
    AttachDetachDataDisksRequest,
    CreationData,
    DataDisksToAttach,
    Disk,
    DiskProperties,
)
from tests.localarm.conftest import Local, Maker
from tests.virtual.loop import in_virtual_time

from localarm.door_https import Door
from localarm.door_sdk import InProcessTransport, virtual_clock
from localarm.faults import Fault
from localarm.settings import APPLICATION, APPLICATION_SECRET, SUBSCRIPTION, TENANT
from localarm.ticker import Ticker

GROUP = "gilder-local"


@asynccontextmanager
async def clients(local: Local) -> AsyncIterator[ComputeManagementClient]:
    ticker = Ticker(local.world)
    transport = InProcessTransport(local.application, ticker)
    credential = ClientSecretCredential(
        TENANT, APPLICATION, APPLICATION_SECRET, transport=transport, disable_instance_discovery=True
    )
    async with (
        credential,
        ComputeManagementClient(credential, SUBSCRIPTION, transport=transport, polling_interval=1) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(ticker.run)
        yield client
        group.cancel_scope.cancel()


def empty(gb: int) -> Disk:
    return Disk(
        location="westeurope",
        properties=DiskProperties(creation_data=CreationData(create_option="Empty"), disk_size_gb=gb),
    )


def test_the_sdk_works_in_process_and_in_virtual_time(make_local: Maker) -> None:
    async def main() -> tuple[list[int | None], list[int]]:
        local = make_local(clock=virtual_clock(), latency="median", throttle=True)
        async with clients(local) as client:
            made = await client.disks.begin_create_or_update(GROUP, "d", empty(4))
            disk = await made.result()
            wish = AttachDetachDataDisksRequest(data_disks_to_attach=[DataDisksToAttach(disk_id=str(disk.id))])
            change = await client.virtual_machines.begin_attach_detach_data_disks(GROUP, "build-host", wish)
            await anyio.sleep(5)
            early = list(local.world.devices.attached())
            await change.wait()
            machine = await client.virtual_machines.get(GROUP, "build-host")
            assert machine.properties
            assert machine.properties.storage_profile
            assert machine.properties.storage_profile.data_disks
            return [entry.lun for entry in machine.properties.storage_profile.data_disks], early

    began = time.monotonic()
    (luns, early), lasted = in_virtual_time(main)
    assert luns == [0]
    assert early == [0], "the device appears before the operation ends, with no request in between"
    assert 8 < lasted < 60
    assert time.monotonic() - began < lasted / 2


def test_faults_look_as_on_a_network(make_local: Maker) -> None:
    async def main() -> None:
        local = make_local(clock=virtual_clock())
        async with clients(local) as client:
            local.application.faults.add(Fault("lose", "POST", "virtualmachines/attachdetachdatadisks"))
            wish = AttachDetachDataDisksRequest(data_disks_to_attach=[DataDisksToAttach(disk_id=local.disk("d"))])
            with pytest.raises(ServiceResponseError):
                await client.virtual_machines.begin_attach_detach_data_disks(GROUP, "build-host", wish)
            assert [entry["lun"] for entry in local.listed()] == [0]
            local.application.faults.add(Fault("hang", "GET", "disks"))
            with pytest.raises(HttpResponseError, match="was not found"):
                await client.disks.get(GROUP, "none")

    _, lasted = in_virtual_time(main)
    assert lasted >= 300, "the client waits for an answer that never comes, then asks again"


async def test_a_request_that_hangs_ends_with_its_client(make_local: Maker) -> None:
    local = make_local()
    local.application.faults.add(Fault("hang"))
    door = Door(local.application)
    port = await door.open("127.0.0.1", 0, None)
    before = len(asyncio.all_tasks())
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /subscriptions HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while not local.application.audit:
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) > before
    writer.close()
    with anyio.fail_after(5):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)
    await door.close()
