"""A Resource Manager of a few lines, over real HTTPS: it gives what a test wants as an answer."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trustme
from aiohttp import web
from azure.core.credentials import AccessTokenInfo

from gilder.azure.arm import Arm, connected
from gilder.azure.cloud import PUBLIC
from gilder.azure.tokens import SharedToken
from gilder.azure.transport import transport_for
from gilder.model.ids import ArmId

SUBSCRIPTION = "5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e"
VM = ArmId.parse(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm")


async def anybody(scope: str) -> AccessTokenInfo:
    """A token that is always good."""
    return AccessTokenInfo("token", 1 << 40)


async def nothing() -> None:
    """Nothing to close."""


@dataclass
class Manager:
    """A Resource Manager that refuses what `refusals` name, by version; `asked` are the versions it was asked for."""

    refusals: dict[str, tuple[int, str, str]]
    default: tuple[int, str, str] | None = None
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.BaseRequest) -> web.Response:
        version = request.query["api-version"]
        self.asked.append(version)
        refusal = self.refusals.get(version, self.default if version.startswith("2026") else None)
        if refusal is not None:
            status, code, message = refusal
            return web.json_response(
                {"error": {"code": code, "message": message.replace("OURS", version)}}, status=status
            )
        if request.method == "POST":
            assert (await request.json())["dataDisksToDetach"]
            return web.Response(status=202, headers={"Location": f"https://{request.host}/done?api-version={version}"})
        found = {
            "id": str(VM),
            "name": "vm",
            "location": "chinanorth3",
            "properties": {"provisioningState": "Succeeded"},
        }
        return web.json_response(found)


@asynccontextmanager
async def managed(folder: Path, manager: Manager) -> AsyncIterator[Arm]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    runner = web.ServerRunner(web.Server(manager.serve))
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=tls).start()
    cloud = replace(PUBLIC, resource_manager=f"https://localhost:{runner.addresses[0][1]}", ca_file=folder / "ca.pem")
    try:
        async with connected(cloud, SharedToken(anybody, nothing), transport_for(cloud)) as arm:
            yield arm
    finally:
        await runner.cleanup()
