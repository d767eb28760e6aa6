"""What gilder asks the cloud for, judged as it is asked: whatever else went wrong, such a request is never right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azure.core.rest import AsyncHttpResponse, HttpRequest
from tests.virtual.place import Plugs

from gilder.model.tags import RUN
from localarm.app import Application
from localarm.arm import Address, key
from localarm.door_sdk import InProcessTransport, asked
from localarm.messages import Request
from localarm.resources import Resource
from localarm.ticker import Ticker
from localarm.world import World

OUR_RUNS = "run"
"""How the ids of the runs of a scene begin."""


def ours(resource: Resource | None) -> bool:
    """Whether a temporary resource was made by a run of this scene: its tags say so, and never its name."""
    tags = (resource.body.get("tags") or {}) if resource is not None else {}
    return str(tags.get(RUN, "")).startswith(OUR_RUNS)


class Watch:
    """Sees every request of every gilder process of a scene before the cloud does."""

    def __init__(self, world: World, plugs: Plugs) -> None:
        self._world = world
        self._plugs = plugs
        self.wrong: list[str] = []
        """The sentences that a wrong request completes."""

    def __call__(self, request: Request) -> None:
        """Judge a request."""
        address = Address.parse(request.path)
        if address is None:
            return
        for entry in self._left_out(request, address):
            self._detaches(entry)
        if request.method == "PUT" and address.kind == "snapshots":
            creation = (request.json() or {}).get("properties", {}).get("creationData", {})
            source = key(str(creation.get("sourceResourceId", "")))
            if any(entry["lun"] in self._plugs.mounted for entry in self._entries() if _disk(entry) == source):
                self.wrong.append(f"a snapshot was asked for of the mounted disk {source.rpartition('/')[2]}")

    def _left_out(self, request: Request, address: Address) -> Iterator[dict[str, Any]]:
        """The disks that the VM has and shall not have any more."""
        if request.method == "POST" and address.kind == "virtualmachines/attachdetachdatadisks":
            gone = {key(str(one["diskId"])) for one in (request.json() or {}).get("dataDisksToDetach") or []}
            yield from (entry for entry in self._entries() if _disk(entry) in gone)
        if request.method == "PUT" and address.kind == "virtualmachines" and self._current(request):
            storage = (request.json() or {}).get("properties", {}).get("storageProfile", {})
            kept = {_disk(entry) for entry in storage.get("dataDisks") or []}
            yield from (entry for entry in self._entries() if _disk(entry) not in kept)

    def _current(self, request: Request) -> bool:
        """Whether the VM is still as the request assumes; else it will be refused."""
        match = request.headers.get("if-match", "")
        return not match or match.strip('"') == str(self._machine().etag)

    def _machine(self) -> Resource:
        found = self._world.find("virtualmachines", self._world.settings.host_id)
        assert found is not None
        return found

    def _entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._machine().properties["storageProfile"].get("dataDisks", [])
        return [entry for entry in found if not entry.get("toBeDetached")]

    def _detaches(self, entry: dict[str, Any]) -> None:
        disk, name = self._world.find("disks", _disk(entry)), _disk(entry).rpartition("/")[2]
        if disk is not None and not ours(disk):
            self.wrong.append(f"the detach of {name} was asked for, which is a stranger's")
        if entry["lun"] in self._plugs.mounted:
            self.wrong.append(f"the detach of {name} was asked for while it is mounted")


def _disk(entry: dict[str, Any]) -> str:
    return key(str(entry["managedDisk"]["id"]))


class WatchedTransport(InProcessTransport):
    """The connection of a gilder process, whose requests are watched."""

    def __init__(self, application: Application, ticker: Ticker | None, watch: Watch) -> None:
        super().__init__(application, ticker)
        self._watch = watch

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        self._watch(asked(request))
        return await super().send(request, **kwargs)


class ByOthers:
    """The requests of those who are not gilder."""

    def __init__(self) -> None:
        self._known: set[tuple[float, str, str]] = set()

    def add(self, time: float, request: Request) -> None:
        """Note one, as it comes."""
        self._known.add((time, request.method, request.path))

    def knows(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry of the audit is one of them."""
        return (entry["time"], entry["method"], entry["path"]) in self._known


class OthersTransport(InProcessTransport):
    """The connection of somebody who is not gilder."""

    def __init__(self, application: Application, ticker: Ticker | None, known: ByOthers) -> None:
        super().__init__(application, ticker)
        self._world = application.world
        self._known = known

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        self._known.add(self._world.clock(), asked(request))
        return await super().send(request, **kwargs)
