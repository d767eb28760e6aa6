"""Which api-versions the cloud has: other clouds than the public one, and Azure Stack, lag months or years behind the SDK."""

from __future__ import annotations

import json
import re
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

LEAST = "2022-03-01"
"""The oldest that will do: the first in which disks and image definitions name their architecture."""
_LEAST_OF_ACTIONS = {"attachdetachdatadisks": "2024-03-01"}
"""Actions that came later (Compute API, stable specifications)."""
REFUSALS = ("NoRegisteredProviderFound", "InvalidResourceType", "InvalidApiVersionParameter")
"""Codes by which Resource Manager refuses an api-version. Its message lists those that it has: of the type with the first
two (where there is a list), its own with the last (azure-cli 30847 and 18541, azure-powershell 3631)."""

_TOLD = re.compile(r"supported (?:api-)?versions are '([^']*)'")
_STABLE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ASKED = re.compile(r"([?&]api-version=)([^&]*)", re.IGNORECASE)


class OlderVersions(AsyncHTTPPolicy[Any, Any]):
    """Asks again with the newest stable api-version that the cloud has and we know, and begins with that next time.

    Not newer than the SDK's, whose models it must fit, and not older than what the request needs; a request for which none
    is left stays refused. What was learned of a resource type holds for its actions too.
    """

    def __init__(self, learned: dict[str, str]) -> None:
        self._learned = learned

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send it, and again while an older version may do."""
        asked = _ASKED.search(request.http_request.url)
        if asked is None:
            return await self.next.send(request)
        ours, options = asked[2], dict(request.context.options)
        kind, least = _kind(request.http_request), _least(request.http_request)
        version = self._learned.get(kind, ours)
        if not least <= version < ours:
            version = ours  # it is refused, and the refusal tells
        tried: set[str] = set()
        while True:
            if version != ours:
                request.http_request.url = _ASKED.sub(rf"\g<1>{version}", request.http_request.url)
            response = await self.next.send(request)
            tried.add(version)
            told = await _told(response)
            if told is None:
                if version != ours:
                    self._learned[kind] = version
                return response
            older = [one for one in told if _STABLE.fullmatch(one) and least <= one <= ours and one not in tried]
            if not older:
                return response
            version = max(older)
            request.context.options.update(options)  # the policies below took theirs out


async def _told(response: PipelineResponse[Any, Any]) -> list[str] | None:
    """The versions that a refusal of the version lists, if it does; None for any other answer."""
    answer = response.http_response
    if answer.status_code not in (400, 404):
        return None
    await answer.read()
    try:
        error = json.loads(answer.text())["error"]
        code, message = str(error["code"]), str(error.get("message"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if code not in REFUSALS:
        return None
    found = _TOLD.search(message)
    return [version.strip() for version in found[1].split(",")] if found else []


def _kind(request: Any) -> str:
    """The resource type of a request, in lower case: of an action, that of what it acts on."""
    path = request.url.partition("?")[0].partition("://")[2].lower()
    before, _, below = path.rpartition("/providers/")
    namespace, *parts = (below if before else path.partition("/")[2]).strip("/").split("/")
    types = parts[::2]
    if request.method == "POST" and len(parts) % 2:
        types = types[:-1]
    return "/".join((namespace, *types))


def _least(request: Any) -> str:
    action = request.url.partition("?")[0].rstrip("/").rpartition("/")[2].lower()
    return _LEAST_OF_ACTIONS.get(action, LEAST) if request.method == "POST" else LEAST
