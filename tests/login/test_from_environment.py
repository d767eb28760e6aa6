"""Variables as CI systems and clusters set them, down to a request that Azure answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.login.service import (
    CLIENT,
    CONNECTION,
    OTHER_TENANT,
    PASSWORD,
    REQUEST_TOKEN,
    SECRET,
    SYSTEM,
    USER,
    assertion,
    pair,
    served,
    settings,
)

from gilder.api import build
from gilder.azure.metadata import Machine
from gilder.azure.standing import caller
from gilder.cli.connection import Login
from gilder.cli.embedded import EmbeddedCloud, Lease
from gilder.engine import site_on
from gilder.engine.login import login_secrets, settled, shared_auth
from gilder.model.errors import Denied, UserError
from gilder.model.ids import ArmId
from gilder.model.spec import Auth, BuildSpec
from gilder.runtime.redaction import Redactor
from gilder.template.secrecy import written_secrets
from localarm.settings import SUBSCRIPTION, TENANT

VARIABLES: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, SYSTEM),
    "Terraform's secret": (
        {"ARM_CLIENT_ID": CLIENT, "ARM_CLIENT_SECRET": SECRET, "ARM_SUBSCRIPTION_ID": SUBSCRIPTION},
        CLIENT,
    ),
    "Terraform's certificate": (
        {
            "ARM_CLIENT_ID": CLIENT,
            "ARM_CLIENT_CERTIFICATE_PATH": "FOLDER/good.p12",
            "ARM_CLIENT_CERTIFICATE_PASSWORD": PASSWORD,
        },
        CLIENT,
    ),
    "Terraform's identity": ({"ARM_CLIENT_ID": USER, "ARM_USE_MSI": "true"}, USER),
    "GitHub Actions": (
        {
            "ARM_CLIENT_ID": CLIENT,
            "ARM_USE_OIDC": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": "CI/github?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        },
        CLIENT,
    ),
    "Azure Pipelines": (
        {
            "ARM_CLIENT_ID": CLIENT,
            "ARM_USE_OIDC": "true",
            "SYSTEM_OIDCREQUESTURI": "CI/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken",
            "SYSTEM_ACCESSTOKEN": REQUEST_TOKEN,
            "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID": CONNECTION,
        },
        CLIENT,
    ),
    "a cluster's workload identity": (
        {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "FOLDER/right.jwt"},
        CLIENT,
    ),
    "Azure's SDKs' certificate": (
        {"AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_CERTIFICATE_PATH": "FOLDER/good.pem"},
        CLIENT,
    ),
    "Azure's SDKs' identity": ({"AZURE_CLIENT_ID": USER}, USER),
}


@pytest.mark.parametrize("name", VARIABLES)
async def test_variables_are_all_that_it_takes(name: str, keys: Path) -> None:
    variables, who = VARIABLES[name]
    async with served(keys, settings()) as place:
        known = {"FOLDER": str(keys), "CI/": f"{place.ci_url}/"}
        environment = {
            variable: next((value.replace(word, known[word]) for word in known if word in value), value)
            for variable, value in variables.items()
        }
        async with place.logged_in(await settled(Auth(), environment, print)) as arm:
            await arm.read("reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
            assert (await caller(arm, lambda: 0.0)).application == who


async def test_variables_of_a_cluster_do_not_replace_a_templates_identity(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in VARIABLES["a cluster's workload identity"][0].items():
        monkeypatch.setenv(variable, value.replace("FOLDER", str(keys)))
    monkeypatch.setenv("AZURE_TENANT_ID", OTHER_TENANT)
    async with served(keys, settings()) as place, place.logged_in(Auth(client_id=USER)) as arm:
        assert (await caller(arm, lambda: 0.0)).application == USER


async def test_a_file_is_read_again_for_each_token(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(assertion())
    async with served(keys, settings()) as place, place.logged_in(Auth(client_id=CLIENT, client_jwt=str(file))) as arm:
        await arm.read("reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
        file.write_text(assertion(lasts=-900))
        place.application.tokens.revoke()
        with pytest.raises(Denied, match="the assertion is not valid now"):
            await arm.read("reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")


def test_what_the_files_of_a_login_hold_is_hidden(keys: Path) -> None:
    auth = Auth(client_id=CLIENT, client_cert_path=str(keys / "good.pem"), client_jwt=str(keys / "right.jwt"))
    redactor, short = Redactor.of(login_secrets(auth))
    assert short == ()
    key, certificate = pair("good").pem().decode().split("-----BEGIN CERTIFICATE-----")
    shown = redactor.text(f"{key}\n{certificate}\n{(keys / 'right.jwt').read_text()}\n{auth.client_jwt}")
    assert not [line for line in key.splitlines() if len(line) == 64 and line in shown]
    assert (keys / "right.jwt").read_text().strip() not in shown
    assert certificate.splitlines()[2] in shown, "certificates are public"
    assert str(auth.client_jwt) in shown, "paths are no secrets"
    assert Auth(client_id=CLIENT, client_jwt="eyJ.a.b").secrets == {"client_jwt": "eyJ.a.b"}


PATHS = ("/run/token", "./token", "../keys/token", "keys/ci.jwt", "ci.jwt", "keys.d/of-ci/token", "github.token")
TOKENS = (
    assertion(),
    "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    "eyJ0eXAi/half",
    "sv~q.Secret_Value-1",
    "secret words",
    "eyJ.jwt",
)


@pytest.mark.parametrize("value", [*PATHS, *TOKENS])
def test_the_path_of_an_assertion_is_shown_and_an_assertion_is_not(value: str) -> None:
    shown = value in PATHS
    assert ("client_jwt" in Auth(client_id=CLIENT, client_jwt=value).secrets) != shown
    assert written_secrets(json.dumps({"client_jwt": value})) == ([] if shown else [value])


@pytest.mark.parametrize(("client", "counts"), [("known", True), ("stranger", False), ("", False)])
async def test_the_embedded_cloud_is_not_asked_for_a_real_application(
    client: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has variables for the real Azure may still try the embedded one."""
    monkeypatch.setenv("ARM_CLIENT_ID", client)
    monkeypatch.setenv("ARM_CLIENT_SECRET", SECRET)
    said: list[str] = []
    with subprocess.Popen(["true"], text=True) as process:
        lease = Lease(process, found=EmbeddedCloud("http://m", "h", Path("ca.pem"), ("known",)))
        assert (await Login(lease, said.append).settled(Auth())).client_id == (client if counts else None)
        if client:
            assert (await Login(None, said.append).settled(Auth())).client_id == client
        with pytest.raises(UserError, match="client_secret needs client_id"):  # the template's own mistakes stay
            await Login(lease, said.append).settled(Auth(client_secret="s"))
    assert len(said) == (0 if counts else 1)


