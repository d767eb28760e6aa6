"""`/metadata/endpoints`: how a client that knows only a host name finds the rest of a cloud."""

from __future__ import annotations

from localarm.messages import Json, Request, Response
from localarm.world import World

NAME = "AzureLocal"
OBJECT_SINCE = "2022-09-01"


def endpoints(world: World, request: Request) -> Response | None:
    """Answer the discovery request; None when the path is not its."""
    if request.path.rstrip("/").lower() != "/metadata/endpoints":
        return None
    version = request.query.get("api-version", "")
    if not version:
        return Response(
            400,
            {
                "error": {
                    "code": "MissingApiVersionParameter",
                    "message": "The api-version query parameter (?api-version=) is required for all requests.",
                }
            },
        )
    found = _cloud(world, request.base)
    return Response(200, found if version >= OBJECT_SINCE or version.startswith("2015") else [found])


def _cloud(world: World, base: str) -> Json:
    audiences = ["https://management.core.windows.net/", "https://management.azure.com/", f"{base}/"]
    return {
        "portal": base,
        "authentication": {
            "loginEndpoint": f"{base}/", "audiences": audiences, "tenant": world.settings.tenant, "identityProvider": "AAD",
        },
        "graphAudience": "https://graph.windows.net/", "graph": "https://graph.windows.net/", "name": NAME,
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.azure.net"},
        "resourceManager": base, "batch": f"{base}/batch", "media": f"{base}/media",
        "galleryEndpoint": base, "graphEndpoint": "https://graph.windows.net/", "portalEndpoint": base,
    }  # fmt: skip
