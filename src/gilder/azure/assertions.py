"""Where assertions come from that prove an application's identity: an option, a file, or the CI job's token service."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

import aiohttp

from gilder.azure.methods import CI_JOB
from gilder.model.errors import Denied, Unreachable, UserError
from gilder.model.spec import is_path

_JWT = re.compile(r"eyJ[\w=-]*\.[\w=-]+\.[\w=-]*")
_PIPELINES_VERSION = "7.1"
_NOT_TAKEN = (203, 302, 401, 403)
"""Statuses of a token that does not count; Azure DevOps shows people where to sign in."""
_LONGEST_REASON = 300


def assertion_of(option: str) -> Callable[[], Awaitable[str]]:
    """The assertion of `client_jwt`: a token, or the path of a file that is read again each time.

    The result raises UserError when the file cannot be read or holds no token.
    """

    async def told() -> str:
        return option.strip()

    async def read() -> str:
        hint = "give a JWT, or the path of a file with one"
        try:
            text = Path(option).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            # What is no path may be a token with a typing error in it.
            shown = option if is_path(option) else "it as a file"
            raise UserError(f"client_jwt is no JWT, and gilder cannot read {shown}: {why}", hint=hint) from error
        if not _JWT.fullmatch(text):
            raise UserError("client_jwt names a file that holds no JWT", hint=hint)
        return text

    return told if _JWT.fullmatch(option.strip()) else read


async def requested_assertion(url: str, token: str, audience: str, context: ssl.SSLContext) -> str:
    """A token of the CI job that runs gilder, from GitHub Actions or Azure Pipelines.

    It is made out to `audience`, unless the URL names another; Azure Pipelines knows it by the service connection.
    GitHub answers a GET with `value`; Azure Pipelines a POST with `oidcToken`, and wants the service connection's id.
    Raises Denied when it is refused, Unreachable when no answer comes, UserError when the URL cannot be one.
    """
    url = url.strip()
    parts = _parts(url)
    pipelines = parts.path.rstrip("/").lower().endswith("/oidctoken")
    asked = parse_qs(parts.query)
    if pipelines and "serviceConnectionId" not in asked:
        hint = "set ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID, or add ?serviceConnectionId=ID to the URL"
        raise UserError("Azure Pipelines gives no token without the id of the service connection", hint=hint)
    more = {"api-version": _PIPELINES_VERSION} if pipelines else {"audience": audience}
    more = {name: value for name, value in more.items() if name not in asked}
    full = f"{url}{'&' if parts.query else '?'}{urlencode(more)}" if more else url
    headers = {
        "Authorization": f"Bearer {_sendable(token)}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    if pipelines:
        headers["X-TFS-FedAuthRedirect"] = "Suppress"  # else a refusal is a redirection to a page for people
    return await _asked(full, "POST" if pipelines else "GET", headers, context)


def _parts(url: str) -> SplitResult:
    hint = "it is in the CI job's environment"
    try:
        parts = urlsplit(url)
        if parts.scheme in ("https", "http") and parts.hostname and parts.port != 0:
            return parts
    except ValueError as error:  # a bracket too few, a port too high
        raise UserError(f"oidc_request_url is no URL: {error}", hint=hint) from error
    raise UserError("oidc_request_url is no URL", hint=hint)


def _sendable(token: str) -> str:
    """A token as a header takes it: what a file or `echo` leaves around it is none of it."""
    bare = token.strip()
    if not (bare.isascii() and bare.isprintable()):
        raise UserError(
            "oidc_request_token holds what no token holds: line breaks, or letters beyond ASCII", hint=CI_JOB
        )
    return bare


async def _asked(url: str, method: str, headers: dict[str, str], context: ssl.SSLContext) -> str:
    host = urlsplit(url).hostname
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.request(method, url, headers=headers, ssl=context, allow_redirects=False) as answer,
        ):
            if answer.status >= 500 or answer.status in (408, 429):
                raise Unreachable(f"{host} gives the CI job no token now (HTTP {answer.status})", status=answer.status)
            if answer.status != 200:
                raise _refused(answer.status, await answer.text(errors="replace"), host)
            told = await answer.json(content_type=None)
            return str(told.get("value") or told["oidcToken"])
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(
            f"no answer of {host} to the request for the CI job's token", hint="check the network"
        ) from error
    except (KeyError, ValueError, AttributeError) as error:
        raise Denied(f"{host} answered the request for the CI job's token without one") from error


def _refused(status: int, body: str, host: str | None) -> Denied:
    """Why the CI's token service gives none: Azure Pipelines and GitHub both say so in `message`."""
    text = f"{host} gives the CI job no token (HTTP {status})"
    if status in _NOT_TAKEN:
        return Denied(f"{text}: oidc_request_token is wrong or has expired", status=status, hint=CI_JOB)
    try:
        why = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        why = body
    first = next((line.strip() for line in why.splitlines() if line.strip()), "it does not say why")
    hint = "check oidc_request_url; Azure Pipelines: the service connection's id, and that this pipeline may use it"
    return Denied(f"{text}: {first[:_LONGEST_REASON]}", status=status, hint=hint)