async def test_a_login_is_settled_again_only_where_the_vm_makes_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_ID", "stranger")
    said: list[str] = []
    with subprocess.Popen(["true"], text=True) as process:
        lease = Lease(process, found=EmbeddedCloud("http://m", "h", Path("ca.pem"), ("known",)))
        login = Login(lease, said.append)
        before = await login.settled(Auth(subscription_id="placeholder"))
        assert await login.settled(Auth(subscription_id="placeholder")) == before
        assert len(said) == 1
        assert (await login.settled(Auth(subscription_id="real"))).subscription_id == "real"


async def test_builders_that_log_in_in_different_ways_are_refused_in_python_too(tmp_path: Path) -> None:
    alike = {"type": "azure-chroot", "source": "a:b:c:latest", "skip_create_image": True}
    builders = [{"name": name, "client_id": name, **alike} for name in ("one", "two")]
    (tmp_path / "template.json").write_text(json.dumps({"builders": builders}))
    with pytest.raises(UserError, match="authenticate in different ways"):
        await build(tmp_path / "template.json")


async def test_the_subscription_that_the_environment_names_is_that_of_galleries(keys: Path) -> None:
    variables = {"ARM_CLIENT_ID": CLIENT, "ARM_CLIENT_SECRET": SECRET, "ARM_SUBSCRIPTION_ID": SUBSCRIPTION}
    elsewhere = ArmId("99999999-0000-4000-8000-000000000000", "g", "Microsoft.Compute", ("virtualMachines",), ("vm",))
    async with served(keys, settings()) as place:
        auth = await settled(Auth(), variables, print)
        async with site_on(place.cloud, auth, Machine(elsewhere, "westeurope", "", ""), "run", print) as site:
            assert site.gallery_subscription(BuildSpec(name="b", from_scratch=True)) == SUBSCRIPTION


async def test_az_from_the_environment_is_not_asked_for_the_embedded_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is a real one."""
    (tmp_path / "az").write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 1\n")
    (tmp_path / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("ARM_USE_CLI", "true")
    said: list[str] = []
    with subprocess.Popen(["true"], text=True) as process:
        lease = Lease(process, found=EmbeddedCloud("http://m", "h", Path("ca.pem"), ("known",)))
        assert await Login(lease, said.append).settled(Auth()) == Auth()
    assert "a token of az is for Azure" in said[0]
    assert not (tmp_path / "asked").exists()


def test_builds_with_subscriptions_of_their_own_share_a_login() -> None:
    """The one of another build must not become the default of a gallery that names none."""
    one = BuildSpec(name="a", from_scratch=True, auth=Auth(client_id="c", client_secret="s", subscription_id="x"))
    other = BuildSpec(name="b", from_scratch=True, auth=Auth(client_id="c", client_secret="s"))
    assert shared_auth([one, one]) == one.auth
    shared = shared_auth([one, other])
    assert shared == other.auth
    assert "subscription_id" not in shared.model_fields_set
