"""Logging in as `az` is, against a stand-in program that prints what the real one prints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.login.service import CLIENT, OTHER_TENANT, Place, served, settings
from tests.login.test_methods import checked, refusal

from gilder.engine.login import cloud_of, settled
from gilder.model.errors import Denied, GilderError
from gilder.model.spec import Auth
from localarm.settings import SUBSCRIPTION, TENANT


class Az:
    """A stand-in for the Azure CLI that prints what the real one prints."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "az").write_text(
            f'#!/bin/sh\ncd {folder}\necho "$*" >>asked\n[ -e "$2.err" ] && {{ cat "$2.err" >&2; exit 1; }}\ncat "$2"\n'
        )
        (folder / "az").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def prints(self, place: Place, tenant: str = "") -> None:
        account = {
            "environmentName": "AzureCloud", "homeTenantId": TENANT, "id": SUBSCRIPTION, "isDefault": True,
            "managedByTenants": [], "name": "images", "state": "Enabled", "tenantId": TENANT,
            "user": {"name": "someone@example.com", "type": "user"},
        }  # fmt: skip
        until = int(time.time()) + 3600
        token = {
            "accessToken": place.issued(tenant), "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": until,
            "subscription": SUBSCRIPTION, "tenant": TENANT, "tokenType": "Bearer",
        }  # fmt: skip
        (self.folder / "show").write_text(json.dumps(account, indent=2))
        (self.folder / "get-access-token").write_text(json.dumps(token, indent=2))

    def fails(self, command: str, text: str) -> None:
        (self.folder / f"{command}.err").write_text(text)

    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


LOGGED_OUT = "ERROR: Please run 'az login' to setup account.\n"
GONE = (
    "ERROR: AADSTS700082: The refresh token has expired due to inactivity. The token was issued on 2024-01-01T00:00:00Z and "
    "was inactive for 90.00:00:00. Trace ID: 1 Correlation ID: 2 Timestamp: 2024-06-01 00:00:00Z\nInteractive "
    "authentication is needed. Please run:\naz login --scope https://management.core.windows.net//.default\n"
)
AGAIN = f"log in with `az login --tenant {TENANT}`"
CLI: dict[str, tuple[Callable[[Az, Place], object], tuple[str, ...]]] = {
    "right": (lambda az, place: None, ()),
    "wrong": (
        lambda az, place: az.prints(place, OTHER_TENANT),
        ("the token is of another tenant than the subscription", f"az login --tenant {TENANT}"),
    ),
    "expired": (lambda az, place: az.fails("get-access-token", GONE), ("The refresh token has expired", AGAIN)),
    "logged out": (
        lambda az, place: az.fails("show", LOGGED_OUT),
        ("Please run 'az login' to setup account", "log in with `az login`"),
    ),
    "garbage": (lambda az, place: (az.folder / "show").write_text("[]"), ("printed no account",)),
    "no JSON": (lambda az, place: (az.folder / "show").write_text("hello"), ("printed no JSON",)),
    "missing": (lambda az, place: (az.folder / "az").unlink(), ("there is no program `az`",)),
}


@pytest.mark.parametrize("case", CLI)
async def test_the_azure_cli_is_asked(case: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange, words = CLI[case]
    said: list[str] = []
    async with served(keys, settings()) as place:
        az = Az(tmp_path / "bin", monkeypatch)
        az.prints(place)
        arrange(az, place)
        try:
            auth = await settled(Auth(use_azure_cli_auth=True, client_id=CLIENT, tenant_id="x"), {}, said.append)
            told = await refusal(place, auth)
        except GilderError as error:
            told = checked(error)
        for each in words:
            assert each in told
        assert bool(told) == bool(words), told
        assert said == ["use_azure_cli_auth: client_id, tenant_id are ignored"]
        if not words:
            assert az.asked()[0] == "account show --output json"
            assert f"--subscription {SUBSCRIPTION}" in az.asked()[1]


async def test_what_az_makes_useless_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Path) -> None:
    names = [name for name in Auth.model_fields if name != "use_azure_cli_auth"]
    said: list[str] = []
    async with served(keys, settings()) as place:
        Az(tmp_path / "bin", monkeypatch).prints(place)
        await settled(Auth(use_azure_cli_auth=True, **dict.fromkeys(names, "x")), {}, said.append)
        await settled(Auth(use_azure_cli_auth=True, **dict.fromkeys(names, "")), {}, said.append)
    assert said == [f"use_azure_cli_auth: {', '.join(names)} are ignored"]


async def test_a_cloud_that_az_was_taught_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Path) -> None:
    async with served(keys, settings()) as place:
        az = Az(tmp_path / "bin", monkeypatch)
        az.prints(place)
        account = json.loads((az.folder / "show").read_text()) | {"environmentName": "AzureStackUser"}
        (az.folder / "show").write_text(json.dumps(account))
        auth = await settled(Auth(use_azure_cli_auth=True), {}, print)
        endpoints = {
            "activeDirectory": "https://adfs.local/adfs", "activeDirectoryResourceId": "https://management.adfs.local/1",
            "resourceManager": "https://management.local/", "management": None, "gallery": "https://gallery.local/",
        }  # fmt: skip
        (az.folder / "show").write_text(json.dumps({"endpoints": endpoints, "name": "AzureStackUser"}))
        found = await cloud_of(auth)
        assert (found.name, found.resource_manager) == ("AzureStackUser", "https://management.local")
        assert (found.authority, found.scope) == ("https://adfs.local", "https://management.adfs.local/1/.default")
        (az.folder / "show").write_text(json.dumps({"endpoints": {}, "name": "AzureStackUser"}))
        with pytest.raises(Denied, match="names no endpoints"):
            await cloud_of(auth)
        assert "cloud show --name AzureStackUser --output json" in az.asked()
