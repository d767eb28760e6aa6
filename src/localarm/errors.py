"""Refusals: an HTTP status with Azure's error code and wording."""

from __future__ import annotations

from collections.abc import Mapping

from localarm.messages import Json, Response

GATEWAY: Mapping[str, str] = {"x-ms-failure-cause": "gateway"}
"""Resource Manager itself marks most of its own errors so; a provider's errors lack it."""


class Refused(Exception):
    """A request that Azure would refuse.

    Attributes:
        status: the HTTP status.
        code: Azure's error code.
        law: which rule of `localarm.laws` said no (for the audit).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str = "",
        headers: Mapping[str, str] | None = None,
        details: list[Json] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = dict(headers or {})
        self.details = details
        self.law = ""

    def error(self) -> Json:
        """The `error` object: as the body carries it and a failed operation shows it."""
        found: Json = {"code": self.code, "message": self.message}
        if self.target:
            found["target"] = self.target
        if self.details:
            found["details"] = self.details
        return found

    def response(self) -> Response:
        """The answer to the client."""
        return Response(self.status, {"error": self.error()}, self.headers)


def gateway(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refused:
    """A refusal by Resource Manager, before any provider saw the request."""
    return Refused(status, code, message, headers={**GATEWAY, **(headers or {})})


def invalid(target: str, message: str) -> Refused:
    """400 InvalidParameter, as the compute provider words it."""
    return Refused(400, "InvalidParameter", message, target=target)


def not_allowed(message: str) -> Refused:
    """409 OperationNotAllowed."""
    return Refused(409, "OperationNotAllowed", message)
