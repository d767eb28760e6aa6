"""The transport of the SDK's clients: one pool of connections that are used again."""

from __future__ import annotations

import ssl

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from gilder.azure.cloud import Cloud


def transport_for(cloud: Cloud) -> AioHttpTransport:
    """A transport that trusts the system's authorities, or those of the cloud's own file; to be made in the event loop.

    azure-core, given such a file, reads it for every request and makes a connection for each, because no two requests then
    have the same TLS settings. A session that knows the file beforehand opens a connection once (its other arguments are
    those that azure-core gives to its own).
    """
    if cloud.ca_file is None:
        return AioHttpTransport()
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(cloud.ca_file)))
    session = aiohttp.ClientSession(
        connector=connector, trust_env=True, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )
    return AioHttpTransport(session=session)
