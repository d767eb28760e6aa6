"""Which way of proving who gilder is the authentication options choose, and where options come from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gilder.model.errors import UserError
from gilder.model.spec import Auth

_PROOFS = ("client_secret", "client_cert_path", "client_jwt", "oidc_request_url")
_IDENTITY = ("client_id", *_PROOFS, "use_azure_cli_auth")
"""Options that say who; an identity comes whole from one place."""
_TRUE = ("1", "true", "yes")


class Method(StrEnum):
    """A way of proving who gilder is, in words."""

    SECRET = "client secret"  # noqa: S105 - a name
    CERTIFICATE = "client certificate"
    ASSERTION = "client assertion"
    OIDC = "OIDC token of the CI job"
    AZURE_CLI = "Azure CLI"
    MANAGED_IDENTITY = "managed identity"


def method_of(auth: Auth) -> Method:
    """The method that these options choose; none given means the VM's managed identity.

    Raises UserError when options do not go together.
    """
    if auth.use_azure_cli_auth:
        return Method.AZURE_CLI
    given = [option for option in _PROOFS if getattr(auth, option)]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other", hint="give one of them")
    if not given:
        empty = [option for option in _PROOFS if getattr(auth, option) == ""]
        if auth.client_id and empty:
            # Else a CI job that is not given its secret would try a managed identity, and fail with another story.
            hint = "the variable that it comes from is not set; for a managed identity leave the option out"
            raise UserError(f"{empty[0]} is empty, and client_id is given", hint=hint)
        return Method.MANAGED_IDENTITY
    if not auth.client_id:
        raise UserError(f"{given[0]} needs client_id", hint="the application id of the service principal")
    if given[0] == "oidc_request_url":
        if not auth.oidc_request_token:
            raise UserError("oidc_request_url needs oidc_request_token", hint="the CI job has both in its environment")
        return Method.OIDC
    methods = {
        "client_secret": Method.SECRET,
        "client_cert_path": Method.CERTIFICATE,
        "client_jwt": Method.ASSERTION,
    }
    return methods[given[0]]


def with_environment(auth: Auth, environment: Mapping[str, str]) -> Auth:
    """The options that count: those of the template, completed from environment variables.

    Whom gilder logs in as comes whole from the first of the template, ARM_* (as Terraform knows them) and AZURE_* (as
    Azure's SDKs know them) that says so, with tenant and subscription; a secret is never tried with somebody else's
    client id. The cloud is asked for apart from that.
    """
    found: dict[str, object] = {name: value for name, value in auth if value not in (None, "", False)}
    if not any(name in found for name in _IDENTITY):
        said = _from_arm(environment) or _from_azure(environment)
        found = {name: value for name, value in said.items() if value is not None} | found
    if "cloud_environment_name" not in auth.model_fields_set and not auth.metadata_host:
        if host := environment.get("ARM_METADATA_HOSTNAME") or environment.get("ARM_METADATA_HOST"):
            found["metadata_host"] = host
        elif name := environment.get("ARM_ENVIRONMENT"):
            found["cloud_environment_name"] = name
    # A proof that is given and empty stays so: method_of tells what that means.
    empty = {name: "" for name in _PROOFS if getattr(auth, name) == ""}
    return Auth.model_validate(empty | found)


def _from_arm(environment: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The identity that ARM_* variables describe; nothing when they describe none."""
    get = environment.get
    if _on(get("ARM_USE_CLI")):
        return {"use_azure_cli_auth": True}
    proofs = {
        "client_secret": get("ARM_CLIENT_SECRET"),
        "client_cert_path": get("ARM_CLIENT_CERTIFICATE_PATH"),
        "client_jwt": get("ARM_OIDC_TOKEN") or get("ARM_OIDC_TOKEN_FILE_PATH"),
        "oidc_request_url": _oidc_url(environment),
    }
    return _identity(get("ARM_CLIENT_ID"), {} if _on(get("ARM_USE_MSI")) else proofs, {
        "tenant_id": get("ARM_TENANT_ID"),
        "subscription_id": get("ARM_SUBSCRIPTION_ID"),
        "client_cert_password": get("ARM_CLIENT_CERTIFICATE_PASSWORD"),
        "oidc_request_token": _oidc_token(environment),
    })  # fmt: skip


def _from_azure(environment: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The identity that AZURE_* variables describe, among them those of workload identity."""
    get = environment.get
    proofs = {
        "client_secret": get("AZURE_CLIENT_SECRET"),
        "client_cert_path": get("AZURE_CLIENT_CERTIFICATE_PATH"),
        "client_jwt": get("AZURE_FEDERATED_TOKEN_FILE"),
    }
    return _identity(get("AZURE_CLIENT_ID"), proofs, {
        "tenant_id": get("AZURE_TENANT_ID"),
        "subscription_id": get("AZURE_SUBSCRIPTION_ID"),
        "client_cert_password": get("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
    })  # fmt: skip


def _identity(
    client: str | None, proofs: Mapping[str, str | None], belonging: Mapping[str, str | None]
) -> dict[str, str | bool | None]:
    """A client id with the first of its proofs, and what belongs to it; nothing without a client id."""
    if not client:
        return {}
    given = [(name, value) for name, value in proofs.items() if value is not None]
    given.sort(key=lambda proof: not proof[1])  # an empty one only where there is no other
    return {**{name: value or None for name, value in belonging.items()}, "client_id": client, **dict(given[:1])}


def _oidc_url(environment: Mapping[str, str]) -> str | None:
    """Where the CI job gets its tokens: as told, or as GitHub Actions and Azure Pipelines have it when asked to look."""
    url = environment.get("ARM_OIDC_REQUEST_URL")
    if not url and _on(environment.get("ARM_USE_OIDC")):
        url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL") or environment.get("SYSTEM_OIDCREQUESTURI")
    connection = environment.get("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "")
    if url and connection and "serviceConnectionId=" not in url:
        url += f"{'&' if '?' in url else '?'}serviceConnectionId={connection}"
    return url


def _oidc_token(environment: Mapping[str, str]) -> str | None:
    names = ("ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN")
    return next((value for name in names if (value := environment.get(name))), None)


def _on(value: str | None) -> bool:
    return (value or "").strip().lower() in _TRUE
