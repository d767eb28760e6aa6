"""Which way of proving who gilder is the authentication options choose, and where options come from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gilder.model.clouds import METADATA_HOSTS, known_cloud
from gilder.model.errors import UserError
from gilder.model.spec import Auth

_PROOFS = ("client_secret", "client_cert_path", "client_jwt", "oidc_request_url")
_HALVES = {"client_cert_password": "client_cert_path", "oidc_request_token": "oidc_request_url"}
"""Options that prove nothing without another."""
_IDENTITY = ("client_id", *_PROOFS, *_HALVES, "use_azure_cli_auth")
"""Options that say who; an identity comes whole from one place."""
CI_JOB = "GitHub: permissions: id-token: write; Azure Pipelines: SYSTEM_ACCESSTOKEN: $(System.AccessToken)"
"""What a CI job must be given to get tokens."""
_UNSET = "the variable that it comes from is not set; for a managed identity leave the option out"
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
        _nothing_begun(auth)
        return Method.MANAGED_IDENTITY
    if not auth.client_id:
        hint = "the application id of the service principal (ARM_CLIENT_ID, AZURE_CLIENT_ID)"
        raise UserError(f"{given[0]} needs client_id", hint=hint)
    if given[0] == "oidc_request_url":
        if not auth.oidc_request_token:
            raise UserError("oidc_request_url needs oidc_request_token", hint=CI_JOB)
        return Method.OIDC
    methods = {
        "client_secret": Method.SECRET,
        "client_cert_path": Method.CERTIFICATE,
        "client_jwt": Method.ASSERTION,
    }
    return methods[given[0]]


def _nothing_begun(auth: Auth) -> None:
    """Raise UserError where a proof was meant and is not there.

    A CI job that is not given its secret would try a managed identity else, and fail with another story.
    """
    empty = [option for option in _PROOFS if getattr(auth, option) == ""]
    if auth.client_id and empty:
        hint = CI_JOB if empty[0] == "oidc_request_url" else _UNSET
        raise UserError(f"{empty[0]} is empty, and client_id is given", hint=hint)
    for option, other in _HALVES.items():
        if getattr(auth, option):
            raise UserError(f"{option} needs {other}", hint=f"give {other} too, or leave {option} out")


def with_environment(auth: Auth, environment: Mapping[str, str]) -> Auth:
    """The options that count: those of the template, completed from environment variables.

    Whom gilder logs in as comes whole from the first of the template, ARM_* (as Terraform knows them) and AZURE_* (as
    Azure's SDKs know them) that says so, with tenant and subscription; a secret is never tried with somebody else's
    client id. The cloud is asked for apart from that.

    Raises UserError for what no options can say: a token of the CI job, and not for which application.
    """
    # Without defaults: what the result says was said.
    said = {name: getattr(auth, name) for name in auth.model_fields_set}
    found = {name: value for name, value in said.items() if value not in (None, "", False)}
    if not any(name in found for name in _IDENTITY):
        theirs = _from_arm(environment) or _from_azure(environment)
        found = {name: value for name, value in theirs.items() if value is not None} | found
    if not auth.metadata_host:
        found |= _cloud(str(found.get("cloud_environment_name", "")), environment)
    # A proof that is given and empty stays so: method_of tells what that means.
    empty = {name: "" for name in _PROOFS if getattr(auth, name) == ""}
    return Auth.model_validate(empty | found)


def _cloud(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment adds to the name of a cloud ("" without one): its name, and the host that describes it.

    A name that is known needs no host.
    """
    host = _first(environment, *METADATA_HOSTS)
    said = {} if known_cloud(name or "?") or not host else {"metadata_host": host}
    theirs = environment.get("ARM_ENVIRONMENT")
    return said if name or not theirs else {**said, "cloud_environment_name": theirs}


def _from_arm(environment: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The identity that ARM_* variables describe; nothing when they describe none."""
    get = environment.get
    if _on(get("ARM_USE_CLI")):
        return {"use_azure_cli_auth": True}
    place = {"tenant_id": get("ARM_TENANT_ID") or None, "subscription_id": get("ARM_SUBSCRIPTION_ID") or None}
    client = get("ARM_CLIENT_ID") or None
    if _on(get("ARM_USE_MSI")):
        return {"client_id": client, **place}
    if _on(get("ARM_USE_OIDC")) and not client:
        hint = "set it to the application id of the service principal that trusts this CI job"
        raise UserError("ARM_USE_OIDC is true, and ARM_CLIENT_ID is not set", hint=hint)
    url, token = _oidc(environment)
    proofs = {
        "client_secret": get("ARM_CLIENT_SECRET"),
        "client_cert_path": get("ARM_CLIENT_CERTIFICATE_PATH"),
        "client_jwt": _first(environment, "ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH"),
        "oidc_request_url": url,
    }
    halves = {"client_cert_password": get("ARM_CLIENT_CERTIFICATE_PASSWORD"), "oidc_request_token": token}
    return _identity(client, proofs, halves, place)


def _from_azure(environment: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The identity that AZURE_* variables describe, among them those of workload identity."""
    get = environment.get
    proofs = {
        "client_secret": get("AZURE_CLIENT_SECRET"),
        "client_cert_path": get("AZURE_CLIENT_CERTIFICATE_PATH"),
        "client_jwt": get("AZURE_FEDERATED_TOKEN_FILE"),
    }
    halves = {"client_cert_password": get("AZURE_CLIENT_CERTIFICATE_PASSWORD")}
    place = {"tenant_id": get("AZURE_TENANT_ID"), "subscription_id": get("AZURE_SUBSCRIPTION_ID")}
    return _identity(get("AZURE_CLIENT_ID"), proofs, halves, place)


def _identity(
    client: str | None,
    proofs: Mapping[str, str | None],
    halves: Mapping[str, str | None],
    place: Mapping[str, str | None],
) -> dict[str, str | bool | None]:
    """A client id with the first of its proofs, and what belongs to it; nothing where none of them has a value.

    One without the other stays so: `method_of` tells what is missing.
    """
    if not any((client, *proofs.values(), *halves.values())):
        return {}
    given = [(name, value) for name, value in proofs.items() if value is not None]
    given.sort(key=lambda proof: not proof[1])  # an empty one only where there is no other
    belonging = {name: value or None for name, value in {"client_id": client, **halves, **place}.items()}
    return {**belonging, **dict(given[:1])}


def _oidc(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Where the CI job gets its tokens, and its right to: as told, or as GitHub Actions and Azure Pipelines have it when
    asked to look; "" where they have not."""
    asked = _on(environment.get("ARM_USE_OIDC"))
    theirs = ("ACTIONS_ID_TOKEN_REQUEST_URL", "SYSTEM_OIDCREQUESTURI") if asked else ()
    url = _first(environment, "ARM_OIDC_REQUEST_URL", *theirs)
    if not url:
        return "" if asked else url, environment.get("ARM_OIDC_REQUEST_TOKEN")
    connection = environment.get("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "")
    if connection and "serviceConnectionId=" not in url:
        url += f"{'&' if '?' in url else '?'}serviceConnectionId={connection}"
    tokens = ("ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN")
    return url, _first(environment, *tokens)


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    """The first of these variables that has a value; "" when one is set and none has."""
    found = [environment[name] for name in names if name in environment]
    return next((value for value in found if value), "" if found else None)


def _on(value: str | None) -> bool:
    return (value or "").strip().lower() in _TRUE
