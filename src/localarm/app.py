"""The one application behind every door: a request in, an answer out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from localarm import groups, laws, rbac
from localarm.api_versions import api_version_known, version_published
from localarm.arm import Address
from localarm.calls import Call
from localarm.clock import http_date
from localarm.endpoints import endpoints
from localarm.errors import Refused, gateway
from localarm.faults import READS, Armed, Fault, Faults
from localarm.imds import metadata
from localarm.login import login
from localarm.messages import Json, Request, Response
from localarm.mischief import Strike
from localarm.routes import TABLE, TAGS, Route, shape
from localarm.throttle import Throttle
from localarm.tokens import Tokens
from localarm.world import World

log = logging.getLogger("localarm")

AUDIT_KEPT = 100_000
"""How many requests the audit remembers."""
OPERATIONS_KEPT = 3600.0
"""Seconds for which an operation can be polled after its end."""


class Application:
    """Checks who asks and whether it exists, then lets the handler answer. Synchronous: doors do all waiting."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = Tokens(world, world.state.fact("token-key", world.new_id() + world.new_id()))
        self.audit: deque[Json] = deque(maxlen=AUDIT_KEPT)
        self.faults = Faults()
        self.throttle = Throttle(world.clock, on=world.settings.throttles)
        self._handled = 0
        self._needed: tuple[rbac.Need, ...] = ()

    def handle(self, request: Request) -> Response:
        """Answer one request. What it changed is written down when this returns."""
        self.world.advance()
        self._needed = ()
        strike = Strike(self.world, self._due(request))
        try:
            response = self._answer(request, strike)
        except Refused as refusal:
            response = refusal.response()
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = Refused(500, "InternalServerError", "localarm itself failed; see its log.").response()
        response = strike.after(response)
        self.world.advance()
        self._tidy()
        self._note(request, response, strike.fired)
        return response.with_headers(self._headers())

    def _tidy(self) -> None:
        """Every so often, forget operations and limits that nobody asks for any more."""
        self._handled += 1
        if self._handled % 1000 == 0:
            self.world.forget(self.world.clock() - OPERATIONS_KEPT)
            self.throttle.forget()

    def _due(self, request: Request) -> list[Armed]:
        """The faults whose turn it is."""
        if not self.faults.armed or request.path.startswith("/_localarm/"):
            return []
        address = Address.parse(request.path)
        kind = address.kind if address is not None else request.path.strip("/").lower()
        return self.faults.due(request.method, kind, address.name if address is not None else "")

    def _respond(self, route: Route, call: Call, strike: Strike) -> Response:
        """Let the handler answer, in a world as the faults want it."""
        reads = call.request.method in READS
        if call.address.group and route.group_needed:
            group = laws.group_exists(self.world, call.address)
            if not reads and call.request.method != "DELETE":
                laws.group_stays(group)
            laws.parent_exists(self.world, call.address, "read" if reads else "write")
        if reads:
            with strike.reading(call.address):
                return route.handler(call)
        with self.world.undone_if_refused():
            return route.handler(call)

    def _answer(self, request: Request, strike: Strike) -> Response:
        if strike.drops:
            return Response(500)  # the connection is reset in its place
        strike.before()
        if request.path.startswith("/_localarm/"):
            return self._control(request)
        for service in (metadata, login):
            found = service(self.world, self.tokens, request)
            if found is not None:
                return found
        found = endpoints(self.world, request)
        return found if found is not None else self._resource_manager(request, strike)

    def _resource_manager(self, request: Request, strike: Strike) -> Response:
        address = Address.parse(request.path)
        if address is None:
            raise _unknown(request)
        if address.subscription and "authorization" not in request.headers:
            # Azure tells strangers which subscriptions there are not: clients look up tenants like this.
            groups.known_subscription(self.world, address.subscription)
        principal = self.tokens.principal(request)
        version = next((value for name, value in request.query.items() if name.lower() == "api-version"), "")
        if not version:
            raise gateway(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        api_version_known(version, address, self.world.settings.newest_api)
        call = Call(self.world, request, address, version, principal)
        if not address.subscription:
            return groups.subscriptions(call)
        groups.known_subscription(self.world, address.subscription)
        if request.path.lower().endswith(rbac.PERMISSIONS) and request.method == "GET":
            self._needed = rbac.authorize(call)
            return Response(200, rbac.permissions(call))
        if request.path.lower().rstrip("/").endswith(rbac.TAGS):
            self._needed = rbac.authorize(call)
            if request.method not in TAGS:
                raise _unknown(request)
            return TAGS[request.method](call)
        route = self._route(request, address, version)
        self._needed = rbac.authorize(call)
        shape_ = shape(address.types, address.names)
        limits = self.throttle.headers(request.method, shape_, address, principal.object_id)
        kind = address.kind
        delay = self.world.latency.round_trip(request.method, kind)
        self.world.lead = max(0.0, delay - self.world.latency.before_answer(request.method, kind))
        try:
            response = self._respond(route, call, strike)
        except Refused as refusal:
            response = refusal.response()
            if "x-ms-failure-cause" in response.headers:  # the gateway's own answers carry no limits (recorded)
                return response
        finally:
            self.world.lead = 0.0
        return replace(response.with_headers(limits), delay=delay)

    def _location(self, address: Address) -> str:
        found = self.world.find(address.resource.kind, address.resource.id)
        return found.location if found is not None else ""

    def _route(self, request: Request, address: Address, version: str) -> Route:
        scope = "group" if address.group else "subscription"
        route = TABLE.get((request.method, address.namespace.lower(), scope, shape(address.types, address.names)))
        if route is None:
            raise _unknown(request)
        version_published(version, address, self.world.settings.newest_api, route.since, self._location(address))
        return route

    def _control(self, request: Request) -> Response:
        what = request.path.removeprefix("/_localarm/").strip("/")
        if what == "violations":
            return Response(200, {"value": self.world.violations})
        if what == "audit":
            return Response(200, {"value": list(self.audit)})
        if what != "faults":
            raise _unknown(request)
        if request.method == "DELETE":
            self.faults.clear()
        elif request.method == "POST":
            try:
                for fault in [Fault.parsed(given) for given in (request.json() or {})["faults"]]:
                    self.faults.add(fault)
            except (ValueError, TypeError, KeyError) as error:
                raise Refused(400, "InvalidRequestContent", str(error)) from error
        return Response(200, {"value": self.faults.shown()})

    def _note(self, request: Request, response: Response, fired: list[Fault]) -> None:
        if request.path.startswith("/_localarm/"):
            return
        entry: Json = {
            "time": self.world.clock(),
            "method": request.method,
            "path": request.path,
            "status": response.status,
            "fate": response.fate,
        }
        if self._needed:
            entry["actions"] = [[need.action, need.scope] for need in self._needed]
        if fired:
            entry["faults"] = [fault.what for fault in fired]
        if response.status >= 400 and isinstance(response.payload, dict):
            error = response.payload.get("error")
            entry["code"] = error.get("code") if isinstance(error, dict) else error
        self.audit.append(entry)

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
