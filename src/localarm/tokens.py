"""Tokens: signed by the world, given to machines (metadata) and applications (login), checked at every call."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from localarm.errors import Refused, gateway
from localarm.messages import Json, Request
from localarm.settings import Principal
from localarm.world import World

AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
SHORTEST_SKEW = 300


class Tokens:
    """Issues and checks tokens of one world."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        self._key = key.encode()
        self._known: dict[str, Json] = {}

    def issued(self, principal: Principal, audience: str, longest: int = 86400, tenant: str = "") -> tuple[str, Json]:
        """A new token of at most `longest` seconds, of the settings' tenant or another, and its claims."""
        now = int(self._world.clock())
        claims: Json = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant or self._world.settings.tenant}/",
            "iat": now - SHORTEST_SKEW,
            "nbf": now - SHORTEST_SKEW,
            "exp": now + min(longest, self._world.settings.token_lifetime),
            "appid": principal.client_id,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": tenant or self._world.settings.tenant,
            "ver": "1.0",
        }
        if principal.vm:
            claims["xms_mirid"] = principal.vm
        head = _part({"typ": "JWT", "alg": "HS256", "kid": "localarm"})
        text = f"{head}.{_part(claims)}"
        return f"{text}.{self._signature(text)}", claims

    def revoke(self) -> None:
        """From now on no token counts that was issued before."""
        # Not the hash of the key alone: that is what HMAC makes of a long key itself.
        self._key = hashlib.sha256(b"after " + self._key).digest()
        self._known.clear()

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
        if claims["nbf"] > now:
            message = "The access token is not valid yet."
            raise self._challenge(request, "InvalidAuthenticationToken", message)
        if claims["tid"] != self._world.settings.tenant:
            raise self._challenge(request, "InvalidAuthenticationTokenTenant", self._of_another_tenant(claims))
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

    def _of_another_tenant(self, claims: Json) -> str:
        """What Azure says of a token from another tenant (public issues of azure-sdk-for-net and azure-cli)."""
        own = self._world.settings.tenant
        return (
            f"The access token is from the wrong issuer '{claims['iss']}'. It must match the tenant "
            f"'https://sts.windows.net/{own}/' associated with this subscription. Please use the authority (URL) "
            f"'https://login.windows.net/{own}' to get the token. Note, if the subscription is transferred to another "
            "tenant there is no impact to the services, but information about new tenant could take time to propagate (up "
            "to an hour). If you just transferred your subscription and see this error message, please try back later."
        )

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


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.month}/{moment.day}/{moment.year} {moment.strftime('%I:%M:%S %p').lstrip('0')}"


def _part(value: Any) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
