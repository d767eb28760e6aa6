"""Why there is no token, told by what the user can do about it. No message holds a credential."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

from gilder.azure.answers import clock_note, retry_after
from gilder.azure.methods import Method
from gilder.model.errors import CloudError, Denied, Throttled, Unreachable
from gilder.model.spec import Auth

_AADSTS = re.compile(r"AADSTS(\d+): (.*?)(?: ?Trace ID:|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a token, and how."""

    auth: Auth
    method: Method

    @property
    def tenant(self) -> str:
        """The tenant, for messages."""
        return self.auth.tenant_id or "?"


def token_error(error: AzureError, asked: Asked) -> CloudError:
    """azure-identity's error as gilder tells it; numbers are those of Microsoft Entra's error reference."""
    response = error.response if isinstance(error, HttpResponseError) else None
    status = (response.status_code if response is not None else 0) or 0
    text = str(error.message or "")
    if status == 429:
        throttled = Throttled("too many requests for tokens", code="TooManyRequests", status=429)
        throttled.retry_after = retry_after(error)
        return throttled
    if status >= 500 or status in (404, 408, 410) or _unanswered(error):
        return Unreachable(
            f"no answer to the request for a token: {_first_line(text)}", status=status, hint=_network(asked)
        )
    found = _AADSTS.search(text)
    if asked.method is Method.AZURE_CLI:
        # What Entra says of a person's login is for az to mend, whatever the number.
        why, code = (" ".join(found[2].split()), f"AADSTS{found[1]}") if found else (_first_line(text), "")
        return Denied(f"the Azure CLI gives no token: {why}", code=code, hint=az_login(asked.auth.tenant_id or ""))
    if found is not None:
        message, hint = _explained(found[1], " ".join(found[2].split()), asked)
        return Denied(
            f"{message} (AADSTS{found[1]}){_late(response)}", code=f"AADSTS{found[1]}", status=status, hint=hint
        )
    if asked.method is Method.MANAGED_IDENTITY:
        return _no_identity(text, asked, status)
    return Denied(f"no token for the {asked.method}: {_first_line(text)}", status=status, hint="check the options")


def az_login(tenant: str = "") -> str:
    """How to log in with the Azure CLI, as a hint."""
    command = f"az login --tenant {tenant}" if tenant else "az login"
    return (
        f"log in with `{command}` as the user that gilder runs as (under sudo that is root: `sudo -E` with "
        "AZURE_CONFIG_DIR=/home/YOU/.azure uses your login)"
    )


def _explained(number: str, text: str, asked: Asked) -> tuple[str, str]:
    auth = asked.auth
    app = f"application {auth.client_id}"
    portal = "Microsoft Entra ID, App registrations, Certificates & secrets"
    listed = f"az ad app federated-credential list --id {auth.client_id}"
    told = {
        "7000215": (
            "the client secret is wrong",
            f"client_secret must be the secret's value, not its id; see {portal} of the {app}",
        ),
        "7000222": (
            "the client secret has expired",
            f"make a new one: az ad app credential reset --id {auth.client_id}",
        ),
        "7000216": ("there is no proof of who asks", "give client_secret, client_cert_path or client_jwt"),
        "700016": (
            f"the {app} is not known in tenant {asked.tenant}",
            "correct client_id or tenant_id (without tenant_id it is looked up from the subscription)",
        ),
        "7000229": (
            f"the {app} has no service principal in tenant {asked.tenant}",
            f"make one: az ad sp create --id {auth.client_id}",
        ),
        "90002": (f"there is no tenant {asked.tenant}", "correct tenant_id, or leave it out: it is looked up"),
        "900023": (f"{asked.tenant} cannot be a tenant", "correct tenant_id, or leave it out: it is looked up"),
        "700024": _out_of_time(text, asked),
        "700027": _bad_signature(text, asked),
        "700023": ("the assertion is for another audience", "check tenant_id and the audience of the assertion"),
        "700021": (f"the assertion is not that of the {app}", "its claims iss and sub must be the client_id"),
        "500011": ("this tenant does not know the cloud's Resource Manager", "check cloud_environment_name"),
        "900382": ("the application belongs to another cloud", "check cloud_environment_name"),
    }
    if number in told:
        return told[number]
    if number.startswith(("70021", "700211", "700212", "700213")):
        return (
            f"no federated credential fits: {text.partition(' Check your ')[0]}",
            f"compare with the federated credentials of the {app}: {listed}; another audience: docs/authentication.md",
        )
    return f"no token for the {asked.method}: {text}", f"see https://login.microsoftonline.com/error?code={number}"


def _out_of_time(text: str, asked: Asked) -> tuple[str, str]:
    times = text.partition("Current time:")[2].partition(" Review")[0].strip(" .")
    hint = {
        Method.CERTIFICATE: "correct this machine's clock",
        Method.OIDC: "the CI gave it just now: its clock or this machine's is wrong",
    }.get(asked.method, "get a new one; client_jwt may name a file, which is read again for every token")
    return f"the assertion is not valid now (current time {times})", hint


def _bad_signature(text: str, asked: Asked) -> tuple[str, str]:
    what = (
        f"the certificate {asked.auth.client_cert_path}"
        if asked.auth.client_cert_path
        else "the assertion's certificate"
    )
    register = f"az ad app credential reset --append --id {asked.auth.client_id} --cert @CERTIFICATE.pem"
    if "expired" in text:
        return f"{what} has expired", f"make a new one and register it: {register}"
    if "not registered" in text or "not found" in text:
        return f"{what} is not registered with the application {asked.auth.client_id}", f"register it: {register}"
    return f"{what} has another key than the one that signed", "the private key must belong to the certificate"


def _no_identity(text: str, asked: Asked, status: int) -> CloudError:
    which = asked.auth.client_id or asked.auth.object_id
    if "Multiple user assigned" in text:
        return Denied("this VM has several user-assigned identities", status=status, hint="choose one with client_id")
    if which:
        hint = (
            "assign it: az vm identity assign --identities ID; a service principal needs client_secret, client_cert_path or "
            "client_jwt as well"
        )
        return Denied(f"this VM has no managed identity {which}", code="IdentityNotFound", status=status, hint=hint)
    if "Identity not found" in text or "No identity has been assigned" in text:
        hint = "assign one: az vm identity assign; or log in another way (docs/authentication.md)"
        return Denied("this VM has no managed identity", code="IdentityNotFound", status=status, hint=hint)
    return Denied(
        f"no token for the managed identity: {_first_line(text)}", status=status, hint="docs/authentication.md"
    )


def _unanswered(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ServiceRequestError | ServiceResponseError):
            return True
        error = error.__cause__
    return False


def _network(asked: Asked) -> str:
    if asked.method is Method.MANAGED_IDENTITY:
        return (
            "not on an Azure VM? The metadata service must be reachable without a proxy; `--cloud local` builds locally"
        )
    return "check the network, the proxy and cloud_environment_name"


def _late(response: Any) -> str:
    return clock_note(response.headers) if response is not None else ""


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
