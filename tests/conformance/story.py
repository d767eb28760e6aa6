"""What a flow tells of its resources and operations, and when: the only source of what a recording takes for granted."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.conformance.flows import Exchange

from localarm.arm import Address, key

Json = dict[str, Any]

GROUP = "resourcegroups"
KINDS = (
    GROUP,
    "disks",
    "snapshots",
    "images",
    "galleries",
    "galleries/images",
    "galleries/images/versions",
    "virtualmachines",
)
"""The kinds of resources that localarm has."""
CHANGING = ("Creating", "Updating", "Deleting", "Migrating")
WRITES = ("PUT", "PATCH", "POST", "DELETE")


@dataclass(frozen=True)
class Sight:
    """A resource as one answer shows it.

    Attributes:
        index: of the exchange.
        document: with the id by which the requests name it.
        read: whether it was asked for; else it is the first answer of a write, or the outcome of its operation.
    """

    index: int
    document: Json
    read: bool


class Story:
    """One flow, looked up by resource and by operation."""

    def __init__(self, flow: list[Exchange]) -> None:
        self.flow = flow
        self.sights: dict[str, list[Sight]] = defaultdict(list)
        self.writes: dict[str, list[int]] = defaultdict(list)
        self.starts: dict[str, int] = {}
        for index, exchange in enumerate(flow):
            self._take(index, exchange)

    def _take(self, index: int, exchange: Exchange) -> None:
        if exchange.method in WRITES and exchange.status < 400 and exchange.address is not None:
            self.writes[key(target(exchange))].append(index)
            if exchange.guid:
                self.starts[exchange.guid] = index
        read = exchange.method in ("GET", "HEAD") and not exchange.polls
        for document in self.documents(exchange):
            self.sights[key(document["id"])].append(Sight(index, document, read))

    def documents(self, exchange: Exchange) -> list[Json]:
        """The resources that an answer shows, each with the id by which requests name it (recorders shorten paths only)."""
        about = self._about(exchange)
        found = [_placed(document, about) for document in bodies(exchange.answer)]
        answer = exchange.answer
        if (
            found
            or about is None
            or not isinstance(answer, dict)
            or exchange.method not in WRITES
            or exchange.status >= 400
        ):
            return found
        resource = about.resource
        head = {"name": resource.name, "id": resource.id, "type": resource.type}
        if "properties" in answer and about.kind in KINDS:  # old first answers have no id
            return [{**head, **answer}]
        if about.kind == "virtualmachines/attachdetachdatadisks":
            return [{**head, "properties": {"storageProfile": answer}}]
        return []

    def _about(self, exchange: Exchange) -> Address | None:
        """What an exchange is about: what it addresses, or what the operation it polls changes."""
        if not exchange.polls:
            return exchange.address
        index = self.starts.get(exchange.guid)
        return None if index is None else self.flow[index].address

    def seen(self, resource_id: str, index: int) -> Sight | None:
        """The first sight of a resource from an exchange on."""
        return next((each for each in self.sights[key(resource_id)] if each.index >= index), None)

    def written(self, resource_id: str, first: int, last: int) -> list[int]:
        """The writes to a resource from one exchange to another, both included."""
        return [each for each in self.writes[key(resource_id)] if first <= each <= last]

    def polls(self, guid: str, index: int) -> Iterator[Exchange]:
        """The polls of an operation from an exchange on."""
        for exchange in self.flow[index:]:
            if guid and exchange.polls and exchange.guid == guid:
                yield exchange

    def runs(self, resource_id: str, guid: str, index: int) -> tuple[int, bool] | None:
        """When the flow next tells of an operation on a resource, and whether it says that it still runs."""
        for later in range(index, len(self.flow)):
            told = self._tells(self.flow[later], key(resource_id), guid)
            if told is not None:
                return later, told
        return None

    def _tells(self, exchange: Exchange, resource_key: str, guid: str) -> bool | None:
        if exchange.polls:
            return running(exchange) if guid and exchange.guid == guid else None
        address = exchange.address
        if exchange.method not in ("GET", "HEAD") or address is None:
            return None
        if exchange.status == 404:
            return False if key(address.resource.id) == resource_key else None
        for document in self.documents(exchange):
            if key(document["id"]) == resource_key:
                return state(document) in CHANGING
        return False if covers(exchange, resource_key) else None


def target(exchange: Exchange) -> str:
    """The id of the resource that a request is about."""
    path = re.sub(r"(?i)/providers/Microsoft\.Resources/tags/default/?$", "", exchange.path)
    address = Address.parse(path)
    assert address is not None
    return address.resource.id


def kind_of(address: Address) -> str:
    """The kind of what is addressed, groups included."""
    return address.kind or (GROUP if address.group else "")


def state(document: Json) -> str:
    """The provisioning state that a document shows."""
    return str((document.get("properties") or {}).get("provisioningState", ""))


def running(poll: Exchange) -> bool:
    """Whether a poll was told that the operation still runs."""
    return poll.status == 202 or (isinstance(poll.answer, dict) and poll.answer.get("status") == "InProgress")


def trimmed(exchange: Exchange) -> bool:
    """Whether a recorded list was cut."""
    items = exchange.answer.get("value") if isinstance(exchange.answer, dict) else exchange.answer
    return isinstance(items, list) and any(isinstance(each, dict) and "_trimmed_by_extractor" in each for each in items)


def covers(exchange: Exchange, resource_key: str) -> bool:
    """Whether an answer lists everything of a resource's kind in a place where it lies: what is not listed is not there."""
    address = exchange.address
    if address is None or exchange.method != "GET" or exchange.status != 200 or trimmed(exchange):
        return False
    if len(address.types) != len(address.names) + 1 or not isinstance(exchange.answer, dict):
        return False
    scope = key(address.resource.id if len(address.names) else Address(address.subscription, address.group).id)
    resource = Address.parse(resource_key)
    return resource is not None and resource.kind == address.kind and resource_key.startswith(scope + "/")


def bodies(answer: Any) -> list[Json]:
    """Every resource document in an answer, in order (those of operations' outputs and lists too)."""
    found: list[Json] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if all(isinstance(value.get(name), str) for name in ("id", "type", "location")):
                address = Address.parse(value["id"])
                if address is not None and kind_of(address) in KINDS and len(address.names) == len(address.types):
                    found.append(value)
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(answer)
    return found


def _placed(document: Json, about: Address | None) -> Json:
    address = Address.parse(document["id"])
    if about is None or address is None or not about.group or not address.group:
        return document
    parts = document["id"].split("/")
    return {**document, "id": "/".join([*parts[:2], about.subscription, parts[3], about.group, *parts[5:]])}


def references(body: Any) -> list[str]:
    """The ids of resources that a request's body names, other than its own."""
    if isinstance(body, dict):
        return [each for name, child in body.items() if name != "id" for each in _ids(child)]
    return _ids(body)


def _ids(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.lower().startswith("/subscriptions/") else []
    if isinstance(value, dict):
        return [each for child in value.values() for each in _ids(child)]
    return [each for child in value for each in _ids(child)] if isinstance(value, list) else []


def missed(exchange: Exchange) -> Callable[[str], bool]:
    """Tells of an id whether Azure refused the exchange because that was missing."""
    error = exchange.error
    if exchange.status < 400 or not str(error.get("code")).endswith("NotFound"):
        return lambda reference: False
    text = f"{error.get('target', '')} {error.get('message', '')}".lower()

    def named(reference: str) -> bool:
        name = reference.rstrip("/").rpartition("/")[2].lower()
        return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None

    if not any(named(each) for each in references(exchange.body)):
        return lambda reference: True
    return named
