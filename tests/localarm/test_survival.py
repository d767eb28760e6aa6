"""`kill -9` of the server at any moment, again and again: the world that comes back is consistent."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import version_for
from tests.localarm.invariants import UNSETTLED, check_attachments, check_blobs
from tests.localarm.test_process import GROUP, Lease, leased, metadata

from localarm.settings import SUBSCRIPTION
from localarm.state import SqliteState

COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
MACHINE = f"{COMPUTE}/virtualMachines/build-host"


class Client:
    """One connection to the server."""

    def __init__(self, lease: Lease) -> None:
        host, _, port = str(lease.facts["metadata_host"]).partition(":")
        context = ssl.create_default_context(cafile=lease.facts["ca_file"])
        self._connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"
        self._token = metadata(lease, path)["access_token"]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        target = f"{path}?api-version={version_for(path)}"
        self._connection.request(method, target, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def close(self) -> None:
        self._connection.close()


def busy(lease: Lease, seed: int, answered: list[tuple[str, str, int]]) -> None:
    """Ask for all sorts of things until the connection breaks."""
    chance = random.Random(seed)
    client = Client(lease)
    try:
        while True:
            method, path, body = wish(chance)
            status, _ = client.ask(method, path, body)
            answered.append((method, path, status))
    except (OSError, http.client.HTTPException):
        return
    finally:
        client.close()


def wish(chance: random.Random) -> tuple[str, str, Any]:
    name = chance.choice("abcdef")
    disk = f"{COMPUTE}/disks/{name}"
    kind = chance.randrange(7)
    if kind <= 1:
        creation: dict[str, Any] = {"createOption": "Empty"}
        if chance.random() < 0.5:
            creation = {"createOption": "Copy", "sourceResourceId": f"{COMPUTE}/disks/{chance.choice('abcdef')}"}
        size = {"diskSizeGB": 1} if creation["createOption"] == "Empty" else {}
        return "PUT", disk, {"location": "westeurope", "properties": {"creationData": creation, **size}}
    if kind == 2:
        creation = {"createOption": "Copy", "sourceResourceId": disk}
        return (
            "PUT",
            f"{COMPUTE}/snapshots/{name}",
            {"location": "westeurope", "properties": {"creationData": creation}},
        )
    if kind == 3:
        return "DELETE", f"{COMPUTE}/{chance.choice(['disks', 'snapshots'])}/{name}", None
    if kind == 4:
        return "POST", f"{MACHINE}/attachDetachDataDisks", {"dataDisksToDetach": [{"diskId": disk}]}
    return "POST", f"{MACHINE}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": disk}]}


@pytest.mark.slow
def test_a_server_killed_at_any_moment_comes_back_consistent(tmp_path: Path) -> None:
    options = ("--latency=median", "--scale=0.02", "--throttle=off")
    for round_ in range(4):
        lease = Lease(tmp_path, *options)
        answered: list[list[tuple[str, str, int]]] = [[], []]
        threads = [
            threading.Thread(target=busy, args=(lease, round_ * 2 + index, answered[index])) for index in range(2)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2 + 0.11 * round_)
        os.kill(lease.facts["pid"], signal.SIGKILL)
        for thread in threads:
            thread.join()
        lease.end()
        lease.wait_server_gone()
        assert any(status < 300 for each in answered for _, _, status in each), "nothing was going on"
        assert not [each for some in answered for each in some if each[2] == 500]
        settled_and_consistent(tmp_path, options)


def settled_and_consistent(state: Path, options: tuple[str, ...]) -> None:
    """Start the server, let what was interrupted end, and look at its memory."""
    with leased(state, *options) as lease:
        client = Client(lease)
        deadline = time.monotonic() + 10
        while True:
            _, machine = client.ask("GET", MACHINE)
            _, disks = client.ask("GET", f"{COMPUTE}/disks")
            _, snapshots = client.ask("GET", f"{COMPUTE}/snapshots")
            everything = [machine, *disks["value"], *snapshots["value"]]
            if not [each for each in everything if each["properties"]["provisioningState"] in UNSETTLED]:
                break
            assert time.monotonic() < deadline, "an interrupted operation never ends"
            time.sleep(0.02)
        client.close()
    memory = SqliteState(state / "world.sqlite", read_only=True)
    resources, operations, _ = memory.load()
    memory.close()
    assert not [each for each in operations if each.status == "InProgress"]
    check_blobs(resources, state / "blobs")
    check_attachments(resources)
