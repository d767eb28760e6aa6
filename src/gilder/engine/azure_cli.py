"""What the program `az` tells: the account that it has marked as default, and the endpoints of clouds it was taught."""

from __future__ import annotations

import json
import os
from typing import Any

from gilder.azure.cloud import Cloud
from gilder.azure.denials import az_login
from gilder.host.run import output
from gilder.model.errors import CommandFailed, Denied, UserError


async def account() -> dict[str, str]:
    """Cloud, subscription and tenant of the default account.

    Raises UserError where there is no `az`, Denied when nobody is logged in.
    """
    told = await _asked("account", "show")
    try:
        return {
            "subscription_id": str(told["id"]),
            "tenant_id": str(told["tenantId"]),
            "cloud_environment_name": str(told["environmentName"]),
        }
    except (KeyError, TypeError) as error:
        raise Denied("use_azure_cli_auth: `az account show` printed no account", hint=az_login()) from error


async def registered_cloud(name: str) -> Cloud:
    """A cloud that was registered with `az cloud register`; raises Denied when `az` does not know its endpoints."""
    told = await _asked("cloud", "show", "--name", name)
    try:
        endpoints = told["endpoints"]
        manager, authority = str(endpoints["resourceManager"]), str(endpoints["activeDirectory"])
        audience = str(endpoints.get("activeDirectoryResourceId") or manager)
        return Cloud(name, manager.rstrip("/"), authority.rstrip("/").removesuffix("/adfs"), audience)
    except (KeyError, TypeError, AttributeError) as error:
        raise Denied(
            f"use_azure_cli_auth: `az cloud show --name {name}` names no endpoints", hint="az cloud update --name NAME"
        ) from error


async def _asked(*words: str) -> Any:
    command = ["az", *words, "--output", "json"]
    what = f"`az {' '.join(words)}`"
    try:
        # az finds its login by HOME and AZURE_CONFIG_DIR, and its way out by the variables of proxies.
        text = await output(command, env={**os.environ, "AZURE_CORE_NO_COLOR": "true"}, timeout=60)
    except CommandFailed as error:
        if error.status == 127:
            raise UserError(
                "use_azure_cli_auth: there is no program `az`", hint="install the Azure CLI (package azure-cli)"
            ) from error
        last = next((line for line in error.tail if line.strip()), "it says nothing")
        raise Denied(f"use_azure_cli_auth: {what} fails: {last}", hint=az_login()) from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise Denied(f"use_azure_cli_auth: {what} printed no JSON", hint=az_login()) from error
