"""The time of the service: the same for every machine, whatever its own clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy


class ServiceClock(SansIOHTTPPolicy[Any, Any]):
    """Reads the `Date` of every answer (RFC 9110 6.6.1); between answers it goes as the monotonic clock does.

    Leases are written on one machine and judged on another. With their own clocks, one that is wrong by a day, or that
    jumps, would have garbage collection delete what a live run holds.
    """

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Take note of the time."""
        try:
            told = parsedate_to_datetime(response.http_response.headers.get("Date", ""))
        except ValueError:
            return
        self._told = (told if told.tzinfo else told.replace(tzinfo=UTC), anyio.current_time())

    @property
    def known(self) -> bool:
        """Whether the service has told its time."""
        return self._told is not None

    def now(self) -> datetime:
        """The time of the service; before its first answer that of this machine."""
        if self._told is None:
            return datetime.now(UTC)
        told, at = self._told
        return told + timedelta(seconds=anyio.current_time() - at)
