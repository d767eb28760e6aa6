"""Tokens: signed by the world, asked for by machines (metadata) and applications (login), checked at every call."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from localarm.errors import Refused, gateway
from localarm.messages import Json, Request, Response
from localarm.settings import Principal
from localarm.world import World

AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
SHORTEST_SKEW = 300
LOGIN_LIFETIME = 3599
"""Seconds that the token of a login lasts (recorded); those of machines last a day."""


class Tokens:
    """Issues and checks tokens of one world."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        self._key = key.encode()
        self._known: dict[str, Json] = {}

    def issued(self, principal: Principal, audience: str, longest: int = 86400) -> tuple[str, Json]:
        """A new token of at most `longest` seconds, and its claims."""
        now = int(self._world.clock())
        claims: Json = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._world.settings.tenant}/",
            "iat": now - SHORTEST_SKEW,
            "nbf": now - SHORTEST_SKEW,
            "exp": now + min(longest, self._world.settings.token_lifetime),
            "appid": principal.client_id,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self._world.settings.tenant,
            "ver": "1.0",
        }
        if principal.vm:
            claims["xms_mirid"] = principal.vm
        head = _part({"typ": "JWT", "alg": "HS256", "kid": "localarm"})
        text = f"{head}.{_part(claims)}"
        return f"{text}.{self._signature(text)}", claims

    def principal(self, request: Request) -> Principal:
        """Who sends a request.

        Raises:
            Refused: 401, with the challenge that names the tenant; or 401 for a token that is bad or over.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge(
                request, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        claims = self._known.get(token) or self._checked(request, token)
        now = self._world.clock()
        if claims["exp"] < now:
            expiry, present = _time(claims["exp"]), _time(now)
            message = f"The access token expiry UTC time '{expiry}' is earlier than current UTC time '{present}'."
            raise self._challenge(request, "ExpiredAuthenticationToken", message)
        for principal in self._world.settings.all_principals:
            if principal.object_id == claims["oid"]:
                return principal
        raise self._challenge(
            request, "InvalidAuthenticationToken", "The received access token is not valid: its principal is unknown."
        )

    def _checked(self, request: Request, token: str) -> Json:
        text, _, signature = token.rpartition(".")
        try:
            claims: Json = json.loads(_bytes(text.partition(".")[2]))
            good = hmac.compare_digest(signature, self._signature(text))
        except ValueError as error:
            raise self._challenge(request, "InvalidAuthenticationToken", "The access token is invalid.") from error
        if not good:
            raise self._challenge(
                request,
                "InvalidAuthenticationToken",
                "The access token is from the wrong issuer or its signature is wrong.",
            )
        audience = str(claims["aud"]).rstrip("/")
        if audience not in (*AUDIENCES, request.base.rstrip("/")):
            message = f"The access token has been obtained for wrong audience or resource '{claims['aud']}'."
            raise self._challenge(request, "InvalidAuthenticationTokenAudience", message)
        if len(self._known) > 1000:
            self._known.clear()
        self._known[token] = claims
        return claims

    def _challenge(self, request: Request, code: str, message: str) -> Refused:
        uri = f"{login_base(request)}/{self._world.settings.tenant}"
        name = "invalid_token" if "authorization" in request.headers else "invalid_request"
        header = f'Bearer authorization_uri="{uri}", error="{name}", error_description="{message}"'
        return gateway(401, code, message, {"WWW-Authenticate": header})

    def _signature(self, text: str) -> str:
        return _base64(hmac.new(self._key, text.encode(), hashlib.sha256).digest())


def login_base(request: Request) -> str:
    """Where logins go: the same door, or Azure's own name when the client believes it talks to Azure."""
    return "https://login.microsoftonline.com" if request.base == "https://management.azure.com" else request.base


def login(world: World, tokens: Tokens, request: Request) -> Response | None:
    """The token service: discovery documents and the client-credentials grant; None when the path is not its."""
    parts = [part for part in request.path.split("/") if part]
    if len(parts) < 3 or "subscriptions" in (part.lower() for part in parts[:1]):
        return _instance(request) if request.path.lower().startswith("/common/discovery/instance") else None
    tenant, rest = parts[0], "/".join(parts[1:]).lower()
    if rest in ("v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"):
        return Response(200, _configuration(world, request, tenant))
    if rest == "discovery/instance":
        return _instance(request)
    if rest not in ("oauth2/token", "oauth2/v2.0/token") or request.method != "POST":
        return None
    if tenant.lower() not in (world.settings.tenant, "common", "organizations"):
        return _login_error(
            world,
            400,
            "invalid_request",
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
        )
    return _granted(world, tokens, request, modern=rest == "oauth2/v2.0/token")


def _granted(world: World, tokens: Tokens, request: Request, *, modern: bool) -> Response:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    client = form.get("client_id", "")
    principal = next((each for each in world.settings.all_principals if each.client_id == client and each.secret), None)
    if form.get("grant_type") != "client_credentials":
        return _login_error(world, 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
    if principal is None:
        return _login_error(
            world,
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client}' was not found in the directory.",
        )
    if not hmac.compare_digest(principal.secret, form.get("client_secret", "")):
        return _login_error(
            world,
            401,
            "invalid_client",
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client "
            "secret value, not the client secret ID.",
        )
    audience = form.get("scope", "").removesuffix(".default").removesuffix("/") if modern else form.get("resource", "")
    token, claims = tokens.issued(principal, audience, LOGIN_LIFETIME)
    lifetime = claims["exp"] - int(world.clock())
    unkept = {"Cache-Control": "no-cache, no-store"}
    if modern:
        found = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return Response(200, found, unkept)
    return Response(200, {
        "token_type": "Bearer", "expires_in": str(lifetime), "ext_expires_in": str(lifetime),
        "expires_on": str(claims["exp"]), "not_before": str(claims["nbf"]), "resource": audience, "access_token": token,
    }, unkept)  # fmt: skip


def _configuration(world: World, request: Request, tenant: str) -> Json:
    base = f"{login_base(request)}/{tenant}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "token id_token", "token"],
        "scopes_supported": ["openid"],
        "issuer": f"{login_base(request)}/{world.settings.tenant}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "tenant_region_scope": "EU",
    }


def _instance(request: Request) -> Response:
    host = request.base.partition("://")[2]
    found = {
        "tenant_discovery_endpoint": f"{request.base}/common/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }
    return Response(200, found)


def _login_error(world: World, status: int, error: str, number: int, text: str) -> Response:
    trace, correlation = world.new_id(), world.new_id()
    time = datetime.fromtimestamp(world.clock(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return Response(status, {
        "error": error,
        "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}",
        "error_codes": [number], "timestamp": time, "trace_id": trace, "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    })  # fmt: skip


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.month}/{moment.day}/{moment.year} {moment.strftime('%I:%M:%S %p').lstrip('0')}"


def _part(value: Any) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
