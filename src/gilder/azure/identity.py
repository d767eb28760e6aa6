"""Who gilder is towards Azure: the credential that authentication options ask for, one for a whole run.

The credentials are azure-identity's. One is made for each token that is asked for: it reads certificates and assertions
anew, and what it keeps cannot stand between a refused token and a new one.
"""

from __future__ import annotations

import logging
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from azure.core.credentials import AccessTokenInfo
from azure.core.credentials_async import AsyncSupportsTokenInfo
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.transport import AioHttpTransport, AsyncHttpTransport
from azure.identity.aio import (
    AzureCliCredential,
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
)

from gilder.azure.assertions import assertion_of, requested_assertion
from gilder.azure.cloud import INSTANCE_METADATA, Cloud, tls_context
from gilder.azure.denials import Asked, token_error
from gilder.azure.methods import Method, method_of
from gilder.azure.tokens import SharedToken
from gilder.model.errors import Unreachable, UserError
from gilder.model.spec import Auth

PATIENCE = 60.0
"""Seconds for the answer to one request for a token."""
AZ_PATIENCE = 60
"""Seconds for `az` to print a token; azure-identity's 10 are too few for a machine that is busy building."""

# azure-identity logs refusals as warnings, which Python prints where nobody has set up logging: past everything that hides
# secrets, and a second time. Programs that set up logging hear of them all the same.
logging.getLogger("azure").addHandler(logging.NullHandler())

_OF_TENANTS = frozenset(string.ascii_letters + string.digits + "-.")
_Make = Callable[[], Awaitable[AsyncSupportsTokenInfo]]


def credential_for(auth: Auth, cloud: Cloud, transport: AsyncHttpTransport[Any, Any]) -> SharedToken:
    """The credential of these options (complete: see `with_environment`, `tenant_of`); it uses `transport` for logins.

    Raises UserError when the options do not go together. Asking it raises Denied, Unreachable or Throttled, and UserError
    for files that cannot be read.
    """
    asked = Asked(auth, method_of(auth))
    # The metadata service is this machine's own: behind a proxy it would be another machine's.
    direct = AioHttpTransport(use_env_settings=False)
    make = _Maker(auth, cloud, transport, direct).of(asked.method)

    async def ask(scope: str) -> AccessTokenInfo:
        # All builds wait for this one answer; azure-core's own limit is five minutes.
        with anyio.move_on_after(PATIENCE):
            try:
                credential = await make()
                if asked.method is Method.AZURE_CLI:
                    return await _to_its_end(credential, scope)
                return await credential.get_token_info(scope)
            except AzureError as error:
                raise token_error(error, asked) from error
        raise Unreachable(f"no answer to the request for a token within {PATIENCE:g} s", hint="check the network")

    return SharedToken(ask, direct.close)


async def _to_its_end(credential: AsyncSupportsTokenInfo, scope: str) -> AccessTokenInfo:
    """Cancelled, azure-identity would leave the program running that it started."""
    found: AccessTokenInfo | None = None
    with anyio.CancelScope(shield=True):
        found = await credential.get_token_info(scope)
    assert found is not None, "the shield lets no cancellation through"
    return found


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes azure-identity's credentials for one set of options."""

    auth: Auth
    cloud: Cloud
    transport: AsyncHttpTransport[Any, Any]
    direct: AsyncHttpTransport[Any, Any]

    def of(self, method: Method) -> _Make:
        return {
            Method.SECRET: self._secret,
            Method.CERTIFICATE: self._certificate,
            Method.ASSERTION: self._assertion,
            Method.OIDC: self._oidc,
            Method.AZURE_CLI: self._azure_cli,
            Method.MANAGED_IDENTITY: self._managed_identity,
        }[method]

    def _service(self) -> dict[str, Any]:
        """Options of every credential that logs in. Retries are `azure/arm.py`'s: it alone knows who waits."""
        return {"authority": self.cloud.authority, "transport": self.transport, "retry_total": 0}

    def _application(self) -> tuple[str, str]:
        """Tenant and client id. Raises UserError where they cannot be ones."""
        tenant, client = self.auth.tenant_id or "", self.auth.client_id or ""
        if not tenant or not all(letter in _OF_TENANTS for letter in tenant):
            raise UserError(f"tenant_id {tenant!r} cannot be a tenant", hint="its id, or one of its domains")
        return tenant, client

    async def _secret(self) -> AsyncSupportsTokenInfo:
        return ClientSecretCredential(*self._application(), self.auth.client_secret or "", **self._service())

    async def _certificate(self) -> AsyncSupportsTokenInfo:
        path, password = self.auth.client_cert_path or "", self.auth.client_cert_password
        try:
            return CertificateCredential(*self._application(), path, password=password or None, **self._service())
        except OSError as error:
            raise UserError(
                f"client_cert_path: cannot read {path}: {error.strerror}", hint=_CERTIFICATE_HINT
            ) from error
        except (ValueError, TypeError) as error:
            why = _unusable(error, locked=not password)
            raise UserError(f"client_cert_path: {path} {why}", hint=_CERTIFICATE_HINT) from error

    async def _assertion(self) -> AsyncSupportsTokenInfo:
        assertion = await assertion_of(self.auth.client_jwt or "")()
        return ClientAssertionCredential(*self._application(), lambda: assertion, **self._service())

    async def _oidc(self) -> AsyncSupportsTokenInfo:
        url, token = self.auth.oidc_request_url or "", self.auth.oidc_request_token or ""
        assertion = await requested_assertion(url, token, self.cloud.exchange_audience, tls_context(self.cloud))
        return ClientAssertionCredential(*self._application(), lambda: assertion, **self._service())

    async def _azure_cli(self) -> AsyncSupportsTokenInfo:
        return AzureCliCredential(subscription=self.auth.subscription_id, process_timeout=AZ_PATIENCE)

    async def _managed_identity(self) -> AsyncSupportsTokenInfo:
        options: dict[str, Any] = {"transport": self.direct, "retry_total": 0, "raw_request_hook": self._redirected}
        # Else the variables of workload identity take the place of the identity that the template names.
        options["_exclude_workload_identity_credential"] = True
        if self.auth.client_id:
            options["client_id"] = self.auth.client_id
        elif self.auth.object_id:
            options["identity_config"] = {"object_id": self.auth.object_id}
        return ManagedIdentityCredential(**options)

    def _redirected(self, request: PipelineRequest[Any]) -> None:
        """To the cloud's metadata service where it has one of its own: azure-identity knows only Azure's address, and
        AZURE_POD_IDENTITY_AUTHORITY_HOST, which speaks of another cloud then."""
        asked = request.http_request
        before, path, query = asked.url.partition("/metadata/identity")
        if self.cloud.instance_metadata != INSTANCE_METADATA and before.count("/") == 2:
            asked.url = f"{self.cloud.instance_metadata}{path}{query}"


_CERTIFICATE_HINT = (
    "a PEM or PKCS#12 file with the certificate and its RSA key; an encrypted one needs client_cert_password"
)


def _unusable(error: Exception, *, locked: bool) -> str:
    """Why a certificate's file cannot be used, without what it holds; `locked` where there is no password to open it."""
    text = str(error)
    if "RSA" in text:
        return "has no RSA key"
    if isinstance(error, TypeError):
        return f"is {'' if locked else 'not '}encrypted, and client_cert_password is {'not ' if locked else ''}given"
    if "password" in text.lower():
        return "cannot be opened with this client_cert_password"
    missing = "needs client_cert_password" if locked else "client_cert_password is wrong"
    return f"holds no certificate with its private key, or {missing}"
