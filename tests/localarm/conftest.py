"""Worlds for tests: in memory with a stand-in catalogue, and as a server process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localarm.app import Application
from localarm.arm import Address
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.catalogue import PlatformImage
from localarm.devices import NoDevices
from localarm.messages import Request, Response
from localarm.parts import Job, Workshop, inline_workshop
from localarm.published import published
from localarm.settings import Settings
from localarm.state import MemoryState, State

TINY = PlatformImage("localarm", "busybox", "1", "1.0.0", 1, "V2", "x64", "Linux")
OLDER = PlatformImage("localarm", "busybox", "1", "0.9.10", 1, "V2", "x64", "Linux")


def version_for(path: str) -> str:
    """An api-version that what a path names has: the newest up to that of machines in July 2024."""
    address = Address.parse(path)
    known = published(address) if address is not None else ()
    return max((each for each in known if each <= "2024-07-01"), default="2024-07-01")


class StandInCatalogue:
    """Two images of a few bytes."""

    def __init__(self, cache: Path) -> None:
        self._file = cache / "tiny"
        self._file.write_bytes(b"tiny image")

    def images(self) -> tuple[PlatformImage, ...]:
        return (OLDER, TINY)

    def blob(self, image: PlatformImage, wanted: Callable[[], bool]) -> Path:
        return self._file


class Hands:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Patient:
    """A workshop that works when it is told to, as one does that has much to do, unless it has time."""

    def __init__(self) -> None:
        self.at_once = False
        self._jobs: list[tuple[Job, Callable[[BaseException | None], None]]] = []

    def __call__(self, job: Job, over: Callable[[BaseException | None], None]) -> None:
        self._jobs.append((job, over))
        if self.at_once:
            self.work()

    def work(self) -> None:
        """Do all that there is to do."""
        while self._jobs:
            inline_workshop(*self._jobs.pop(0))


@dataclass
class Local:
    """A world with its application, and short ways to talk to it."""

    application: Application
    clock: Hands
    token: str = ""
    token_until: float = 0.0

    @property
    def world(self) -> Any:
        return self.application.world

    @property
    def group(self) -> str:
        settings = self.application.world.settings
        return f"/subscriptions/{settings.subscription}/resourceGroups/{settings.group}"

    @property
    def compute(self) -> str:
        return f"{self.group}/providers/Microsoft.Compute"

    @property
    def machine(self) -> str:
        return str(self.application.world.settings.host_id)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request with a good token; a path without `api-version` gets a present one."""
        import json
        from urllib.parse import parse_qsl, unquote

        if self.clock() >= self.token_until:
            principal = self.application.world.settings.all_principals[0]
            self.token, claims = self.application.tokens.issued(principal, "https://management.azure.com/")
            self.token_until = claims["exp"]
        path, _, query = path.removeprefix("https://management.azure.com").partition("?")
        asked = {"api-version": version_for(path), **dict(parse_qsl(query, keep_blank_values=True))}
        sent = {
            "authorization": f"Bearer {self.token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = b"" if body is None else json.dumps(body).encode()
        return self.application.handle(Request(method, unquote(path), asked, sent, data))

    def done(self, response: Response, within: float = 3600) -> Any:
        """Poll an operation to its end, moving the clock; returns its status body."""
        assert response.status < 300, response.payload
        url = response.headers["Azure-AsyncOperation"]
        for _ in range(1000):
            status = self.ask("GET", url).payload
            if status["status"] != "InProgress":
                return status
            self.clock.now += within / 1000
        raise AssertionError(f"{url} never ends")

    def disk(self, name: str, gb: int = 1, **more: Any) -> str:
        """Make an empty disk; returns its id."""
        disk_id = f"{self.compute}/disks/{name}"
        body = {
            "location": "westeurope",
            "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": gb},
            **more,
        }
        assert self.done(self.ask("PUT", disk_id, body))["status"] == "Succeeded"
        return disk_id

    def listed(self) -> list[Any]:
        """The data disks the machine lists."""
        disks: list[Any] = self.ask("GET", self.machine).payload["properties"]["storageProfile"]["dataDisks"]
        return disks


Maker = Callable[..., Local]


@pytest.fixture
def make_local(tmp_path: Path) -> Iterator[Maker]:
    """A maker of worlds; keyword arguments are settings."""
    made: list[Local] = []
    numbers = itertools.count(1)

    def make(
        state: State | None = None,
        devices: Any = None,
        clock: Hands | None = None,
        workshop: Workshop = inline_workshop,
        **settings: Any,
    ) -> Local:
        clock = clock or Hands()
        (tmp_path / "catalogue").mkdir(exist_ok=True)
        world = born(
            Settings(**settings),
            clock=clock,
            new_id=lambda: f"00000000-0000-4000-8000-{next(numbers):012d}",
            state=state or MemoryState(),
            blobs=BlobStore(tmp_path / "blobs"),
            devices=devices or NoDevices(),
            catalogue=StandInCatalogue(tmp_path / "catalogue"),
            workshop=workshop,
        )
        made.append(Local(Application(world), clock))
        return made[-1]

    yield make
    for local in made:
        local.application.world.close()


@pytest.fixture
def local(make_local: Maker) -> Local:
    """A world with the default settings."""
    return make_local()
