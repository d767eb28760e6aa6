"""What polling an operation answers."""

from __future__ import annotations

from localarm.calls import Call
from localarm.errors import Refused
from localarm.messages import Response

RETRY_AFTER = {"vm.create": "35", "vm.delete": "30", "vm.deallocate": "36", "vm.start": "9"}
"""What polls send while these run (recorded 2018-19 and 2024); no others send it."""


def status(call: Call) -> Response:
    """The status of an operation (always 200), or with `monitor=true` 202 while it runs and its result afterwards."""
    found = call.world.operation(call.address.names[-1].lower())
    if found is None:
        raise Refused(404, "NotFound", "The entity was not found in this Azure location.")
    if call.request.query.get("monitor", "").lower() != "true":
        retry = RETRY_AFTER.get(found.kind) if found.status == "InProgress" else None
        return Response(200, found.body(), {"Retry-After": retry} if retry else {})
    if found.status == "InProgress":
        return Response(202, None, {"Location": found.url(call.request.base, monitor=True)})
    if found.error is not None:
        return Response(409 if found.status == "Canceled" else 400, {"error": found.error})
    return Response(200, found.output if found.shows_output else None)
