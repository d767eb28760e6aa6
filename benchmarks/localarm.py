"""What localarm itself costs: requests through its HTTPS door.

`python -m benchmarks.localarm [--gets N] [--pairs N] [--connections N]`: needs no root. Prints requests per second, the
server's CPU per request and its memory before and after; the last line is everything as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.cloud import cpu_seconds
from localarm.settings import SUBSCRIPTION

COMPUTE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/gilder-local/providers/Microsoft.Compute"
VERSION = "?api-version=2024-03-02"
DISK = {"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}


@dataclass(frozen=True)
class Figures:
    """What one load cost: seconds, requests per second, milliseconds of server CPU per request, MiB of server memory."""

    requests: int
    seconds: float
    per_second: float
    cpu_ms: float
    memory_before: float
    memory_after: float


def memory(pid: int) -> float:
    """Resident memory in MiB."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def measured(pid: int, requests: int, load: Callable[[], Awaitable[None]]) -> Figures:
    """Run a load of so many requests."""
    before, cpu, start = memory(pid), cpu_seconds(pid), time.perf_counter()
    await load()
    seconds = time.perf_counter() - start
    used = cpu_seconds(pid) - cpu
    return Figures(requests, seconds, requests / seconds, 1000 * used / requests, before, memory(pid))


class Load:
    """A number of connections that ask at once."""

    def __init__(self, session: aiohttp.ClientSession, base: str, connections: int) -> None:
        self._session = session
        self._base = base
        self._connections = connections

    async def ask(self, method: str, path: str, body: Any = None) -> int:
        """One request; its status."""
        async with self._session.request(method, self._base + path + VERSION, json=body) as answer:
            await answer.read()
            return answer.status

    async def spread(self, count: int, each: Callable[[int], Awaitable[None]]) -> None:
        """Do `each` of 0 to `count`, as many at once as there are connections."""

        async def some(first: int) -> None:
            for index in range(first, count, self._connections):
                await each(index)

        async with asyncio.TaskGroup() as group:
            for first in range(self._connections):
                group.create_task(some(first))

    async def gets(self, count: int) -> None:
        """GETs of one disk."""

        async def get(index: int) -> None:
            assert await self.ask("GET", f"{COMPUTE}/disks/one") == 200

        await self.spread(count, get)

    async def pairs(self, count: int) -> None:
        """Creates and deletes of a disk each."""

        async def pair(index: int) -> None:
            assert await self.ask("PUT", f"{COMPUTE}/disks/d{index}", DISK) == 202
            assert await self.ask("DELETE", f"{COMPUTE}/disks/d{index}") == 202

        await self.spread(count, pair)


async def loads(facts: dict[str, Any], options: argparse.Namespace) -> dict[str, Figures]:
    """Both loads, after a little warming up."""
    path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"
    request = urllib.request.Request(facts["metadata_url"] + path, headers={"Metadata": "true"})
    with urllib.request.urlopen(request) as answer:
        token = json.load(answer)["access_token"]
    tls = ssl.create_default_context(cafile=facts["ca_file"])
    connector = aiohttp.TCPConnector(ssl=tls, limit=options.connections)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as session:
        load = Load(session, facts["resource_manager"], options.connections)
        await load.ask("PUT", f"{COMPUTE}/disks/one", DISK)
        await load.gets(200)
        return {
            "gets": await measured(facts["pid"], options.gets, lambda: load.gets(options.gets)),
            "pairs": await measured(facts["pid"], 2 * options.pairs, lambda: load.pairs(options.pairs)),
        }


def main() -> None:
    """Start a server, load it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gets", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        argv = [sys.executable, "-m", "localarm", "lease", "--state", state, "--devices=none"]
        start = time.perf_counter()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lease:
            assert lease.stdout is not None
            facts = json.loads(lease.stdout.readline())
            started = time.perf_counter() - start
            found = asyncio.run(loads(facts, options))
            lease.communicate()
        while Path(f"/proc/{facts['pid']}").exists():
            time.sleep(0.01)
        start = time.perf_counter()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lease:
            assert lease.stdout is not None
            lease.stdout.readline()
            again = time.perf_counter() - start
            lease.communicate()
    print(f"start: {started:.2f} s with new certificates, {again:.2f} s again")
    for name, each in found.items():
        print(
            f"{name:<6} {each.requests:>6} requests in {each.seconds:6.2f} s = {each.per_second:7.0f}/s, "
            f"server CPU {each.cpu_ms:.3f} ms each, memory {each.memory_before:.1f} -> {each.memory_after:.1f} MiB"
        )
    print(json.dumps({"start": started, "start_again": again, **{name: asdict(each) for name, each in found.items()}}))


if __name__ == "__main__":
    main()
