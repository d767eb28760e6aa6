"""How many requests Azure still allows, as its answers tell: `x-ms-ratelimit-remaining-*`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

_RESOURCE = "x-ms-ratelimit-remaining-resource"
_OTHERS = "x-ms-ratelimit-remaining-"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that works as a bucket: `size` requests at once, which come back evenly within `window` seconds."""

    name: str
    size: int
    window: float = 180.0


class Budgets:
    """The remaining requests of each limit, as the latest answer gave them.

    Names are Azure's, such as `AttachDetachVMDisksResource` (recorded answers; the compute provider names its limits in one
    header, Resource Manager has a header for each, such as `subscription-writes`).
    """

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self._told: dict[str, float] = {}

    def note(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of an answer; what cannot be read is passed over."""
        for name, value in headers.items():
            lower = name.lower()
            if lower == _RESOURCE:
                for part in value.split(","):
                    limit, _, count = part.rpartition(";")
                    self._learn(limit.rpartition("/")[2], count)
            elif lower.startswith(_OTHERS):
                self._learn(lower.removeprefix(_OTHERS), value)

    def _learn(self, limit: str, count: str) -> None:
        limit = limit.strip()
        if limit and count.strip().isdigit():
            self.left[limit] = int(count)
            self._told[limit] = anyio.current_time()

    def now(self, limit: Limit) -> int | None:
        """The requests that are left by now: what the last answer gave, and what has come back since; None if none told."""
        if limit.name not in self.left:
            return None
        back = (anyio.current_time() - self._told[limit.name]) * limit.size / limit.window
        return max(self.left[limit.name], min(limit.size, int(self.left[limit.name] + back)))


class BudgetPolicy(SansIOHTTPPolicy[Any, Any]):
    """Tells a `Budgets` of every answer, refusals included."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Learn from the answer's headers."""
        self._budgets.note(response.http_response.headers)
