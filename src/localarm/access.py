"""Granting and revoking direct access to the bytes of disks and snapshots."""

from __future__ import annotations

import hashlib

from localarm import laws
from localarm.calls import Call, accepted
from localarm.disks import operation_kind
from localarm.errors import Refused, invalid
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.world import World


def grant(call: Call) -> Response:
    """Grant access: the operation's output carries the address."""
    body = call.body()
    found = call.resource(call.address.resource.kind)
    if body.get("access") not in ("Read", "Write"):
        raise invalid("access", f"The value '{body.get('access')}' of parameter 'access' is invalid.")
    if not isinstance(body.get("durationInSeconds"), int):
        raise invalid("durationInSeconds", "Required parameter 'durationInSeconds' is missing (null).")
    owner = laws.lister(call.world, found)
    if owner:
        message = f"Access not permitted because disk {found.name} is currently attached to running VM {owner}."
        raise Refused(409, "Conflict", message)
    laws.not_changing(call.world, found)
    return _begin(call, "access.granted", {"write": body["access"] == "Write"}, shows_output=True)


def revoke(call: Call) -> Response:
    """Take access back."""
    laws.not_changing(call.world, call.resource(call.address.resource.kind))
    return _begin(call, "access.revoked", {}, shows_output=False)


def granted(world: World, operation: Operation, args: Json, at: float) -> Json | None:
    """The last step of a grant."""
    found = world.find(operation_kind(operation), operation.target)
    if found is None:
        return None
    world.put(found.with_properties(diskState="ActiveUpload" if args["write"] else "ActiveSAS"))
    digest = hashlib.sha256(found.key.encode()).hexdigest()
    host = f"md-hdd-{digest[:12]}.z36.blob.storage.azure.net"
    return {"accessSAS": f"https://{host}/{digest[12:24]}/abcd?sv=2018-03-28&sr=b&si={operation.id}&sig={digest[24:]}"}


def revoked(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of a revocation."""
    found = world.find(operation_kind(operation), operation.target)
    if found is not None and found.properties["diskState"] in laws.GRANTED:
        world.put(found.with_properties(diskState="Unattached"))


def _begin(call: Call, last: str, args: Json, *, shows_output: bool) -> Response:
    found = call.resource(call.address.resource.kind)
    kind = f"{found.kind.rstrip('s')}.{'grant' if shows_output else 'revoke'}"
    operation = call.world.begin(
        "DiskOperations",
        kind,
        found.id,
        location=found.location,
        api_version=call.api_version,
        steps=[Step(call.world.clock() + call.world.lasts(kind), last, args)],
        shows_output=shows_output,
    )
    return accepted(call, 202, None, operation, location=True)
