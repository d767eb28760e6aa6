"""Every way to log in, right and wrong, against a token service that verifies; over real HTTPS."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.login.service import (
    CLIENT,
    CONNECTION,
    EXPIRED_CLIENT,
    OTHER_TENANT,
    PASSWORD,
    REQUEST_TOKEN,
    SECRET,
    USER,
    Place,
    assertion,
    self_signed,
    served,
    settings,
)

from gilder.azure.standing import caller
from gilder.engine.checkup import checked as examined
from gilder.model.errors import GilderError
from gilder.model.findings import Finding, Verdict, good
from gilder.model.spec import Auth
from localarm.settings import SUBSCRIPTION, TENANT

SECRETS = (SECRET, PASSWORD, REQUEST_TOKEN, "wrong-secret", "wrong password", "wrong-request-token")


Cell = tuple[dict[str, Any], str]
"""Options (FOLDER, CI and ASSERTION stand for what is known later), and words of the refusal ("" when it works)."""

CERTIFICATE_MISSING = "client_cert_path: cannot read"
METHODS: dict[str, dict[str, Cell]] = {
    "secret": {
        "right": ({"client_secret": SECRET}, ""),
        "wrong": ({"client_secret": "wrong-secret"}, "the client secret is wrong"),
        "expired": ({"client_secret": SECRET, "client_id": EXPIRED_CLIENT}, "the client secret has expired"),
        "missing": ({"client_secret": ""}, "client_secret is empty, and client_id is given"),
    },
    "certificate in PEM": {
        "right": ({"client_cert_path": "FOLDER/good.pem"}, ""),
        "wrong": ({"client_cert_path": "FOLDER/other.pem"}, "other.pem is not registered with the application"),
        "expired": ({"client_cert_path": "FOLDER/old.pem", "client_id": EXPIRED_CLIENT}, "old.pem has expired"),
        "missing": ({"client_cert_path": "FOLDER/none.pem"}, f"{CERTIFICATE_MISSING} FOLDER/none.pem: No such file"),
    },
    "locked certificate in PEM": {
        "right": ({"client_cert_path": "FOLDER/locked.pem", "client_cert_password": PASSWORD}, ""),
        "wrong": (
            {"client_cert_path": "FOLDER/locked.pem", "client_cert_password": "wrong password"},
            "cannot be opened with this client_cert_password",
        ),
        "expired": ({"client_cert_path": "FOLDER/old.pem", "client_id": EXPIRED_CLIENT}, "old.pem has expired"),
        "missing": (
            {"client_cert_path": "FOLDER/locked.pem"},
            "locked.pem is encrypted, and client_cert_password is not given",
        ),
        "needless": (
            {"client_cert_path": "FOLDER/good.pem", "client_cert_password": PASSWORD},
            "good.pem is not encrypted, and client_cert_password is given",
        ),
    },
    "certificate in PKCS#12": {
        "right": ({"client_cert_path": "FOLDER/good.p12", "client_cert_password": PASSWORD}, ""),
        "wrong": (
            {"client_cert_path": "FOLDER/good.p12", "client_cert_password": "wrong password"},
            "password is wrong",
        ),
        "expired": (
            {"client_cert_path": "FOLDER/old.p12", "client_cert_password": PASSWORD, "client_id": EXPIRED_CLIENT},
            "old.p12 has expired",
        ),
        "missing": ({"client_cert_path": "FOLDER"}, f"{CERTIFICATE_MISSING} FOLDER: Is a directory"),
        "without its password": ({"client_cert_path": "FOLDER/good.p12"}, "private key, or needs client_cert_password"),
    },
    "broken certificate": {
        "wrong": ({"client_cert_path": "FOLDER/mixed.pem"}, "has another key than the one that signed"),
        "of another kind": ({"client_cert_path": "FOLDER/elliptic.pem"}, "elliptic.pem has no RSA key"),
        "missing": ({"client_cert_path": "FOLDER/keyless.pem"}, "holds no certificate with its private key"),
    },
    "assertion": {
        "right": ({"client_jwt": "ASSERTION"}, ""),
        "wrong": ({"client_jwt": "STRANGER"}, "Assertion failed signature validation"),
        "expired": ({"client_jwt": "STALE"}, "the assertion is not valid now"),
        "missing": ({"client_jwt": ""}, "client_jwt is empty, and client_id is given"),
    },
    "assertion signed with a certificate": {
        "right": ({"client_jwt": "SIGNED"}, ""),
        "wrong": ({"client_jwt": "SIGNED key=other"}, "the assertion's certificate is not registered"),
        "expired": ({"client_jwt": "SIGNED lasts=-900"}, "the assertion is not valid now"),
        "for another tenant": (
            {"client_jwt": "SIGNED aud=https://login/other"},
            "the assertion is for another audience",
        ),
        "of another application": ({"client_jwt": "SIGNED sub=other"}, "the assertion is not that of the application"),
    },
    "assertion in a file": {
        "right": ({"client_jwt": "FOLDER/right.jwt"}, ""),
        "wrong": (
            {"client_jwt": "FOLDER/theirs.jwt"},
            "no federated credential fits: No matching federated identity record",
        ),
        "expired": ({"client_jwt": "FOLDER/stale.jwt"}, "the assertion is not valid now"),
        "missing": ({"client_jwt": "FOLDER/none.jwt"}, "gilder cannot read FOLDER/none.jwt: No such file"),
        "garbage": ({"client_jwt": "FOLDER/garbage.jwt"}, "client_jwt names a file that holds no JWT"),
    },
    "GitHub Actions": {
        "right": ({"oidc_request_url": "CI/github", "oidc_request_token": REQUEST_TOKEN}, ""),
        "wrong": (
            {"oidc_request_url": "CI/github", "oidc_request_token": "wrong-request-token"},
            "oidc_request_token is wrong or has expired",
        ),
        "expired": (
            {"oidc_request_url": "CI/github", "oidc_request_token": REQUEST_TOKEN},
            "the CI gave it just now: its clock or this machine's is wrong",
        ),
        "with a line break after it": (
            {"oidc_request_url": "CI/github", "oidc_request_token": f"{REQUEST_TOKEN}\n"},
            "",
        ),
        "with one inside": (
            {"oidc_request_url": "CI/github", "oidc_request_token": "wrong-request\ntoken"},
            "oidc_request_token holds what no token holds",
        ),
        "missing": ({"oidc_request_url": "CI/github"}, "oidc_request_url needs oidc_request_token"),
        "no URL": ({"oidc_request_url": "github", "oidc_request_token": REQUEST_TOKEN}, "oidc_request_url is no URL"),
        "half a URL": (
            {"oidc_request_url": "https://[x", "oidc_request_token": "t"},
            "oidc_request_url is no URL: Inv",
        ),
        "a port too high": ({"oidc_request_url": "https://h:99999/", "oidc_request_token": "t"}, "is no URL: Port out"),
    },
    "Azure Pipelines": {
        "right": (
            {
                "oidc_request_url": f"CI/jobs/1/oidctoken?serviceConnectionId={CONNECTION}",
                "oidc_request_token": REQUEST_TOKEN,
            },
            "",
        ),
        "wrong": (
            {"oidc_request_url": "CI/jobs/1/oidctoken?serviceConnectionId=other", "oidc_request_token": REQUEST_TOKEN},
            "gives the CI job no token (HTTP 400): TF400813: no service connection 'other'",
        ),
        "expired": (
            {
                "oidc_request_url": f"CI/jobs/1/oidctoken?serviceConnectionId={CONNECTION}",
                "oidc_request_token": REQUEST_TOKEN,
            },
            "the assertion is not valid now",
        ),
        "missing": (
            {"oidc_request_url": "CI/jobs/1/oidctoken", "oidc_request_token": REQUEST_TOKEN},
            "no token without the id of the service connection",
        ),
    },
    "user-assigned identity": {
        "right": ({"client_id": USER}, ""),
        "by object id": ({"client_id": None, "object_id": "o-user-0"}, ""),
        "wrong": ({}, f"this VM has no managed identity {CLIENT}"),
    },
    "managed identity": {"right": ({"client_id": None}, "")},
}
CELLS = [(method, case) for method, cases in METHODS.items() for case in cases]


def filled(options: dict[str, Any], place: Place, keys: Path) -> Auth:
    def known(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value in ("ASSERTION", "STALE", "STRANGER"):
            return assertion(
                lasts=-900 if value == "STALE" else 600, key="other" if value == "STRANGER" else "provider"
            )
        if value.startswith("SIGNED"):
            changes: dict[str, Any] = dict(word.split("=") for word in value.split()[1:])
            changes |= {"lasts": float(changes["lasts"])} if "lasts" in changes else {}
            return self_signed(place.cloud.authority, **changes)
        return value.replace("FOLDER", str(keys)).replace("CI/", f"{place.ci_url}/")

    return Auth(**{name: known(value) for name, value in ({"client_id": CLIENT} | options).items()})


async def refusal(place: Place, auth: Auth) -> str:
    """What is told when these options are used; "" when Azure answers."""
    try:
        async with place.logged_in(auth) as arm:
            await arm.read("reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
    except GilderError as error:
        return checked(error, auth.client_jwt or "")
    return ""


def checked(error: GilderError, assertion: str = "") -> str:
    """What is told: it says what to do, and holds no credential."""
    told = f"{error.message}\n{error.hint or ''}"
    assert error.hint, told
    for secret in (*SECRETS, *[assertion] * assertion.startswith("eyJ")):
        assert secret not in told
    return told


@pytest.mark.parametrize(("method", "case"), CELLS, ids=[f"{method}-{case}" for method, case in CELLS])
async def test_each_method_works_or_says_what_is_wrong(method: str, case: str, keys: Path) -> None:
    options, words = METHODS[method][case]
    async with served(keys, settings()) as place:
        if case == "expired":
            place.ci.answer = lambda: assertion(lasts=-900)
        told = await refusal(place, filled(options, place, keys))
        assert words.replace("FOLDER", str(keys)) in told
        assert bool(told) == bool(words), told


@pytest.mark.parametrize(
    ("cloud", "url", "audience"),
    [
        ("Public", "", "api://AzureADTokenExchange"),
        ("AzureChinaCloud", "", "api://AzureADTokenExchangeChina"),
        ("USGovernment", "", "api://AzureADTokenExchangeUSGov"),
        ("USSec", "", "api://AzureADTokenExchange"),
        ("USGovernment", "?audience=mine", "mine"),
    ],
)
async def test_a_job_asks_for_a_token_that_its_cloud_takes(keys: Path, cloud: str, url: str, audience: str) -> None:
    async with served(keys, settings()) as place:
        place.cloud = replace(place.cloud, name=cloud)
        options = {"oidc_request_url": f"CI/github{url}", "oidc_request_token": REQUEST_TOKEN}
        await refusal(place, filled(options, place, keys))
    assert parse_qs(urlsplit(place.ci.asked[0]).query)["audience"] == [audience]


async def test_another_clouds_metadata_service_is_not_asked(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    async with served(keys, settings()) as place:
        assert await refusal(place, filled({"client_id": None}, place, keys)) == ""


async def test_refusals_are_told_apart(keys: Path) -> None:
    seen: dict[str, str] = {}
    async with served(keys, settings()) as place:
        for method in ("secret", "certificate in PEM", "assertion in a file"):
            for case in ("wrong", "expired", "missing"):
                told = await refusal(place, filled(METHODS[method][case][0], place, keys))
                assert told not in seen, f"{method} {case} is told as {seen.get(told)}"
                seen[told] = f"{method} {case}"


@dataclass(frozen=True)
class Trouble:
    """Something wrong around a login that is right, and words of what is told."""

    auth: dict[str, Any]
    words: str
    world: dict[str, Any]


NO_SUCH = "99999999-0000-4000-8000-000000000000"
RIGHT = {"client_id": CLIENT, "client_secret": SECRET}
TROUBLES = {
    "unknown application": Trouble({**RIGHT, "client_id": "nobody"}, f"nobody is not known in tenant {TENANT}", {}),
    "unknown tenant": Trouble({**RIGHT, "tenant_id": "no.such"}, "there is no tenant no.such", {}),
    "impossible tenant": Trouble({**RIGHT, "tenant_id": "a b"}, "'a b' cannot be a tenant", {}),
    "tenant in other letters": Trouble({**RIGHT, "tenant_id": "тест"}, "'тест' cannot be a tenant", {}),
    "other tenant": Trouble({**RIGHT, "tenant_id": OTHER_TENANT}, f"tenant_id must be {TENANT}", {}),
    "unknown subscription": Trouble({**RIGHT, "subscription_id": NO_SUCH}, f"there is no subscription {NO_SUCH}", {}),
    "no subscription": Trouble({**RIGHT, "subscription_id": "images"}, "'images' cannot be a subscription", {}),
    "ended token": Trouble({}, "The access token expiry UTC time", {"token_lifetime": -60}),
    "no identity": Trouble({}, "this VM has no managed identity", {"system": False, "users": 0}),
    "several identities": Trouble({}, "this VM has several user-assigned identities", {"system": False, "users": 2}),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_troubles_around_a_login_are_named(name: str, keys: Path) -> None:
    trouble = TROUBLES[name]
    async with served(keys, settings(**trouble.world)) as place:
        assert trouble.words in await refusal(place, Auth(**trouble.auth))


async def test_a_clock_that_is_wrong_is_named(keys: Path) -> None:
    auth = Auth(client_id=CLIENT, client_cert_path=str(keys / "good.pem"))
    async with served(keys, settings(), ahead=7200) as place:
        told = await refusal(place, auth)
    assert "this machine's clock is 7" in told
    assert "s behind Azure's" in told


async def test_a_metadata_service_that_does_not_answer_is_named(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gilder.azure.arm.PATIENCE", 0.0)
    async with served(keys, settings()) as place:
        place.cloud = replace(place.cloud, instance_metadata="http://127.0.0.1:9")
        told = await refusal(place, Auth())
    assert "not on an Azure VM?" in told
    assert "--cloud local" in told


@pytest.mark.parametrize(
    ("metadata", "authority", "advice"),
    [
        ("http://127.0.0.1:9", "", "not on an Azure VM?"),
        ("", "https://no-such-host.invalid", "check the network, the proxy"),
    ],
)
async def test_a_doctor_tells_why_it_got_no_token_in_time(
    keys: Path, metadata: str, authority: str, advice: str
) -> None:
    async with served(keys, settings()) as place:
        place.cloud = replace(
            place.cloud,
            instance_metadata=metadata or place.cloud.instance_metadata,
            authority=authority or place.cloud.authority,
        )
        async with place.logged_in(Auth.model_validate(RIGHT if authority else {})) as arm:

            async def identity() -> Finding:
                await caller(arm, time.time)
                return good("token", "")

            found = await examined("token", identity, within=2.0, arm=arm)
    assert found.verdict is Verdict.BAD
    assert "no answer within 2 s that helps: no answer to the request for a token: " in found.text
    assert advice in found.remedy
