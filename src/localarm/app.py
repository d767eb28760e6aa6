"""The one application behind every door: a request in, an answer out."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from localarm import groups, laws
from localarm.arm import Address
from localarm.calls import Call
from localarm.clock import http_date
from localarm.endpoints import endpoints
from localarm.errors import Refused, gateway
from localarm.imds import metadata
from localarm.messages import Json, Request, Response
from localarm.routes import TABLE, TAGS, Route, shape
from localarm.settings import Principal
from localarm.tokens import Tokens, login
from localarm.world import World

log = logging.getLogger("localarm")

READS = ("GET", "HEAD")


class Application:
    """Checks who asks and whether it exists, then lets the handler answer. Synchronous: doors do all waiting."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(world, world.state.fact("token-key", world.new_id() + world.new_id()))
        self.audit: list[Json] = []

    def handle(self, request: Request) -> Response:
        """Answer one request. What it changed is written down when this returns."""
        self.world.advance()
        try:
            response = self._answer(request)
        except Refused as refusal:
            response = refusal.response()
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = Refused(500, "InternalServerError", "localarm itself failed; see its log.").response()
        self.world.advance()
        self._note(request, response)
        return response.with_headers(self._headers())

    def _answer(self, request: Request) -> Response:
        if request.path.startswith("/_localarm/"):
            return self._control(request)
        for service in (metadata, login):
            found = service(self.world, self.tokens, request)
            if found is not None:
                return found
        found = endpoints(self.world, request)
        return found if found is not None else self._resource_manager(request)

    def _resource_manager(self, request: Request) -> Response:
        address = Address.parse(request.path)
        if address is None:
            raise _unknown(request)
        principal = self.tokens.principal(request)
        version = next((value for name, value in request.query.items() if name.lower() == "api-version"), "")
        if not version:
            raise gateway(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")  # fmt: skip
        call = Call(self.world, request, address, version, principal)
        if not address.subscription:
            return groups.subscriptions(call)
        groups.known_subscription(self.world, address.subscription)
        if request.path.lower().rstrip("/").endswith("/providers/microsoft.resources/tags/default"):
            self._allowed(principal, request, address)
            if request.method not in TAGS:
                raise _unknown(request)
            return TAGS[request.method](call)
        route = self._route(request, address, version)
        self._allowed(principal, request, address)
        if address.group and route.group_needed:
            laws.group_exists(self.world, address)
            laws.parent_exists(self.world, address)
        return route.handler(call)

    def _route(self, request: Request, address: Address, version: str) -> Route:
        scope = "group" if address.group else "subscription"
        route = TABLE.get((request.method, address.namespace.lower(), scope, shape(address.types, address.names)))
        if route is None:
            raise _unknown(request)
        if version < route.since:
            kind = address.type or "resourceGroups"
            raise gateway(400, "NoRegisteredProviderFound", f"No registered resource provider found for location '' and API version '{version}' for type '{kind}'. The supported api-versions are '{route.since}' and later.")  # fmt: skip
        return route

    def _allowed(self, principal: Principal, request: Request, address: Address) -> None:
        roles = ("Owner", "Contributor") + (("Reader",) if request.method in READS else ())
        scope = address.id.lower() + "/"
        if any(role in roles and scope.startswith(where.lower().rstrip("/") + "/") for where, role in principal.roles):
            return
        verb = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}[
            request.method
        ]
        action = f"{address.type or 'Microsoft.Resources/subscriptions/resourceGroups'}/{verb}"
        raise gateway(403, "AuthorizationFailed", f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have authorization to perform action '{action}' over scope '{address.id}' or the scope is invalid. If access was recently granted, please refresh your credentials.")  # fmt: skip

    def _control(self, request: Request) -> Response:
        what = request.path.removeprefix("/_localarm/").strip("/")
        if what == "violations":
            return Response(200, {"value": self.world.violations})
        if what == "audit":
            return Response(200, {"value": self.audit})
        raise _unknown(request)

    def _note(self, request: Request, response: Response) -> None:
        if not request.path.startswith("/_localarm/"):
            self.audit.append(
                {"time": self.world.clock(), "method": request.method, "path": request.path, "status": response.status}
            )

    def _headers(self) -> Mapping[str, str]:
        number = self.world.new_id()
        return {
            "Cache-Control": "no-cache",
            "Date": http_date(self.world.clock()),
            "x-ms-request-id": number,
            "x-ms-correlation-request-id": number,
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        }


def _unknown(request: Request) -> Refused:
    return Refused(501, "NotImplemented", f"localarm does not implement {request.method} {request.path}.")
