"""The token service: discovery documents, and the client-credentials grant for secrets and assertions."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qs

from localarm.assertions import Service, Unproven, check_assertion
from localarm.messages import Json, Request, Response
from localarm.settings import Principal
from localarm.tokens import Tokens, login_base
from localarm.world import World

LIFETIME = 3599
"""Seconds that the token of a login lasts (recorded); those of machines last a day."""
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def login(world: World, tokens: Tokens, request: Request) -> Response | None:
    """Answer a request to the token service; None when the path is not its."""
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
    own = world.settings.tenant
    if tenant.lower() in ("common", "organizations"):
        tenant = own
    if tenant.lower() not in (own.lower(), *(other.lower() for other in world.settings.tenants)):
        return _login_error(
            world,
            400,
            "invalid_request",
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
        )
    return _granted(world, tokens, request, tenant, modern=rest == "oauth2/v2.0/token")


def _granted(world: World, tokens: Tokens, request: Request, tenant: str, *, modern: bool) -> Response:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    try:
        principal = _proven(world, request, form, tenant)
    except Unproven as refusal:
        return _login_error(world, refusal.status, refusal.error, refusal.number, refusal.text)
    audience = form.get("scope", "").removesuffix(".default").removesuffix("/") if modern else form.get("resource", "")
    token, claims = tokens.issued(principal, audience, LIFETIME, tenant)
    lifetime = claims["exp"] - int(world.clock())
    unkept = {"Cache-Control": "no-cache, no-store"}
    if modern:
        found = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return Response(200, found, unkept)
    return Response(200, {
        "token_type": "Bearer", "expires_in": str(lifetime), "ext_expires_in": str(lifetime),
        "expires_on": str(claims["exp"]), "not_before": str(claims["nbf"]), "resource": audience, "access_token": token,
    }, unkept)  # fmt: skip


def _proven(world: World, request: Request, form: dict[str, str], tenant: str) -> Principal:
    """The application that a request proves to come from; raises Unproven."""
    client = form.get("client_id", "")
    principal = next(
        (each for each in world.settings.all_principals if each.client_id == client and each.logs_in), None
    )
    if form.get("grant_type") != "client_credentials":
        raise Unproven(70003, "The app requested an unsupported grant type.", error="unsupported_grant_type")
    if principal is None:
        raise Unproven(
            700016,
            f"Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the "
            "application has not been installed by the administrator of the tenant or consented to by any user in the "
            "tenant. You may have sent your authentication request to the wrong tenant.",
            error="unauthorized_client",
        )
    if form.get("client_assertion_type") == ASSERTION_TYPE:
        base = f"{login_base(request)}/{tenant}"
        audiences = tuple(f"{base}/{path}" for path in ("oauth2/v2.0/token", "oauth2/token", "v2.0"))
        service = Service(audiences, world.settings.issuers, world.clock())
        check_assertion(principal, form.get("client_assertion", ""), service)
    else:
        _check_secret(principal, form.get("client_secret"), world.clock())
    return principal


def _check_secret(principal: Principal, secret: str | None, now: float) -> None:
    if secret is None:
        raise Unproven(
            7000216,
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        )
    if not principal.secret or not hmac.compare_digest(principal.secret.encode(), secret.encode()):
        raise Unproven(
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
            f"the client secret ID, for a secret added to app '{principal.client_id}'.",
        )
    if now > principal.secret_until:
        raise Unproven(
            7000222,
            f"The provided client secret keys for app '{principal.client_id}' are expired. Visit the Azure portal to create "
            "new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "
            "security: https://aka.ms/certCreds.",
        )


def _configuration(world: World, request: Request, tenant: str) -> Json:
    base = f"{login_base(request)}/{tenant}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
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
