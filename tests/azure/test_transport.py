"""Connections to a cloud with authorities of its own, over real TLS on loopback."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import trustme
from aiohttp import web
from azure.core.rest import HttpRequest

from gilder.azure.cloud import PUBLIC
from gilder.azure.transport import transport_for


async def test_requests_to_a_cloud_with_its_own_authority_share_a_connection(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    peers: set[object] = set()

    async def serve(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="here")

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=tls).start()
    port = runner.addresses[0][1]
    transport = transport_for(replace(PUBLIC, ca_file=tmp_path / "ca.pem"))
    try:
        for _ in range(3):
            answer = await transport.send(HttpRequest("GET", f"https://localhost:{port}/"))
            await answer.read()
    finally:
        await transport.close()
        await runner.cleanup()
    assert len(peers) == 1
