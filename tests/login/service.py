"""A token service to log in to, over real HTTPS: localarm in this process, a CI's own token service, keys of all kinds."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from gilder.azure.arm import Arm, connected
from gilder.azure.cloud import Cloud
from gilder.azure.identity import credential_for
from gilder.azure.transport import transport_for
from gilder.engine.login import with_tenant
from gilder.model.spec import Auth
from localarm.app import Application
from localarm.birth import born
from localarm.blobs import BlobStore
from localarm.devices import NoDevices
from localarm.door_https import Door, tls_context
from localarm.settings import SUBSCRIPTION, TENANT, Federation, Issuer, Principal, Settings
from localarm.state import MemoryState

OTHER_TENANT = "0f0f0f0f-5b1d-4c55-9a53-0c1d6f5e2a10"
CLIENT = "11111111-3e5b-4a7c-8d9e-0f1a2b3c4d5e"
EXPIRED_CLIENT = "22222222-3e5b-4a7c-8d9e-0f1a2b3c4d5e"
"""An application whose secret and certificate have expired."""
SYSTEM = "33333333-3e5b-4a7c-8d9e-0f1a2b3c4d5e"
USER = "44444444-3e5b-4a7c-8d9e-0f1a2b3c4d5e"
SECRET = "right~secret.of-the/application+1"
PASSWORD = "pass word of the certificate"
REQUEST_TOKEN = "request-token-of-the-ci-job"
PROVIDER = "https://ci.example/oidc"
SUBJECT = "repo:octo/images:ref:refs/heads/main"
CONNECTION = "55555555-0000-4000-8000-000000000000"
EVERYTHING = ((f"/subscriptions/{SUBSCRIPTION}", "Contributor"),)


@cache
def rsa(name: str) -> RSAPrivateKey:
    """The private key of this name."""
    return generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, by the name of the key."""

    key: str
    certificate: x509.Certificate

    @property
    def registered(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def pem(self, password: str = "") -> bytes:
        lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return rsa(self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock) + self.registered.encode()

    def pkcs12(self, password: str) -> bytes:
        lock = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(b"gilder", rsa(self.key), self.certificate, None, lock)


@cache
def pair(key: str, days: int = 30) -> Pair:
    """A self-signed certificate that ends in so many days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gilder")])
    end = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, rsa(key).public_key(), x509.random_serial_number())
    return Pair(
        key, builder.not_valid_before(end - timedelta(days=60)).not_valid_after(end).sign(rsa(key), hashes.SHA256())
    )


def elliptic() -> bytes:
    """A certificate with a key that cannot sign assertions."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gilder")])
    start, end = datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, end)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def assertion(subject: str = SUBJECT, lasts: float = 600, key: str = "provider") -> str:
    """A token of the CI's identity provider."""
    now = int(time.time())
    claims = {
        "iss": PROVIDER, "sub": subject, "aud": "api://AzureADTokenExchange",
        "iat": now - 5, "nbf": now - 3600, "exp": now + int(lasts),
    }  # fmt: skip
    return jwt.encode(claims, rsa(key), algorithm="RS256")


def self_signed(authority: str, key: str = "good", lasts: float = 600, **claims: str) -> str:
    """An assertion that an application signs with its certificate, as RFC 7523 has it."""
    now = int(time.time())
    audience = f"{authority}/{TENANT}/oauth2/v2.0/token"
    found = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": audience,
        "nbf": now - 3600,
        "exp": now + int(lasts),
        "jti": "1",
        **claims,
    }
    thumbprint = base64.urlsafe_b64encode(pair(key).certificate.fingerprint(hashes.SHA1())).rstrip(b"=").decode()
    return jwt.encode(found, rsa(key), algorithm="RS256", headers={"x5t": thumbprint})


def principals(*, vm: str, system: bool = True, users: int = 1) -> tuple[Principal, ...]:
    """Applications and the identities of the VM; all may do everything."""
    federations = (Federation(PROVIDER, SUBJECT),)
    good, old = (pair("good").registered,), (pair("old", -1).registered,)
    found = [
        Principal(CLIENT, "o-1", SECRET, EVERYTHING, certificates=good, federations=federations),
        Principal(EXPIRED_CLIENT, "o-2", SECRET, EVERYTHING, secret_until=time.time() - 60, certificates=old),
    ]
    if system:
        found.append(Principal(SYSTEM, "o-3", roles=EVERYTHING, vm=vm))
    for number in range(users):
        client = USER if number == 0 else f"{number:08}-aaaa"
        found.append(Principal(client, f"o-user-{number}", roles=EVERYTHING, vm=vm, user_assigned=True))
    return tuple(found)


