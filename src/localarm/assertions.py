"""Client assertions (RFC 7523): signed with a registered certificate, or by an identity provider that is trusted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localarm.messages import Json
from localarm.settings import Issuer, Principal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SKEW = 300.0
"""Seconds that a client's clock may be wrong (Microsoft Entra's tolerance)."""
_ALGORITHMS = ["PS256", "RS256"]
_CERTIFICATE_HELP = "https://learn.microsoft.com/entra/identity-platform/certificate-credentials"
_FEDERATION_HELP = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"


@dataclass(frozen=True, slots=True)
class Service:
    """Who checks assertions: the addresses that may be their audience, whom it trusts, and the time."""

    audiences: tuple[str, ...]
    issuers: tuple[Issuer, ...]
    now: float


class Unproven(Exception):
    """Who asked did not prove who they are; `number` is that of the AADSTS error, `error` OAuth's word (RFC 6749 5.2)."""

    def __init__(self, number: int, text: str, *, error: str = "invalid_client") -> None:
        super().__init__(text)
        self.number = number
        self.text = text
        self.error = error
        self.status = 401 if error == "invalid_client" else 400


def check_assertion(principal: Principal, assertion: str, service: Service) -> None:
    """Check that an assertion proves that its sender is `principal`.

    Error numbers and texts: Microsoft Entra's error reference and public issues (azure-workload-identity 1200, Azure/login
    482, cli-microsoft365 1621, dotnet/sign 849).

    Raises:
        Unproven: it does not.
    """
    import jwt

    try:
        head = jwt.get_unverified_header(assertion)
        claims: Json = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Unproven(50027, "JWT token is invalid or malformed.", error="invalid_request") from error
    if claims.get("iss") == principal.client_id:
        _by_certificate(principal, assertion, head, claims, service)
    else:
        _by_provider(principal, assertion, claims, service)
    _in_time(claims, service.now)


def _by_certificate(principal: Principal, assertion: str, head: Json, claims: Json, service: Service) -> None:
    if claims.get("sub") != principal.client_id:
        raise Unproven(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
    sha256, sha1 = (_unpadded(head.get(name, "")) for name in ("x5t#S256", "x5t"))
    found = None
    for each in map(_certificate, principal.certificates):
        if sha256 in _thumbprints(each) or (not sha256 and sha1 in _thumbprints(each)):
            found = each
    if found is None:
        raise Unproven(
            700027,
            "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - "
            f"The key was not found., Thumbprint of key used by client: '{sha256 or sha1}', Please visit the Azure Portal, "
            "Graph Explorer or directly use MS Graph to see configured keys for app Id "
            f"'{principal.client_id}'. Review the documentation at {_CERTIFICATE_HELP}].",
        )
    if not _signed(assertion, found.public_key()):
        raise Unproven(700027, "Client assertion failed signature validation.")
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    if not start.timestamp() <= service.now <= end.timestamp():
        raise Unproven(
            700027,
            "Client assertion contains an invalid signature. [Reason - The key used is expired., Thumbprint of key used by "
            f"client: '{sha256 or sha1}', Found key 'Start={_american(start)}, End={_american(end)}'].",
        )
    if claims.get("aud") not in service.audiences:
        raise Unproven(700023, "Client assertion audience claim does not match Realm issuer.")


def _by_provider(principal: Principal, assertion: str, claims: Json, service: Service) -> None:
    issuer, subject, audience = (str(claims.get(name, "")) for name in ("iss", "sub", "aud"))
    advice = (
        "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. "
        f"{_FEDERATION_HELP}"
    )
    none = "No matching federated identity record found for presented assertion"
    trusted = [each for each in principal.federations if each.issuer == issuer]
    if not trusted:
        raise Unproven(700211, f"{none} issuer '{issuer}'. {advice}")
    trusted = [each for each in trusted if each.subject == subject]
    if not trusted:
        raise Unproven(700213, f"{none} subject '{subject}'. {advice}")
    if audience not in (each.audience for each in trusted):
        raise Unproven(700212, f"{none} audience '{audience}'. {advice}")
    keys = [each.public_key for each in service.issuers if each.url == issuer]
    if not any(_signed(assertion, key) for key in keys):
        raise Unproven(50013, "Assertion failed signature validation. [Reason - The key was not found.]")


def _signed(assertion: str, key: Any) -> bool:
    import jwt

    # What else the claims say is checked by the world's clock and with Azure's words.
    unchecked = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        jwt.decode(assertion, key, algorithms=_ALGORITHMS, options=unchecked)  # type: ignore[arg-type] # same names
    except jwt.InvalidSignatureError:
        return False
    except jwt.PyJWTError as error:
        raise Unproven(50027, "JWT token is invalid or malformed.", error="invalid_request") from error
    return True


def _in_time(claims: Json, now: float) -> None:
    start, end = float(claims.get("nbf", 0)), float(claims.get("exp", 0))
    if not start - SKEW <= now <= end + SKEW:
        raise Unproven(
            700024,
            f"Client assertion is not within its valid time range. Current time: {_precise(now)}, assertion valid from "
            f"{_precise(start)}, expiry time of assertion {_precise(end)}. Review the documentation at {_CERTIFICATE_HELP} .",
        )


def _certificate(pem: str) -> Certificate:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode())


def _thumbprints(certificate: Certificate) -> tuple[str, str]:
    """As `x5t#S256` and `x5t` have them (RFC 7515)."""
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding

    der = certificate.public_bytes(Encoding.DER)
    digests = (hashlib.sha256(der).digest(), hashlib.sha1(der, usedforsecurity=False).digest())
    sha256, sha1 = (_unpadded(base64.urlsafe_b64encode(digest).decode()) for digest in digests)
    return sha256, sha1


def _unpadded(text: str) -> str:
    return text.rstrip("=")


def _american(moment: datetime) -> str:
    return f"{moment.month}/{moment.day}/{moment.year} {moment.strftime('%I:%M:%S %p').lstrip('0')}"


def _precise(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.0000000Z"
