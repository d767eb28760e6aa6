"""How many requests Azure still allows, as its answers tell: `x-ms-ratelimit-remaining-*`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

_RESOURCE = "x-ms-ratelimit-remaining-resource"
_OTHERS = "x-ms-ratelimit-remaining-"


class Budgets:
    """The remaining requests of each limit, as the latest answer gave them.

    Names are Azure's, such as `AttachDetachVMDisksResource` (recorded answers; the compute provider names its limits in one
    header, Resource Manager has a header for each, such as `subscription-writes`).
    """

    def __init__(self) -> None:
        self.left: dict[str, int] = {}

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

    def tightest(self, below: int = 100) -> tuple[str, int] | None:
        """The limit with the fewest requests left, if those are fewer than `below`; what a person would worry about."""
        if not self.left:
            return None
        limit = min(self.left, key=lambda name: (self.left[name], name))
        return (limit, self.left[limit]) if self.left[limit] < below else None


class BudgetPolicy(SansIOHTTPPolicy[Any, Any]):
    """Tells a `Budgets` of every answer, refusals included."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Learn from the answer's headers."""
        self._budgets.note(response.http_response.headers)
