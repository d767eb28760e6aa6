"""A flow replayed against localarm in virtual time, every answer compared with the recorded one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from tests.conformance import seeds
from tests.conformance.compare import Difference, differences
from tests.conformance.flows import Exchange, seconds, started

from localarm.app import Application
from localarm.arm import Address, key
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.devices import NoDevices
from localarm.messages import Request
from localarm.regions import DISPLAY
from localarm.settings import Machine, Principal, Settings
from localarm.state import MemoryState

HOST = "11111111-2222-3333-4444-555555555555"
FOREVER = 1e9


@dataclass
class Result:
    """What came of one flow."""

    compared: int = 0
    given: int = 0
    replayed: list[Exchange] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


class Images:
    """A catalogue of what the flow names; their content is a few bytes."""

    def __init__(self, folder: Path, flow: list[Exchange]) -> None:
        self._found = seeds.platform_images(flow)
        self._file = folder / "content"
        self._file.write_bytes(b"content")

    def images(self) -> list[Any]:
        return self._found

    def blob(self, image: Any) -> Path:
        return self._file


class Replay:
    """One flow in a world made for it.

    A recording begins in the middle of things: what it reads before it has written it is *given* (put into the world as the
    answer shows it) and not counted as compared; what it wrote, and what follows from that, is compared.
    """

    def __init__(self, flow: list[Exchange], folder: Path) -> None:
        self.flow = flow
        self.now = _first_time(flow)
        subscriptions = {each.address.subscription for each in flow if each.address is not None}
        roles = tuple((f"/subscriptions/{each}", "Contributor") for each in subscriptions)
        principal = Principal("app", "object", "REDACTED", roles)
        clients = [Principal(each, each, "REDACTED") for each in _form_values(flow, "client_id")]
        tenants = [each.path.split("/")[1].lower() for each in flow if each.address is None and each.method == "POST"]
        settings = Settings(
            tenant=tenants[0] if tenants else "tenant",
            subscription=HOST, machines=(Machine("host", "host", "westus", "Standard_D4s_v5"),),
            principals=(principal, *clients),
            other_groups=tuple((each, "localarm-unused", "westus") for each in subscriptions),
            regions=tuple(dict.fromkeys([*DISPLAY, *seeds.regions(flow)])),
        )  # fmt: skip
        self.world = born(
            settings, clock=lambda: self.now, new_id=lambda: str(uuid.uuid4()), state=MemoryState(),
            blobs=BlobStore(folder / "blobs"), devices=NoDevices(), catalogue=Images(folder, flow),
        )  # fmt: skip
        self.application = Application(self.world)
        self.token, _ = self.application.tokens.issued(principal, "https://management.azure.com")
        self.polls: dict[str, str] = {}
        self.written: set[str] = set()
        self.lost: set[str] = set()

    def run(self) -> Result:
        """Replay all exchanges."""
        result = Result()
        for index, exchange in enumerate(self.flow):
            why = unreplayable(exchange) or self._follows_from_lost(exchange)
            if why:
                if exchange.status < 400:
                    self._lose(exchange)
                result.skipped.append(f"{exchange.flow}/{exchange.file}: {why}")
                continue
            given = self._prepare(index, exchange)
            answer = self._send(exchange)
            result.replayed.append(exchange)
            result.given += given
            result.compared += not given
            found = list(differences(exchange, answer.status, answer.headers, _plain(answer.payload)))
            if any(each.where == "status" for each in found):
                self._lose(exchange)
            result.differences += found
        return result

    def _lose(self, exchange: Exchange) -> None:
        """What came of this exchange is not what was recorded: what builds on it cannot be compared."""
        if exchange.method != "GET" and exchange.address is not None:
            self.lost |= {key(exchange.address.resource.id), exchange.guid}

    def _follows_from_lost(self, exchange: Exchange) -> str:
        if exchange.address is None or not self.lost:
            return ""
        named = {key(exchange.address.resource.id), exchange.guid} - {""}
        return "it builds on an exchange that could not be replayed" if named & self.lost else ""

    def _prepare(self, index: int, exchange: Exchange) -> bool:
        """Put in what the recording takes for granted, and let time pass as it did; True when the answer itself is given."""
        address = exchange.address
        if address is None:
            return False
        if address.kind.endswith("operations") or address.kind == "operationresults":
            return self._prepare_poll(exchange)
        without_group = exchange.status == 404 and "ResourceGroupNotFound" in json.dumps(exchange.answer)
        if address.group and address.namespace and not without_group:
            seeds.plant_group(self.world, address, "westus")
        if exchange.method in ("GET", "HEAD"):
            return self._prepare_read(exchange, address)
        self._prepare_write(index, exchange, address)
        return False

    def _prepare_poll(self, exchange: Exchange) -> bool:
        url = self.polls.get(exchange.guid)
        if url is None:
            if self.world.operation(exchange.guid) is None or exchange.answer:
                seeds.plant_operation(self.world, exchange)
            return True
        operation = self.world.operation(started(url))
        running = exchange.status == 202 or (
            isinstance(exchange.answer, dict) and exchange.answer.get("status") == "InProgress"
        )
        if operation is not None and not running and operation.steps:
            self.now = max(self.now, operation.steps[-1].at)
        return False

    def _prepare_read(self, exchange: Exchange, address: Address) -> bool:
        resource = address.resource
        touched = key(resource.id) in self.written or any(each.startswith(key(resource.id)) for each in self.written)
        documents = seeds.bodies([exchange])
        settled = all(
            each["properties"].get("provisioningState") in ("Succeeded", "Failed", None) for each in documents
        )
        if exchange.status in (200, 404) and settled:
            self._settle(address)
        if exchange.status != 200 or touched:
            return False
        for document in documents:
            if exchange.address is not None and exchange.address.group:  # recorders shorten group names in paths only
                parts = document["id"].split("/")
                document["id"] = "/".join([*parts[:4], exchange.address.group, *parts[5:]])
            if key(document["id"]) not in self.written:
                seeds.plant(self.world, document, settled=False)
        return bool(documents)

    def _prepare_write(self, index: int, exchange: Exchange, address: Address) -> None:
        answer = exchange.answer if isinstance(exchange.answer, dict) else {}
        location = str(answer.get("location") or _location(self.flow, exchange))
        resource = address.resource
        became = self._became(index, exchange)
        if address.kind.startswith("galleries/"):
            seeds.plant_missing(self.world, resource.parent.id, self.flow, location, {"hyperVGeneration": "V1"})
            if resource.kind == "galleries/images/versions":
                seeds.plant_missing(self.world, resource.parent.parent.id, self.flow, location, {})
        exists = exchange.method in ("PATCH", "POST", "DELETE") or (exchange.status == 200 and exchange.method == "PUT")
        if exists and exchange.status < 400:
            seeds.plant_missing(self.world, resource.id, self.flow[: index + 1] + self.flow[index:], location, became)
        for reference in seeds._references(exchange.body):
            seeds.plant_missing(self.world, reference, self.flow, location, became)
        if exchange.status < 400:
            self._settle(address)
            self.world.lasts = self._duration(index, exchange)
            self.world.next_fate = self._fate(index, exchange)
            self.written.add(key(resource.id))

    def _settle(self, address: Address) -> None:
        """Whatever runs on the resource has ended by now."""
        for operation in self.world.running(address.resource.id):
            if operation.steps:
                self.now = max(self.now, operation.steps[-1].at)
        self.world.advance()

    def _became(self, index: int, exchange: Exchange) -> dict[str, Any]:
        """The properties of what a write made, as later answers show them."""
        assert exchange.address is not None
        found: dict[str, Any] = {}
        for document in seeds.bodies(self.flow[index:]):
            if key(document["id"]) == key(exchange.address.resource.id):
                found = {**document["properties"], **found, **document["properties"]}
        return found

    def _later(self, index: int, exchange: Exchange) -> Iterator[dict[str, Any]]:
        for each in self.flow[index + 1 :]:
            if (
                exchange.guid
                and each.guid == exchange.guid
                and isinstance(each.answer, dict)
                and "status" in each.answer
            ):
                yield each.answer

    def _duration(self, index: int, exchange: Exchange) -> Any:
        for status in self._later(index, exchange):
            if "endTime" in status:
                lasts = seconds(status["endTime"]) - seconds(status["startTime"])
                return lambda kind: 3600.0 if kind == "snapshot.background-copy" else max(lasts, 0.001)
        return lambda kind: 20.0

    def _fate(self, index: int, exchange: Exchange) -> tuple[Literal["Failed", "Canceled"], str, str] | None:
        for status in self._later(index, exchange):
            if status["status"] in ("Failed", "Canceled"):
                error = status.get("error") or {}
                ended: Literal["Failed", "Canceled"] = "Failed" if status["status"] == "Failed" else "Canceled"
                return ended, error.get("code", ""), error.get("message", "")
        return None

    def _send(self, exchange: Exchange) -> Any:
        path, query = exchange.path, exchange.query
        if exchange.guid in self.polls and exchange.method == "GET":
            ours = started(self.polls[exchange.guid])
            path = path.rpartition("/")[0] + "/" + ours
        body = b"" if exchange.body is None else json.dumps(exchange.body).encode()
        if isinstance(exchange.body, str):
            body = exchange.body.encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        fate = self.world.next_fate
        request = Request(exchange.method, path, query, headers, body)
        self.world.advance()
        self.world.next_fate = fate
        answer = self.application.handle(request)
        lower = {name.lower(): value for name, value in answer.headers.items()}
        url = lower.get("azure-asyncoperation") or lower.get("location")
        if url and exchange.guid and exchange.method != "GET":
            self.polls[exchange.guid] = url
        return answer


NOT_COMPUTE = "another resource provider"


def unreplayable(exchange: Exchange) -> str:
    """Why an exchange cannot be replayed; empty when it can."""
    if exchange.status in (429, 500, 502, 503, 504):
        return f"{exchange.status} came of load or an outage, not of the request (localarm does it by a fault)"
    address = exchange.address
    if address is not None and address.namespace.lower() not in ("", "microsoft.compute", "microsoft.resources"):
        return NOT_COMPUTE
    if isinstance(exchange.body, str) and exchange.body == "mock_body":
        return "the recorder replaced the request body by 'mock_body'"
    return ""


def _form_values(flow: list[Exchange], name: str) -> list[str]:
    forms = [dict(parse_qsl(each.body)) for each in flow if isinstance(each.body, str)]
    return [form[name] for form in forms if name in form]


def _plain(payload: Any) -> Any:
    return json.loads(json.dumps(payload))


def _first_time(flow: list[Exchange]) -> float:
    for exchange in flow:
        if isinstance(exchange.answer, dict) and "startTime" in exchange.answer:
            return seconds(exchange.answer["startTime"])
    return 1_730_000_000.0


def _location(flow: list[Exchange], exchange: Exchange) -> str:
    for each in flow:
        if "/locations/" in each.path and each.guid == exchange.guid:
            return each.path.split("/locations/")[1].split("/")[0]
    return next((str(each["location"]) for each in seeds.bodies(flow) if "location" in each), "westus")
