"""The process: a world, its doors, its leases, from start to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from localarm.app import Application
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.catalogue import Catalogue
from localarm.clock import steady_clock
from localarm.devices import Devices, LoopDevices, NoDevices
from localarm.door_https import Door, tls_context
from localarm.lease import SOCKET, address
from localarm.parts import Job
from localarm.settings import Settings
from localarm.state import SqliteState
from localarm.ticker import Ticker
from localarm.world import World

log = logging.getLogger("localarm")

HOSTS = ("localhost", "127.0.0.1", "::1", "management.azure.com", "login.microsoftonline.com", "login.windows.net")
GRACE = 0.1
"""Seconds that the server outlives its last lease, so that the next command finds it warm."""
COPIERS = 2


class Occupied(Exception):
    """Another server runs on this state directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server keeps its things and where it listens.

    Attributes:
        options: the options of the world as given, for leases that ask for others.
        devices: `loop` (data disks become devices; needs root) or `none`.
        catalogue: the cache of platform images, shared by worlds.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    metadata_host: str = "127.0.0.1"
    metadata_port: int = 0
    devices: str = "loop"
    links: Path = Path("/dev/disk/azure")
    catalogue: Path = Path("/var/lib/localarm/catalogue")
    until_idle: bool = False
    options: tuple[str, ...] = ()
    ready_fd: int = -1


def run(place: Place, settings: Settings) -> None:
    """Serve until a signal comes or, if asked for, the last lease is gone.

    Raises:
        Occupied: another server runs here.
    """
    with _occupied(place.state), asyncio.Runner() as runner:
        runner.run(_serve(place, settings))


async def _serve(place: Place, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    leases = Leases(over if place.until_idle else None)

    def tell(line: str) -> None:
        log.info(line)
        loop.call_soon_threadsafe(leases.tell, line)

    catalogue = Catalogue(place.catalogue, tell)
    with ThreadPoolExecutor(COPIERS, "copier") as pool, _world(place, settings, loop, pool, catalogue) as world:
        application = Application(world)
        ticker = Ticker(world)
        door = Door(application, ticker.stir)
        world.stirred = ticker.stir
        tls = tls_context(place.state / "tls", HOSTS)
        port = await door.open(place.host, place.port, tls)
        metadata_port = await door.open(place.metadata_host, place.metadata_port, None)
        facts = {
            "metadata_url": f"http://{place.metadata_host}:{metadata_port}",
            "resource_manager": f"https://localhost:{port}",
            "metadata_host": f"localhost:{port}",
            "ca_file": str(place.state / "tls" / "ca.pem"),
            "pid": os.getpid(),
            "state": str(place.state),
            "options": list(place.options),
            "applications": [each.client_id for each in settings.all_principals],
        }
        await leases.open(place.state, facts)
        log.info("ready: %s", facts)
        _tell_ready(place.ready_fd)
        async with anyio.create_task_group() as group:
            group.start_soon(ticker.run)
            await over.wait()
            world.retire()
            group.cancel_scope.cancel()
        await leases.close()
        await door.close()
    log.info("ended")


class Leases:
    """The connections that keep the server running. Each is told the server's facts, and then what is worth waiting for."""

    def __init__(self, over: asyncio.Event | None) -> None:
        self._facts = b""
        self._over = over
        self._held: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._ending: asyncio.TimerHandle | None = None

    def tell(self, line: str) -> None:
        """Say something to all of them."""
        for writer in self._held:
            writer.write(line.encode() + b"\n")

    async def open(self, state: Path, facts: dict[str, Any]) -> None:
        """Listen for leases."""
        self._facts = json.dumps(facts).encode() + b"\n"
        directory, path = address(state)
        with contextlib.suppress(FileNotFoundError):
            (state / SOCKET).unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listening.bind(path)
        os.close(directory)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening)
        # The client that started this server comes within moments; if it died meanwhile, nobody does.
        self._end_after(10.0)

    async def close(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._over is not None and self._over.is_set():
            writer.close()  # without the facts: who came too late starts a server of their own
            return
        if self._ending is not None:
            self._ending.cancel()
        try:
            writer.write(self._facts)
            self._held.add(writer)
            await writer.drain()
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass  # a lease that broke is a lease that ended
        finally:
            self._held.discard(writer)
            writer.close()
            if not self._held:
                self._end_after(GRACE)

    def _end_after(self, seconds: float) -> None:
        if self._over is not None:
            self._ending = asyncio.get_running_loop().call_later(seconds, self._over.set)


@contextlib.contextmanager
def _world(
    place: Place,
    settings: Settings,
    loop: asyncio.AbstractEventLoop,
    pool: ThreadPoolExecutor,
    catalogue: Catalogue,
) -> Iterator[World]:
    def workshop(job: Job, over: Callable[[BaseException | None], None]) -> None:
        pool.submit(job).add_done_callback(lambda done: loop.call_soon_threadsafe(over, done.exception()))

    devices: Devices = LoopDevices(place.state, place.links) if place.devices == "loop" else NoDevices()
    world: World | None = None
    try:
        world = born(
            settings,
            clock=steady_clock(),
            new_id=lambda: str(uuid.uuid4()),
            state=SqliteState(place.state / "world.sqlite"),
            blobs=BlobStore(place.state / "blobs"),
            devices=devices,
            catalogue=catalogue,
            workshop=workshop,
        )
        yield world
    finally:
        if world is None:
            devices.close()
        else:
            world.close()


@contextlib.contextmanager
def _occupied(state: Path) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    with (state / "server.lock").open("a") as lock:
        deadline = 50  # a server that is just ending takes moments to remove its devices
        for attempt in range(deadline + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == deadline:
                    raise Occupied(f"another localarm serves {state}") from None
                signal.sigtimedwait([], 0.1)
        yield


def _tell_ready(ready_fd: int) -> None:
    if ready_fd >= 0:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