def settings(**options: Any) -> Settings:
    """A world with these principals and the CI's identity provider."""
    vm = Settings().host_id
    key = rsa("provider").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    who = {name: options.pop(name) for name in ("system", "users") if name in options}
    return Settings(
        principals=principals(vm=vm, **who), issuers=(Issuer(PROVIDER, key),), tenants=(OTHER_TENANT,), **options
    )


class NoImages:
    """A catalogue without images."""

    def images(self) -> tuple[Any, ...]:
        return ()

    def blob(self, image: Any, wanted: Callable[[], bool]) -> Path:
        raise KeyError(image)


@dataclass
class Ci:
    """GitHub's and Azure Pipelines' token services as far as jobs use them."""

    answer: Callable[[], str]
    asked: list[str] = field(default_factory=list)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.headers.get("Authorization") != f"Bearer {REQUEST_TOKEN}":
            return web.json_response({"message": "bad credentials"}, status=401)
        if request.path == "/github":
            good = request.method == "GET" and request.query.get("audience") == "api://AzureADTokenExchange"
            return web.json_response({"count": 1, "value": self.answer()} if good else {}, status=200 if good else 400)
        if request.method != "POST":
            return web.Response(status=405)
        good = request.query.get("serviceConnectionId") == CONNECTION and "api-version" in request.query
        if good:
            return web.json_response({"oidcToken": self.answer()})
        why = f"TF400813: no service connection '{request.query.get('serviceConnectionId')}'"
        return web.json_response({"$id": "1", "innerException": None, "message": f"{why}\r\nmore"}, status=400)


@dataclass
class Place:
    """A world that can be logged in to."""

    cloud: Cloud
    application: Application
    ci: Ci
    ci_url: str

    @property
    def vm(self) -> str:
        return str(self.application.world.settings.host_id)

    def logins(self) -> list[float]:
        """When tokens were asked for."""
        paths = ("/oauth2/v2.0/token", "/metadata/identity/oauth2/token")
        return [entry["time"] for entry in self.application.audit if entry["path"].endswith(paths)]

    def issued(self, tenant: str = "") -> str:
        """A token of the good application, as `az` would have it."""
        return self.application.tokens.issued(
            self.application.world.settings.all_principals[0], "https://management.azure.com", 3600, tenant
        )[0]

    @asynccontextmanager
    async def logged_in(self, auth: Auth) -> AsyncIterator[Arm]:
        """A connection of these options, as a run makes it."""
        auth = await with_tenant(auth, self.cloud, SUBSCRIPTION)
        transport = transport_for(self.cloud)
        async with connected(self.cloud, credential_for(auth, self.cloud, transport), transport) as arm:
            yield arm


@asynccontextmanager
async def served(folder: Path, chosen: Settings, ahead: float = 0.0) -> AsyncIterator[Place]:
    """A world behind its doors while inside; its clock is `ahead` so many seconds. Certificates for TLS stay in `folder`."""
    numbers = itertools.count(1)
    world = born(
        chosen,
        clock=lambda: time.time() + ahead,
        new_id=lambda: f"00000000-0000-4000-8000-{next(numbers):012d}",
        state=MemoryState(),
        blobs=BlobStore(folder / "blobs"),
        devices=NoDevices(),
        catalogue=NoImages(),
    )
    application = Application(world)
    door = Door(application)
    tls = tls_context(folder / "tls", ("localhost", "127.0.0.1"))
    ci = Ci(assertion)
    runner = web.ServerRunner(web.Server(ci.serve, access_log=None), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = await door.open("127.0.0.1", 0, tls)
        metadata = await door.open("127.0.0.1", 0, None)
        base = f"https://localhost:{port}"
        cloud = Cloud(
            "test",
            base,
            base,
            "https://management.azure.com",
            f"http://127.0.0.1:{metadata}",
            folder / "tls" / "ca.pem",
        )
        yield Place(cloud, application, ci, f"https://localhost:{runner.addresses[0][1]}")
    finally:
        await door.close()
        await runner.cleanup()
        world.close()
