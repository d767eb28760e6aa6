"""The transport of the SDK's clients: one pool of connections that are used again."""

from __future__ import annotations

from typing import Any

import aiohttp
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.cloud import Cloud, tls_context

_TO_READ = 60.0
"""Seconds until a read without an answer is given up: Resource Manager itself gives up after 60 (504 GatewayTimeout)."""

_TO_WRITE = 120.0
"""The same for a write, whose fate must be found out then."""


class AnswerWithin(SansIOHTTPPolicy[Any, Any]):
    """Gives up a request without an answer early enough for others: azure-core waits 300 s, which is all our patience."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Set how long the transport waits."""
        within = _TO_READ if request.http_request.method == "GET" else _TO_WRITE
        request.context.options.setdefault("read_timeout", within)


class PooledTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core hands it out by a module __getattr__
    """A transport that trusts the authorities of the cloud's own file.

    azure-core, given such a file, reads it for every request and makes a connection for each, because no two requests then
    have the same TLS settings. A session that knows the file beforehand connects once.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self._cloud = cloud
        self._opened = False

    async def open(self) -> None:
        """Make the session at the first request; its arguments but one are those that azure-core gives to its own."""
        if not self._opened:
            self._opened = True
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls_context(self._cloud)),
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        await super().open()


def transport_for(cloud: Cloud) -> AioHttpTransport:
    """A transport to this cloud, not connected yet."""
    return PooledTransport(cloud) if cloud.ca_file else AioHttpTransport()
