"""A call: a request that is authenticated, addressed and parsed, on its way to a handler."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localarm import laws
from localarm.arm import Address, key
from localarm.errors import Refused, gateway, invalid
from localarm.messages import Json, Request, Response
from localarm.operations import Operation
from localarm.resources import Resource, document
from localarm.settings import Principal
from localarm.shapes import well_typed
from localarm.world import World

GATEWAY_MEMORY = 10.0
"""Seconds after a delete in which the gateway still asks the provider, which says 404 in its own words (recorded)."""

Handler = Callable[["Call"], Response]


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler gets."""

    world: World
    request: Request
    address: Address
    api_version: str
    principal: Principal | None = None

    @property
    def id(self) -> str:
        """Id of the addressed resource (the one an action is done to)."""
        return self.address.resource.id

    @property
    def scope(self) -> str:
        """Id of the resource group, or else the subscription, that is addressed."""
        return Address(self.address.subscription, self.address.group).id

    def body(self) -> Json:
        """The JSON object of the request.

        Raises:
            Refused: 400, it is none.
        """
        try:
            found = json.loads(self.request.body, object_pairs_hook=_given) if self.request.body.strip() else None
        except ValueError as error:
            raise gateway(
                400,
                "InvalidRequestContent",
                f"The request content was invalid and could not be deserialized: '{error}'.",
            ) from error
        if found is None:
            found = {}
        if not isinstance(found, dict):
            raise gateway(400, "InvalidRequestContent", "The request content was invalid: an object was expected.")
        well_typed(found)
        return found

    def resource(self, kind: str) -> Resource:
        """The addressed resource.

        Raises:
            Refused: 404 as Resource Manager says it.
        """
        found = self.world.find(kind, self.id)
        if found is not None:
            return found
        deleted = self.world.gone.get(key(self.id), float("-inf"))
        if self.world.clock() - deleted < GATEWAY_MEMORY:
            raise _provider_not_found(kind, self.address.name)
        raise not_found(self.address.resource)

    def present(self, kind: str) -> Resource | None:
        """What a PUT updates; None when it creates: nothing is there, or only what a failed creation left.

        Raises:
            Refused: 409, that is being deleted.
        """
        found = self.world.find(kind, self.id)
        if found is None or not found.hidden.get("unmade"):
            return found
        laws.not_changing(self.world, found)
        return None


def _provider_not_found(kind: str, name: str) -> Refused:
    if kind in ("disks", "snapshots"):
        return Refused(404, "NotFound", f"{kind.removesuffix('s').capitalize()} {name} is not found.")
    return Refused(404, "NotFound", "The entity was not found in this Azure location.")


def not_found(address: Address) -> Refused:
    """404 ResourceNotFound, by the gateway."""
    path = f"{address.type}/" + "/".join(address.names)
    if len(address.names) > 1:
        path = f"{address.namespace}/" + "/".join(
            f"{kind}/{name}" for kind, name in zip(address.types, address.names, strict=True)
        )
    message = (
        f"The Resource '{path}' under resource group '{address.group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return gateway(404, "ResourceNotFound", message)


class Given(dict[str, Any]):
    """An object of a request: what it does not say and must, is refused as Azure refuses it. Null is as good as absent."""

    def __missing__(self, name: str) -> Any:
        raise invalid(name, f"Required parameter '{name}' is missing (null).")


def _given(pairs: list[tuple[str, Any]]) -> Given:
    return Given((name, value) for name, value in pairs if value is not None)


UNECHOED = ("diskIOPSReadWrite", "diskMBpsReadWrite")
"""What a first answer leaves out although the request had it (recorded); only of Ultra disks are they the client's to say."""

UNSHOWN = (
    *UNECHOED,
    "encryption",
    "timeCreated",
    "diskState",
    "diskSizeBytes",
    "uniqueId",
    "networkAccessPolicy",
    "publicNetworkAccess",
)
"""What the first answer to a PATCH leaves out (recorded)."""


def echoed(call: Call, state: str, found: Resource | None = None) -> Json:
    """The first answer to a PUT of a disk or snapshot: the request as it came, with name, id, type and `provisioningState`.

    Args:
        found: the resource as it was, when this is an update: its sku shows where the request has none.
    """
    body = call.body()
    asked = {name: value for name, value in body.get("properties", {}).items() if name not in UNECHOED}
    tier = asked.pop("tier", None)
    properties = {**asked, "provisioningState": state, **({"tier": tier} if tier else {})}
    return document(
        call.id,
        call.address.type,
        body.get("location", ""),
        zones=body.get("zones"),
        tags=body.get("tags"),
        sku=body.get("sku") or (found.body["sku"] if found is not None else None),
        properties=properties,
    )


def patched(changed: Resource) -> Json:
    """The first answer to a PATCH of a disk or snapshot: part of what is there."""
    properties = {name: value for name, value in changed.properties.items() if name not in UNSHOWN}
    return {**changed.body, "sku": {"name": changed.body["sku"]["name"]}, "properties": properties}


def accepted(
    call: Call, status: int, payload: Any, operation: Operation, *, location: bool, retry_after: int = 0
) -> Response:
    """The first answer of a long-running operation.

    Args:
        location: whether this kind of call sends `Location` beside `Azure-AsyncOperation` (recorded).
        retry_after: seconds; 0 sends none.
    """
    headers = {"Azure-AsyncOperation": operation.url(call.request.base)}
    if location:
        headers["Location"] = operation.url(call.request.base, monitor=True)
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return Response(status, payload, headers)


def listed(items: list[Json]) -> Response:
    """A collection that fits one page."""
    return Response(200, {"value": items})
