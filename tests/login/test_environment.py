"""Where options come from: the template, ARM_*, AZURE_*; an identity comes whole from one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilder.azure.methods import Method, method_of, with_environment
from gilder.model.errors import UserError
from gilder.model.spec import Auth

ARM = {"ARM_CLIENT_ID": "arm", "ARM_CLIENT_SECRET": "arm's", "ARM_TENANT_ID": "arm-t", "ARM_SUBSCRIPTION_ID": "arm-s"}
AZURE = {
    "AZURE_CLIENT_ID": "az",
    "AZURE_CLIENT_SECRET": "az's",
    "AZURE_TENANT_ID": "az-t",
    "AZURE_SUBSCRIPTION_ID": "az-s",
}
JOB = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://ci/?a=b", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "ci's"}
PIPELINE = {
    "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/o/oidctoken", "SYSTEM_ACCESSTOKEN": "ci's",
    "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID": "c",
}  # fmt: skip
OIDC = {"ARM_CLIENT_ID": "arm", "ARM_USE_OIDC": "true"}

ROWS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, object], Method]] = {
    "nothing": ({}, {}, {}, Method.MANAGED_IDENTITY),
    "template before environment": (
        {"client_id": "t", "client_secret": "t's"},
        ARM | AZURE,
        {"client_id": "t", "client_secret": "t's", "tenant_id": None, "subscription_id": None},
        Method.SECRET,
    ),
    "client id of the template alone": (
        {"client_id": "t"},
        ARM,
        {"client_id": "t", "client_secret": None, "tenant_id": None},
        Method.MANAGED_IDENTITY,
    ),
    "ARM before AZURE": (
        {},
        ARM | AZURE,
        {"client_id": "arm", "client_secret": "arm's", "tenant_id": "arm-t", "subscription_id": "arm-s"},
        Method.SECRET,
    ),
    "AZURE alone": ({}, AZURE, {"client_id": "az", "tenant_id": "az-t", "subscription_id": "az-s"}, Method.SECRET),
    "subscription of the template": (
        {"subscription_id": "t"},
        ARM,
        {"client_id": "arm", "subscription_id": "t"},
        Method.SECRET,
    ),
    "no identity in ARM": (
        {},
        {"ARM_SUBSCRIPTION_ID": "x"} | AZURE,
        {"client_id": "az", "subscription_id": "az-s"},
        Method.SECRET,
    ),
    "never mixed": (
        {},
        {"ARM_CLIENT_ID": "arm"} | AZURE,
        {"client_id": "arm", "client_secret": None},
        Method.MANAGED_IDENTITY,
    ),
    "identity on purpose": (
        {},
        ARM | {"ARM_USE_MSI": "true"},
        {"client_id": "arm", "client_secret": None},
        Method.MANAGED_IDENTITY,
    ),
    "identity of the VM on purpose": (
        {},
        {"ARM_USE_MSI": "true", "ARM_SUBSCRIPTION_ID": "arm-s"} | AZURE,
        {"client_id": None, "client_secret": None, "tenant_id": None, "subscription_id": "arm-s"},
        Method.MANAGED_IDENTITY,
    ),
    "certificate": (
        {},
        {"ARM_CLIENT_ID": "a", "ARM_CLIENT_CERTIFICATE_PATH": "/c", "ARM_CLIENT_CERTIFICATE_PASSWORD": "p"},
        {"client_cert_path": "/c", "client_cert_password": "p"},
        Method.CERTIFICATE,
    ),
    "certificate for Azure's SDKs": (
        {},
        {"AZURE_CLIENT_ID": "a", "AZURE_CLIENT_CERTIFICATE_PATH": "/c"},
        {"client_cert_path": "/c"},
        Method.CERTIFICATE,
    ),
    "workload identity": (
        {},
        {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token"},
        {"client_jwt": "/var/run/token", "tenant_id": "t"},
        Method.ASSERTION,
    ),
    "GitHub Actions": (
        {},
        OIDC | JOB,
        {"oidc_request_url": "https://ci/?a=b", "oidc_request_token": "ci's"},
        Method.OIDC,
    ),
    "GitHub Actions unasked": ({}, {"ARM_CLIENT_ID": "arm"} | JOB, {"oidc_request_url": None}, Method.MANAGED_IDENTITY),
    "Azure Pipelines": (
        {},
        OIDC | PIPELINE,
        {"oidc_request_url": "https://dev.azure.com/o/oidctoken?serviceConnectionId=c"},
        Method.OIDC,
    ),
    "token in a variable": (
        {},
        {"ARM_CLIENT_ID": "a", "ARM_OIDC_TOKEN": "eyJ"},
        {"client_jwt": "eyJ"},
        Method.ASSERTION,
    ),
    "token in a file, beside an empty variable": (
        {},
        {"ARM_CLIENT_ID": "a", "ARM_OIDC_TOKEN": "", "ARM_OIDC_TOKEN_FILE_PATH": "/token"},
        {"client_jwt": "/token"},
        Method.ASSERTION,
    ),
    "a secret, though tokens of the job are asked for": (
        {},
        OIDC | {"ARM_CLIENT_SECRET": "arm's"},
        {"client_secret": "arm's", "oidc_request_url": None},
        Method.SECRET,
    ),
    "az": ({}, {"ARM_USE_CLI": "true"} | ARM, {"use_azure_cli_auth": True, "client_id": None}, Method.AZURE_CLI),
    "cloud": (
        {},
        {"ARM_ENVIRONMENT": "usgovernment"},
        {"cloud_environment_name": "usgovernment"},
        Method.MANAGED_IDENTITY,
    ),
    "cloud of the template": (
        {"cloud_environment_name": "China"},
        {"ARM_ENVIRONMENT": "usgovernment", "ARM_METADATA_HOSTNAME": "h"},
        {"cloud_environment_name": "China", "metadata_host": None},
        Method.MANAGED_IDENTITY,
    ),
    "described cloud with a name of its own": (
        {"cloud_environment_name": "USSec"},
        {"ARM_METADATA_HOST": "h"},
        {"cloud_environment_name": "USSec", "metadata_host": "h"},
        Method.MANAGED_IDENTITY,
    ),
    "named in the environment": (
        {},
        {"ARM_ENVIRONMENT": "USSec", "ARM_METADATA_HOSTNAME": "h"},
        {"cloud_environment_name": "USSec", "metadata_host": "h"},
        Method.MANAGED_IDENTITY,
    ),
    "described cloud": ({}, {"ARM_METADATA_HOSTNAME": "h"}, {"metadata_host": "h"}, Method.MANAGED_IDENTITY),
    "all empty, as of unset variables": (
        {"client_id": "", "client_secret": "", "subscription_id": ""},
        {},
        {"subscription_id": None},
        Method.MANAGED_IDENTITY,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_the_precedence(row: str) -> None:
    given_options, environment, expected, method = ROWS[row]
    found = with_environment(Auth.model_validate(given_options), environment)
    assert {name: getattr(found, name) for name in expected} == expected
    assert method_of(found) is method


ID: dict[str, object] = {"client_id": "t"}
HALF: dict[str, tuple[dict[str, object], dict[str, str], str]] = {
    "a secret that CI did not give": ({}, {"ARM_CLIENT_ID": "arm", "ARM_CLIENT_SECRET": ""}, "client_secret is empty"),
    "a token that CI did not give": ({}, {"ARM_CLIENT_ID": "arm", "ARM_OIDC_TOKEN": ""}, "client_jwt is empty"),
    "a job without id-token: write": ({}, OIDC | AZURE, "oidc_request_url is empty, and client_id is given"),
    "tokens of the job for nobody": ({}, {"ARM_USE_OIDC": "1"} | JOB | AZURE, "ARM_CLIENT_ID is not set"),
    "half of the job's variables": ({}, {"ARM_CLIENT_ID": "a", "ARM_OIDC_REQUEST_TOKEN": "t"}, "needs oidc_request_url"),
    "a secret of nobody": ({}, {"ARM_CLIENT_SECRET": "s", "ARM_CLIENT_ID": ""} | AZURE, "client_secret needs client_id"),
    "a certificate of nobody": ({}, {"ARM_CLIENT_CERTIFICATE_PATH": "/c"}, "client_cert_path needs client_id"),
    "the SDKs' secret of nobody": ({}, {"AZURE_CLIENT_SECRET": "s"}, "client_secret needs client_id"),
    "a password for no certificate": (
        {},
        {"ARM_CLIENT_ID": "a", "ARM_CLIENT_CERTIFICATE_PASSWORD": "p"},
        "client_cert_password needs client_cert_path",
    ),
    "the same in a template": (ID | {"client_cert_password": "p"}, ARM, "client_cert_password needs client_cert_path"),
    "a request token alone": ({"oidc_request_token": "t"}, ARM, "oidc_request_token needs oidc_request_url"),
    "a request token in a template": (ID | {"oidc_request_token": "t"}, {}, "oidc_request_token needs oidc_request_url"),
}  # fmt: skip


@pytest.mark.parametrize("name", HALF)
def test_half_a_proof_is_no_other_method(name: str) -> None:
    options, environment, words = HALF[name]
    with pytest.raises(UserError, match=words) as caught:
        method_of(with_environment(Auth.model_validate(options), environment))
    assert caught.value.hint


SOME = st.sampled_from(["", "1", "2"])


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*ARM, *AZURE), SOME)),
    st.fixed_dictionaries({}, optional={"client_id": SOME, "client_secret": SOME, "tenant_id": SOME}),
)
def test_an_identity_is_never_made_of_two(numbers: dict[str, str], options: dict[str, str]) -> None:
    environment = {name: value and f"{name.partition('_')[0]}{value}" for name, value in numbers.items()}
    auth = Auth.model_validate({name: value and f"T{value}" for name, value in options.items()})
    found = with_environment(auth, environment)
    if found.client_id and found.client_secret:
        assert found.client_id.rstrip("12") == found.client_secret.rstrip("12")
    assert with_environment(found, environment) == found
