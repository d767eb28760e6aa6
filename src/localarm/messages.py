"""What passes through a door: one request, one answer, independent of sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

JSON_TYPE = "application/json; charset=utf-8"

Json = dict[str, Any]
"""A JSON object of the wire; treated as immutable once stored."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` is percent-decoded, `headers` have lower-case names, `base` is the address it was sent to."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base: str = "https://management.azure.com"

    def json(self) -> Any:
        """The body as JSON (None when empty).

        Raises:
            ValueError: the body is no JSON.
        """
        return json.loads(self.body) if self.body.strip() else None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, and how the door is to deliver it.

    Attributes:
        payload: a JSON value; None means an empty body.
        delay: seconds that the door waits before it answers.
        fate: `answer` sends it; `reset` drops the connection instead; `hang` never answers.
    """

    status: int
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    fate: Literal["answer", "reset", "hang"] = "answer"

    def body(self) -> bytes:
        """The body's bytes, as the services write them (no spaces)."""
        if self.payload is None:
            return b""
        return json.dumps(self.payload, separators=(",", ":")).encode()

    def with_headers(self, more: Mapping[str, str]) -> Response:
        """The same answer with `more` headers; those it has already win."""
        return replace(self, headers={**more, **self.headers})
