"""Who gilder is towards Azure: the credential that a template's authentication options ask for."""

from __future__ import annotations

from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential

from gilder.azure.cloud import Cloud
from gilder.model.errors import UserError
from gilder.model.spec import Auth


def credential_for(auth: Auth, cloud: Cloud, transport: AsyncHttpTransport[Any, Any]) -> AsyncTokenCredential:
    """The credential of azure-identity for these options; nothing given means the VM's managed identity.

    Raises UserError when the options do not go together or name a method that gilder does not have yet.
    """
    if auth.client_secret is not None:
        if not auth.client_id or not auth.tenant_id:
            raise UserError("client_secret needs client_id and tenant_id", hint="add both, or leave all three out")
        return ClientSecretCredential(
            auth.tenant_id, auth.client_id, auth.client_secret, authority=cloud.authority, transport=transport
        )
    for option in ("client_cert_path", "client_jwt", "oidc_request_url", "use_azure_cli_auth"):
        if getattr(auth, option):
            raise UserError(
                f"{option} is not supported yet",
                hint="use a managed identity, or client_id with client_secret",
            )
    if auth.client_id:
        return ManagedIdentityCredential(client_id=auth.client_id)
    return ManagedIdentityCredential()
