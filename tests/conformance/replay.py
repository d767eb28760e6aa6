"""A flow replayed against localarm in virtual time, every answer compared with the recorded one."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tests.conformance import past
from tests.conformance.catalogue import Images
from tests.conformance.compare import Difference, differences
from tests.conformance.flows import Exchange, seconds, started
from tests.conformance.planting import Garden
from tests.conformance.stage import first_time, settings_for
from tests.conformance.story import WRITES, Story, covers, kind_of, missed, references, target

from localarm.app import Application
from localarm.arm import Address, key
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.calls import GATEWAY_MEMORY
from localarm.devices import NoDevices
from localarm.messages import Request, Response
from localarm.operations import Operation
from localarm.regions import short
from localarm.state import MemoryState

LASTS = 20.0
"""Seconds of an operation of which the flow does not tell how long it took."""
COPIES = 1e9
"""Seconds of a copy between regions: longer than any flow."""


@dataclass
class Result:
    """What came of one flow."""

    compared: int = 0
    given: int = 0
    answers: list[tuple[Exchange, Response]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


class Replay:
    """One flow in a world made for it.

    A recording begins in the middle of things: what it reads before it has written it is *given* (put into the world as the
    answer shows it) and not counted as compared; what it wrote, and what follows from that, is compared. Nor does it tell
    when things happened: an operation ends when the flow first tells that it has, and not before.
    """

    def __init__(self, flow: list[Exchange], folder: Path) -> None:
        self.flow = flow
        self.story = Story(flow)
        self.now = first_time(flow)
        folder.mkdir(parents=True, exist_ok=True)
        settings = settings_for(flow)
        self.world = born(
            settings, clock=lambda: self.now, new_id=lambda: str(uuid.uuid4()), state=MemoryState(),
            blobs=BlobStore(folder / "blobs"), devices=NoDevices(), catalogue=Images(folder, flow),
        )  # fmt: skip
        self.garden = Garden(self.world, self.story)
        self.application = Application(self.world)
        self.everybody, self.nobody = settings.principals[:2]
        self.polls: dict[str, str] = {}
        """Our poll addresses by the recorded operation."""
        self.guids: dict[str, str] = {}
        """Recorded operations by our id."""
        self.lost: set[str] = set()

    def run(self) -> Result:
        """Replay all exchanges."""
        result = Result()
        for index, exchange in enumerate(self.flow):
            why = unreplayable(exchange) or self._of_blobs(exchange) or self._follows_from_lost(exchange)
            if why:
                if exchange.status < 400:
                    self._lose(exchange)
                result.skipped.append(f"{exchange.flow}/{exchange.file}: {why}")
                continue
            given = self._prepare(index, exchange)
            answer = self._send(exchange)
            result.answers.append((exchange, answer))
            result.given += given
            result.compared += not given
            found = list(differences(exchange, answer.status, answer.headers, plain(answer.payload)))
            if any(each.where == "status" for each in found):
                self._lose(exchange)
            result.differences += found
        return result

    def _lose(self, exchange: Exchange) -> None:
        """What came of this exchange is not what was recorded: what builds on it cannot be compared."""
        if exchange.method != "GET" and exchange.address is not None:
            self.lost |= {key(exchange.address.resource.id), exchange.guid}

    def _of_blobs(self, exchange: Exchange) -> str:
        if (
            exchange.address is None
            or exchange.method not in WRITES
            or exchange.address.types[:1] != ("virtualMachines",)
        ):
            return ""
        documents = [each.document for each in self.story.sights[key(target(exchange))]]
        return "the machine's disks are blobs, which localarm has not" if '"vhd"' in json.dumps(documents) else ""

    def _follows_from_lost(self, exchange: Exchange) -> str:
        if exchange.address is None or not self.lost:
            return ""
        named = {key(exchange.address.resource.id), exchange.guid} - {""}
        return "it builds on an exchange that could not be replayed" if named & self.lost else ""

    # What the recording takes for granted

    def _prepare(self, index: int, exchange: Exchange) -> bool:
        """Put it in, and let end what has ended by now; True when the answer itself is given."""
        address = exchange.address
        if address is None or not address.subscription:
            return False
        self.garden.weed()
        self._settle(index, exchange)
        if exchange.polls:
            return self._prepare_poll(exchange)
        self._prepare_place(exchange, address)
        if exchange.method in ("GET", "HEAD"):
            return self._prepare_read(index, exchange, address)
        self._prepare_write(index, exchange, address)
        return False

    def _prepare_poll(self, exchange: Exchange) -> bool:
        if exchange.guid in self.polls:
            return False
        if exchange.status < 400:
            self.garden.plant_operation(exchange)
        return True

    def _prepare_place(self, exchange: Exchange, address: Address) -> None:
        """The group that is addressed, and what is above something nested, are there unless Azure says that they are not."""
        group = Address(address.subscription, address.group)
        code = str(exchange.error.get("code"))
        if code == "ResourceGroupNotFound":
            self.garden.clear(group.id)
        elif address.namespace and code != "ParentResourceNotFound":
            self.garden.plant_above(address.resource, self._location(exchange))
        elif address.group and address.namespace:
            self.garden.plant_missing(group.id, 0, self._location(exchange), {})
            self.garden.clear(address.parent.id)

    def _prepare_read(self, index: int, exchange: Exchange, address: Address) -> bool:
        documents = self.story.documents(exchange)
        if exchange.status in (404, 410):
            self._prepare_missing(exchange, address)
            return False
        ours = [
            each for each in documents if key(each["id"]) in self.garden.written or self.garden.changed(each, index)
        ]
        fresh = [each for each in documents if each not in ours]
        for document in fresh:
            self.garden.plant(document, self._location(exchange))
        for resource in self.world.all(address.kind):  # what was planted for something else, and is not there by now
            if covers(exchange, resource.key) and resource.key not in {key(each["id"]) for each in documents}:
                self.garden.clear(resource.id)
        if exchange.status < 300 and not documents and len(address.types) >= len(address.names) > 0:
            power = re.search(r"PowerState/(\w+)", json.dumps(exchange.answer))
            self.garden.plant_missing(target(exchange), index, self._location(exchange), {}, power[1] if power else "")
        if exchange.method == "HEAD" and exchange.status < 300:
            self.garden.plant_missing(target(exchange), index, self._location(exchange), {})
        return bool(documents) and len(fresh) == len(documents)

    def _prepare_missing(self, exchange: Exchange, address: Address) -> None:
        """What Azure did not find is not there; for some seconds after its deletion the provider says so itself."""
        resource = address.resource
        self.garden.clear(resource.id)
        by_provider = exchange.error.get("code") == "NotFound"
        gone = self.world.gone.get(key(resource.id))
        if by_provider and gone is None and not self.story.written(resource.id, 0, len(self.flow)):
            self.world.gone[key(resource.id)] = self.now
        elif by_provider and gone is not None and self.now - gone >= GATEWAY_MEMORY:
            self.world.gone[key(resource.id)] = (
                self.now
            )  # it was asked at once; other things of the flow took their time here
        elif not by_provider and gone is not None:
            self.now = max(self.now, gone + GATEWAY_MEMORY)

    def _prepare_write(self, index: int, exchange: Exchange, address: Address) -> None:
        location = self._location(exchange)
        about = target(exchange)
        hints = self._became(index, about)
        refused = exchange.status >= 400
        self.garden.plant_told(index, exchange, location)
        if self._there_before(index, exchange):
            power = "stopped" if address.kind.endswith("/generalize") else ""
            self.garden.plant_missing(about, index, location, hints, power)
        elif not refused:
            resource = Address.parse(about)
            assert resource is not None
            self.garden.pull_out(resource)
        missing = missed(exchange)
        for reference in references(exchange.body):
            if missing(reference):
                self.garden.clear(reference)
            else:
                self.garden.plant_missing(reference, index, location, hints)
        if not refused:
            self.world.lasts = self._duration(index, exchange)
            self.world.next_fate = self._fate(index, exchange)
            self.garden.written.add(key(about))

    def _there_before(self, index: int, exchange: Exchange) -> bool:
        """Whether what a write is about was there before it."""
        about = target(exchange)
        address = Address.parse(about)
        if exchange.status >= 400:
            sight = self.story.seen(about, index)
            known = sight is not None and not self.story.written(about, index, sight.index)
            return exchange.error.get("code") not in NOT_FOUND and (exchange.method != "PUT" or known)
        if exchange.method == "PUT" and address is not None and kind_of(address) in ("disks", "snapshots"):
            made = past.made_then(self.story, exchange, about, index)
            return not made if made is not None else self.world.find(kind_of(address), about) is not None
        return exchange.status != 201 and not (exchange.method == "DELETE" and exchange.status == 204)

    def _location(self, exchange: Exchange) -> str:
        """The region in which what is missing is made up."""
        for each in (exchange.body, exchange.answer):
            if isinstance(each, dict) and isinstance(each.get("location"), str):
                return short(each["location"])
        for place in (
            exchange.path,
            exchange.headers.get("azure-asyncoperation", ""),
            exchange.headers.get("location", ""),
        ):
            if "/locations/" in place:
                return short(place.split("/locations/")[1].split("/")[0])
        sights = [sight for found in self.story.sights.values() for sight in found]
        return next(
            (short(str(each.document["location"])) for each in sights if each.document.get("location")), "westus"
        )

    def _became(self, index: int, resource_id: str) -> dict[str, Any]:
        """The properties of what a write made, as later answers show them."""
        found: dict[str, Any] = {}
        for sight in self.story.sights[key(resource_id)]:
            if sight.index >= index:
                found = {**found, **(sight.document.get("properties") or {})}
        return found

    # Operations and their time

    def _settle(self, index: int, exchange: Exchange) -> None:
        """Let end the operations that the flow tells to be over from here on."""
        named = {key(each) for each in references(exchange.body)}
        if exchange.method not in ("GET", "HEAD") and exchange.status < 400:
            named.add(key(target(exchange)))  # and what is below it: nothing is deleted before that
        for operation in self.world.running():
            told = self.story.runs(operation.target, self.guids.get(operation.id, ""), index)
            over = told == (index, False)
            if over or (key(operation.target).startswith(tuple(named)) and not (told and told[1])):
                self._finish(operation, index)
        self.world.advance()

    def _finish(self, operation: Operation, index: int) -> None:
        """Let time pass until an operation is over, but no other of which the flow tells that it still runs."""
        if not operation.steps:
            return
        end = max(self.now, operation.steps[-1].at)
        for other in self.world.running():
            told = self.story.runs(other.target, self.guids.get(other.id, ""), index)
            if other.id != operation.id and told and told[1] and other.steps and other.steps[-1].at <= end:
                later = tuple(replace(step, at=step.at + end - other.steps[-1].at + 1) for step in other.steps)
                self.world._keep(replace(other, steps=later))
        self.now = end
        self.world.advance()

    def _later(self, index: int, exchange: Exchange) -> Iterator[dict[str, Any]]:
        for poll in self.story.polls(exchange.guid, index + 1):
            if isinstance(poll.answer, dict) and "status" in poll.answer:
                yield poll.answer

    def _duration(self, index: int, exchange: Exchange) -> Any:
        lasts = LASTS
        for status in self._later(index, exchange):
            if "endTime" in status:
                lasts = max(seconds(status["endTime"]) - seconds(status["startTime"]), 0.001)
        return lambda kind: COPIES if kind == "snapshot.background-copy" else lasts

    def _fate(self, index: int, exchange: Exchange) -> tuple[Literal["Failed", "Canceled"], str, str] | None:
        """How an operation ends, where that did not come of the request: else localarm itself must know."""
        for status in self._later(index, exchange):
            error = status.get("error") or {}
            if status["status"] in ("Failed", "Canceled") and error.get("code") in MISFORTUNES:
                ended: Literal["Failed", "Canceled"] = "Failed" if status["status"] == "Failed" else "Canceled"
                return ended, error.get("code", ""), error.get("message", "")
        return None

    # Requests

    def _send(self, exchange: Exchange) -> Response:
        path, query = exchange.path, exchange.query
        if exchange.guid in self.polls and exchange.polls:
            path = path.rpartition("/")[0] + "/" + started(self.polls[exchange.guid])
        body = b"" if exchange.body is None else json.dumps(exchange.body).encode()
        if isinstance(exchange.body, str):
            body = exchange.body.encode()
        headers = {"content-type": "application/json", **self._authorization(exchange)}
        request = Request(exchange.method, path, query, headers, body, exchange.base)
        fate = self.world.next_fate
        self.world.advance()
        self.world.next_fate = fate
        answer = self.application.handle(request)
        lower = {name.lower(): value for name, value in answer.headers.items()}
        url = lower.get("azure-asyncoperation") or lower.get("location")
        if url and exchange.guid and exchange.method != "GET":
            self.polls[exchange.guid] = url
            self.guids[started(url)] = exchange.guid
        return answer

    def _authorization(self, exchange: Exchange) -> dict[str, str]:
        """Who asks, so that Azure answers as it did."""
        code = exchange.error.get("code")
        if exchange.address is None or code == "AuthenticationFailed":
            return {}
        if code == "InvalidAuthenticationToken":
            return {"authorization": "Bearer nonsense"}
        refused = exchange.status == 403 and code in ("AuthorizationFailed", "LinkedAuthorizationFailed")
        audience = "https://management.azure.com"
        if code == "InvalidAuthenticationTokenAudience":
            audience = "https://vault.azure.net"
        if code == "ExpiredAuthenticationToken":
            now, self.now = self.now, self.now - 2 * self.world.settings.token_lifetime
            token, _ = self.application.tokens.issued(self.everybody, audience)
            self.now = now
        else:
            token, _ = self.application.tokens.issued(self.nobody if refused else self.everybody, audience)
        return {"authorization": f"Bearer {token}"}


MISFORTUNES = (
    "CannotAddAcceleratedNetworkingNicToAnExistingVirtualMachine", "DiskServiceInternalError", "InternalExecutionError",
    "OperationPreempted", "OSProvisioningTimedOut", "ResourceGroupBeingDeleted", "VMAgentStatusCommunicationError",
    "VMProcessingHalted",
)  # fmt: skip
"""Recorded failures that came of the service, the guest, the network, or of what somebody else did (localarm: by a fault)."""
NOT_COMPUTE = "another resource provider"
NOT_FOUND = ("NotFound", "ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound")


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


def plain(payload: Any) -> Any:
    """A payload as it arrives."""
    return json.loads(json.dumps(payload))
