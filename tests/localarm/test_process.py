"""The server process: leases, the SDK of the field as client, kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.compute.models import (
    AttachDetachDataDisksRequest,
    CreationData,
    DataDisksToAttach,
    Disk,
    DiskProperties,
)

from localarm.lease import connected
from localarm.server import Leases
from localarm.settings import SUBSCRIPTION

GROUP = "gilder-local"


class Lease:
    """A running `localarm lease`."""

    def __init__(self, state: Path, *options: str) -> None:
        argv = [sys.executable, "-m", "localarm", "lease", "--state", str(state), "--devices=none"]
        argv += [f"--catalogue={state / 'catalogue'}", *options]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.facts: dict[str, Any] = json.loads(line) if line else {}

    def end(self) -> tuple[int, str]:
        """Close standard input; returns exit status and what it said."""
        _, said = self.process.communicate(timeout=10)
        return self.process.returncode, said.decode()

    def wait_server_gone(self) -> None:
        deadline = time.monotonic() + 5
        while Path(f"/proc/{self.facts['pid']}").exists():
            assert time.monotonic() < deadline, "the server outlives its last lease"
            time.sleep(0.01)


@contextlib.contextmanager
def leased(state: Path, *options: str) -> Iterator[Lease]:
    lease = Lease(state, *options)
    try:
        yield lease
    finally:
        if lease.process.poll() is None:
            lease.end()
        if lease.facts:
            lease.wait_server_gone()


def metadata(lease: Lease, path: str, **headers: str) -> Any:
    request = urllib.request.Request(lease.facts["metadata_url"] + path, headers={"Metadata": "true", **headers})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_a_lease_starts_the_server_and_its_end_ends_it(tmp_path: Path) -> None:
    with leased(tmp_path) as lease:
        assert metadata(lease, "/metadata/instance/compute?api-version=2021-02-01")["resourceGroupName"] == GROUP


def test_leases_share_one_server_which_outlives_all_but_the_last(tmp_path: Path) -> None:
    with leased(tmp_path) as one, leased(tmp_path) as two:
        assert one.facts == two.facts
        assert one.end()[0] == 0
        assert metadata(two, "/metadata/versions")["apiVersions"]
        one.facts = {}  # its server goes on


def test_a_killed_client_ends_its_lease(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    lease.process.kill()
    lease.process.communicate()
    lease.wait_server_gone()


def test_a_server_that_ends_gives_no_more_leases(tmp_path: Path) -> None:
    async def late() -> object:
        over = asyncio.Event()
        leases = Leases(over)
        await leases.open(tmp_path, {"pid": 1})
        over.set()
        try:
            return await asyncio.to_thread(connected, tmp_path)
        finally:
            await leases.close()

    assert asyncio.run(late()) is None


def test_a_client_that_comes_while_the_server_ends_gets_a_server(tmp_path: Path) -> None:
    leases = [Lease(tmp_path)]
    for _ in range(4):
        assert leases[-1].end() == (0, "")
        leases.append(Lease(tmp_path))
    assert leases[-1].end() == (0, "")
    leases[-1].wait_server_gone()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "world.sqlite").mkdir()
    lease = Lease(tmp_path)
    status, said = lease.end()
    assert status == 1
    assert "unable to open database file" in said


async def test_the_sdk_of_the_field_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with leased(tmp_path) as lease:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", lease.facts["metadata_url"])
        ca = lease.facts["ca_file"]
        async with (
            ManagedIdentityCredential() as credential,
            ComputeManagementClient(
                credential, SUBSCRIPTION, lease.facts["resource_manager"], connection_verify=ca, polling_interval=0,
                credential_scopes=[lease.facts["resource_manager"] + "/.default"],
            ) as client,
        ):  # fmt: skip
            empty = Disk(
                location="westeurope",
                properties=DiskProperties(creation_data=CreationData(create_option="Empty"), disk_size_gb=4),
            )
            made = await client.disks.begin_create_or_update(GROUP, "d", empty)
            disk = await made.result()
            assert disk.properties
            assert disk.properties.disk_state == "Unattached"
            assert disk.id
            wish = AttachDetachDataDisksRequest(data_disks_to_attach=[DataDisksToAttach(disk_id=disk.id)])
            change = await client.virtual_machines.begin_attach_detach_data_disks(GROUP, "build-host", wish)
            await change.wait()
            machine = await client.virtual_machines.get(GROUP, "build-host")
            assert machine.properties
            assert machine.properties.storage_profile
            assert [entry.lun for entry in machine.properties.storage_profile.data_disks or []] == [0]
            assert machine.etag == '"2"'


def test_a_killed_server_comes_back_with_its_world(tmp_path: Path) -> None:
    with leased(tmp_path) as lease:
        os.kill(lease.facts["pid"], signal.SIGKILL)
        lease.wait_server_gone()
        assert lease.end() == (1, "localarm: the server has ended\n")
    with leased(tmp_path) as again:
        assert metadata(again, "/metadata/instance?api-version=2017-08-01")["compute"]["name"] == "build-host"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "localarm", *arguments], capture_output=True, text=True, check=False)


OTHER = "aaaaaaaa-1111-4222-8333-444444444444"


def test_a_world_has_as_many_machines_as_asked_for(tmp_path: Path) -> None:
    far = f"--machine=far,subscription={OTHER},group=there,location=northeurope,size=Standard_D4s_v5,zone=1"
    with leased(tmp_path, far, "--machine=near"):
        assert "3 virtualmachines" in command("status", "--state", str(tmp_path)).stdout
        warned = Lease(tmp_path, "--machine=near")
        assert f"other options: {far}" in warned.end()[1]
    for wrong in ("", "x,colour=red", "x,size="):
        assert "is no machine" in command("serve", "--state", str(tmp_path), f"--machine={wrong}").stderr


def test_mistakes_are_told_in_words(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for arguments, status, said in (
        (("faults", "--state", missing), 1, "no server runs"),
        (("serve", "--port", "99999"), 2, "99999 is no port"),
        (("serve", "--metadata-port", "-1"), 2, "-1 is no port"),
        (("lease", "--state", "/proc/nowhere"), 1, "No such file or directory"),
    ):
        ended = command(*arguments)
        assert (ended.returncode, "Traceback" in ended.stderr) == (status, False), ended.stderr
        assert said in ended.stderr
    assert not Path(missing).exists()


def test_the_commands_look_into_a_world(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path))
    assert "no server runs" in command("faults", *state).stderr
    with leased(tmp_path) as lease:
        assert "running" in command("status", *state).stdout
        added = command("faults", *state, "add", '{"what": "refuse", "method": "PUT"}')
        assert json.loads(added.stdout)["what"] == "refuse", added.stderr
        assert "no such fault" in command("faults", *state, "add", '{"what": "burn"}').stderr
        assert command("faults", *state, "clear").stdout == ""
        assert command("reset", *state, "--yes").returncode == 1
        warned = Lease(tmp_path, "--latency=median")
        status, said = warned.end()
        assert (status, warned.facts["pid"]) == (0, lease.facts["pid"])
        assert "other options: --latency=none" in said
    assert command("export", *state, "nothing", str(tmp_path / "x")).returncode == 1
    assert "not running" in command("status", *state).stdout
    assert "add --yes" in command("reset", *state).stdout
    assert (tmp_path / "world.sqlite").exists()
    assert command("reset", *state, "--yes").returncode == 0
    assert not (tmp_path / "world.sqlite").exists()
    assert command("nonsense").returncode == 2
