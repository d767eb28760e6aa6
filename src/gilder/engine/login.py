"""Whom a run logs in as: template, environment and `az login` settled into the options that count."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence

from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.azure.denials import AZ_HINT
from gilder.azure.methods import Method, method_of, with_environment
from gilder.azure.tenants import tenant_of
from gilder.host.run import output
from gilder.model.errors import CommandFailed, Denied, UserError
from gilder.model.spec import Auth, BuildSpec

_NOT_IGNORED = ("use_azure_cli_auth", "metadata_host")
_LOGGING_IN = (Method.SECRET, Method.CERTIFICATE, Method.ASSERTION, Method.OIDC)


def shared_auth(specs: Sequence[BuildSpec]) -> Auth:
    """The authentication of a run: one VM has one identity towards its own disk list. Raises UserError."""
    first, *others = [spec.auth for spec in specs] or [Auth()]
    if any(auth != first for auth in others):
        raise UserError(
            "the builders of this template authenticate in different ways",
            hint="give all of them the same authentication options, or build them in separate runs (-only)",
        )
    return first


async def settled(auth: Auth, environment: Mapping[str, str], say: Callable[[str], None]) -> Auth:
    """The options that count: the template's, completed from the environment or replaced by those of `az login`.

    Raises UserError when they do not go together, Denied when there is no `az` or nobody is logged in with it.
    """
    complete = with_environment(auth, environment)
    if method_of(complete) is not Method.AZURE_CLI:
        return complete
    given = [name for name in Auth.model_fields if name in complete.model_fields_set and getattr(complete, name)]
    ignored = [name for name in given if name not in _NOT_IGNORED]
    if ignored:
        say(f"use_azure_cli_auth: {', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored")
    account = await _account()
    return Auth(use_azure_cli_auth=True, metadata_host=complete.metadata_host, **account)


async def cloud_of(auth: Auth) -> Cloud:
    """The cloud that (settled) options mean: described by `metadata_host`, or known by name.

    Raises UserError for an unknown name, Refused when the host describes no cloud.
    """
    if auth.metadata_host:
        named = "cloud_environment_name" in auth.model_fields_set
        return await discovered_cloud(auth.metadata_host, auth.cloud_environment_name if named else "")
    return named_cloud(auth.cloud_environment_name)


async def with_tenant(auth: Auth, cloud: Cloud, subscription: str) -> Auth:
    """The same with the tenant of the subscription (the VM's, unless the options name one) where none is given.

    Raises what `tenant_of` raises.
    """
    if auth.tenant_id or method_of(auth) not in _LOGGING_IN:
        return auth
    return auth.model_copy(update={"tenant_id": await tenant_of(auth.subscription_id or subscription, cloud)})


async def _account() -> dict[str, str]:
    """Cloud, subscription and tenant of the account that `az` has marked as default."""
    command = ["az", "account", "show", "--output", "json"]
    try:
        # az finds its login by HOME and AZURE_CONFIG_DIR, and its way out by the variables of proxies.
        text = await output(command, env={**os.environ, "AZURE_CORE_NO_COLOR": "true"}, timeout=60)
    except CommandFailed as error:
        if error.status == 127:
            raise UserError(
                "use_azure_cli_auth: there is no program `az`", hint="install the Azure CLI (package azure-cli)"
            ) from error
        last = next((line for line in error.tail if line.strip()), "it says nothing")
        raise Denied(f"use_azure_cli_auth: `az account show` fails: {last}", hint=AZ_HINT) from error
    try:
        told = json.loads(text)
        return {
            "subscription_id": str(told["id"]),
            "tenant_id": str(told["tenantId"]),
            "cloud_environment_name": str(told["environmentName"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Denied("use_azure_cli_auth: `az account show` printed no account", hint=AZ_HINT) from error
