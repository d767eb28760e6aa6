"""The door without sockets: an azure-core transport that calls the application in-process.

All waiting goes through `anyio.sleep`, so with a clock made of `anyio.current_time()` the same world runs in virtual time.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import anyio
from azure.core.exceptions import ServiceResponseError, ServiceResponseTimeoutError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

# There is no public class to build a response of; every transport outside azure-core derives from this one.
from azure.core.rest._http_response_impl_async import AsyncHttpResponseImpl
from azure.core.utils import CaseInsensitiveDict

from localarm.app import Application
from localarm.clock import Clock
from localarm.messages import JSON_TYPE, Request, Response
from localarm.ticker import Ticker

READ_TIMEOUT = 300.0
"""Seconds after which a client gives up on an answer (azure-core's default)."""


def virtual_clock(epoch: float = 1_800_000_000.0) -> Clock:
    """A clock that goes as the event loop's does: in virtual time with a loop that jumps."""
    return lambda: epoch + anyio.current_time()


class InProcessTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Delivers the requests of an SDK client to an application of this process.

    Faults look as they do on a network: a dropped connection is a `ServiceResponseError`, an answer that never comes a
    `ServiceResponseTimeoutError`.

    Args:
        ticker: stirred after each request, if time passes for the world by itself.
    """

    def __init__(self, application: Application, ticker: Ticker | None = None) -> None:
        self._application = application
        self._ticker = ticker

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        """Deliver one request."""
        answer = self._application.handle(asked(request))
        if self._ticker is not None:
            self._ticker.stir()
        await anyio.sleep(answer.delay)
        if answer.fate == "hang":
            await anyio.sleep(float(kwargs.get("read_timeout", READ_TIMEOUT)))
            raise ServiceResponseTimeoutError("localarm: no answer came")
        if answer.fate == "reset":
            raise ServiceResponseError("localarm: the connection was reset")
        return _Answered(request, answer)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Nothing to close."""


def asked(request: HttpRequest) -> Request:
    """A request of the SDK as the application takes it."""
    parts = urlsplit(request.url)
    return Request(
        request.method.upper(),
        unquote(parts.path),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        {name.lower(): value for name, value in request.headers.items()},
        _body(request),
        base=f"{parts.scheme}://{parts.netloc}",
    )


def _body(request: Any) -> bytes:
    """What the SDK would have sent."""
    content: Any = request.content if hasattr(request, "content") else request.body
    if content is None:
        data = getattr(request, "_data", None) or {}
        return urlencode(data).encode()
    if isinstance(content, dict):
        return urlencode(content).encode()
    return content.encode() if isinstance(content, str) else bytes(content)


class _Closed:
    """What stands for the connection of an answer that is whole already."""

    async def close(self) -> None:
        """Nothing to close."""


class _Answered(AsyncHttpResponseImpl):
    """An answer with its body read."""

    def __init__(self, request: HttpRequest, answer: Response) -> None:
        headers: MutableMapping[str, str] = CaseInsensitiveDict(answer.headers)
        body = answer.body()
        if body:
            headers.setdefault("Content-Type", JSON_TYPE)
        headers["Content-Length"] = str(len(body))
        super().__init__(
            request=request,
            internal_response=_Closed(),
            status_code=answer.status,
            reason="",
            content_type=headers.get("Content-Type"),
            headers=headers,
            stream_download_generator=None,
        )
        self._content = body
