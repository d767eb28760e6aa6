"""Whom a run logs in as: template, environment and `az login` settled into the options that count; what of it is secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.azure.methods import Method, method_of, with_environment
from gilder.azure.tenants import tenant_of
from gilder.engine.azure_cli import account, registered_cloud
from gilder.model.clouds import known_cloud
from gilder.model.errors import UserError
from gilder.model.spec import LONGEST_PATH, Auth, BuildSpec

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_LOGGING_IN = (Method.SECRET, Method.CERTIFICATE, Method.ASSERTION, Method.OIDC)


def shared_auth(specs: Sequence[BuildSpec]) -> Auth:
    """The authentication of a run: one VM has one identity towards its own disk list. Raises UserError.

    Without a subscription_id where the builds name different ones: each has its own.
    """
    first, *others = [spec.auth for spec in specs] or [Auth()]
    if any(first.differences(auth) for auth in others):
        raise UserError(
            "the builders of this template authenticate in different ways",
            hint="give all of them the same authentication options, or build them in separate runs (-only)",
        )
    if any(auth.subscription_id != first.subscription_id for auth in others):
        return Auth(**first.model_dump(exclude_unset=True, exclude={"subscription_id"}))
    return first


async def settled(auth: Auth, environment: Mapping[str, str], say: Callable[[str], None]) -> Auth:
    """The options that count: the template's, completed from the environment or replaced by those of `az login`.

    Raises UserError when they do not go together, Denied when there is no `az` or nobody is logged in with it.
    """
    complete = with_environment(auth, environment)
    if method_of(complete) is not Method.AZURE_CLI:
        return complete
    given = [name for name in Auth.model_fields if name in complete.model_fields_set and getattr(complete, name)]
    ignored = [name for name in given if name != "use_azure_cli_auth"]
    if ignored:
        say(f"use_azure_cli_auth: {', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} ignored")
    return Auth(use_azure_cli_auth=True, **await account())


async def cloud_of(auth: Auth) -> Cloud:
    """The cloud that (settled) options mean: known by name, described by `metadata_host`, or registered with `az`.

    Raises UserError for an unknown name, Refused when the host describes no such cloud, Denied when `az` knows none.
    """
    if auth.use_azure_cli_auth and known_cloud(auth.cloud_environment_name) is None:
        return await registered_cloud(auth.cloud_environment_name)
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


def login_secrets(auth: Auth) -> dict[str, str]:
    """The secrets of these (settled) options, also what the files hold that they name: an assertion, keys in PEM."""
    found = dict(auth.secrets)
    if assertion := _content(auth.client_jwt or ""):
        found["the file of client_jwt"] = assertion.strip()
    for number, key in enumerate(_PRIVATE_KEY.findall(_content(auth.client_cert_path or ""))):
        found[f"private key {number + 1} of client_cert_path"] = key.strip()
    return found


def _content(file: str) -> str:
    """The text of a file; "" when there is none that can be read (whoever needs it says so)."""
    if len(file) > LONGEST_PATH or "\0" in file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
