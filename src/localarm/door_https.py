"""The door for everyone: Resource Manager and logins over HTTPS, instance metadata over plain HTTP, on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import anyio
from aiohttp import web

from localarm.app import Application
from localarm.messages import JSON_TYPE, Request, Response

LARGEST_BODY = 16 << 20


class Door:
    """Listening sockets that lead to one application."""

    def __init__(self, application: Application, handled: Callable[[], None] = lambda: None) -> None:
        self._application = application
        self._handled = handled
        self._runners: list[web.ServerRunner] = []
        # A request whose client has gone is given up: it has had its effect, and one that hangs would wait for ever.
        self._server = web.Server(self._serve, access_log=None, handler_cancellation=True)

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the port (asked for as 0, the system picks one)."""
        runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=0.2)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        return int(runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and drop the connections."""
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        body = await raw.read() if raw.can_read_body else b""
        request = Request(
            raw.method,
            raw.path,
            dict(raw.query),
            {name.lower(): value for name, value in raw.headers.items()},
            body,
            base=f"{'https' if raw.secure else 'http'}://{raw.host}",
        )
        answer = self._application.handle(request)
        self._handled()
        if answer.delay > 0:
            await anyio.sleep(answer.delay)
        if answer.fate == "hang":
            await anyio.sleep_forever()
        if answer.fate == "reset" and isinstance(raw.transport, asyncio.Transport):
            raw.transport.abort()
        return _response(answer)


def _response(answer: Response) -> web.Response:
    headers = dict(answer.headers)
    body = answer.body()
    if body and "Content-Type" not in headers:
        headers["Content-Type"] = JSON_TYPE
    return web.Response(status=answer.status, body=body, headers=headers)


def tls_context(folder: Path, hosts: tuple[str, ...]) -> ssl.SSLContext:
    """TLS with a certificate for `hosts` by the world's own authority, made once and kept in `folder`."""
    authority, server, names = folder / "ca.pem", folder / "server.pem", folder / "names"
    if not (authority.exists() and server.exists() and names.exists() and names.read_text() == "\n".join(hosts)):
        _make_certificates(folder, hosts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return context


def _make_certificates(folder: Path, hosts: tuple[str, ...]) -> None:
    import trustme

    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="localarm")
    certificate = authority.issue_cert(*hosts)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "server.pem").chmod(0o600)
    (folder / "names").write_text("\n".join(hosts))
