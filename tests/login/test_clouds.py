"""Which cloud a name means, and what goes with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.login.service import served, settings

from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.model.errors import Refused, UserError
from gilder.template import Inputs, load
from localarm.door_https import tls_context

PUBLIC = ("https://management.azure.com", "https://login.microsoftonline.com")
CHINA = ("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn")
GOVERNMENT = ("https://management.usgovcloudapi.net", "https://login.microsoftonline.us")
NAMES = {
    PUBLIC: ("Public", "public", "PublicCloud", "AzurePublicCloud", "AzureCloud", "AzurePublic"),
    CHINA: ("China", "ChinaCloud", "AzureChinaCloud", "AZURECHINACLOUD", "AzureChina"),
    GOVERNMENT: ("USGovernment", "USGovernmentCloud", "AzureUSGovernment", "AzureUSGovernmentCloud", "usgovernment"),
}


@pytest.mark.parametrize(("name", "expected"), [(name, cloud) for cloud, names in NAMES.items() for name in names])
def test_names_and_long_forms(name: str, expected: tuple[str, str]) -> None:
    cloud = named_cloud(name)
    assert (cloud.resource_manager, cloud.authority) == expected
    assert cloud.scope == f"{expected[0]}/.default"


@pytest.mark.parametrize(
    "name", ["", *(name for names in NAMES.values() for name in names), "Germany", "Mars", "German"]
)
def test_templates_may_name_the_clouds_that_there_are(name: str) -> None:
    """Validation and login agree."""
    builder = {
        "type": "azure-chroot",
        "source": "a:b:c:latest",
        "skip_create_image": True,
        "cloud_environment_name": name,
    }
    loaded = load(json.dumps({"builders": [builder]}), file="t.json", inputs=Inputs(env={}))
    if loaded.ok:
        named_cloud(name)
        return
    with pytest.raises(UserError) as caught:
        named_cloud(name)
    assert [diagnostic.detail for diagnostic in loaded.diagnostics] == [caught.value.hint]


def test_a_described_cloud_may_have_any_name() -> None:
    builder = {
        "type": "azure-chroot",
        "source": "a:b:c:latest",
        "skip_create_image": True,
        "cloud_environment_name": "USSec",
    }
    described = json.dumps({"builders": [builder | {"metadata_host": "management.local"}]})
    assert load(described, file="t.json", inputs=Inputs(env={})).ok
    named = json.dumps({"builders": [builder]})
    assert load(named, file="t.json", inputs=Inputs(env={"ARM_METADATA_HOST": "management.local"})).ok
    assert not load(named, file="t.json", inputs=Inputs(env={})).ok


@pytest.mark.parametrize("name", ["Germany", "GermanCloud", "AzureGermanCloud"])
def test_germany_is_refused_with_its_story(name: str) -> None:
    with pytest.raises(UserError, match="was closed in October 2021") as caught:
        named_cloud(name)
    assert "germanywestcentral" in str(caught.value.hint)


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(UserError, match="unknown cloud 'Mars'") as caught:
        named_cloud("Mars")
    assert caught.value.hint == "use Public, China or USGovernment, or give metadata_host"


async def test_a_cloud_that_its_metadata_host_describes(keys: Path) -> None:
    async with served(keys, settings()) as place:
        host = place.cloud.resource_manager.removeprefix("https://")
        for spelling in (host, f"https://{host}/"):
            found = await discovered_cloud(spelling, ca_file=place.cloud.ca_file)
            assert found.resource_manager == place.cloud.resource_manager
            assert found.authority == place.cloud.authority
            assert found.scope == "https://management.core.windows.net/.default"


@asynccontextmanager
async def describing(keys: Path, payload: Callable[[str], Any]) -> AsyncIterator[tuple[str, Path]]:
    """A host that describes a cloud; its name and its certificate authority."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(payload(request.host))

    runner = web.ServerRunner(web.Server(serve, access_log=None), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    tls = tls_context(keys / "tls", ("localhost", "127.0.0.1"))
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"localhost:{runner.addresses[0][1]}", keys / "tls" / "ca.pem"
    finally:
        await runner.cleanup()


def described(host: str, name: str) -> dict[str, Any]:
    return {
        "name": name, "resourceManager": f"https://{host}/",
        "authentication": {"loginEndpoint": f"https://login.{name}/", "audiences": [f"https://audience.{name}"]},
    }  # fmt: skip


async def test_a_list_of_clouds_means_the_one_of_the_host(keys: Path) -> None:
    def several(host: str) -> list[dict[str, Any]]:
        return [described("elsewhere.example", "elsewhere"), described(host, "here")]

    async with describing(keys, several) as (host, ca_file):
        found = await discovered_cloud(host, ca_file=ca_file)
    assert found == Cloud(
        "here", f"https://{host}", "https://login.here", "https://audience.here", found.instance_metadata, ca_file
    )


SEVERAL = ("AzureCloud", "AzureUSGovernment", "USSec")


@pytest.mark.parametrize(
    ("names", "asked", "meant"),
    [
        (SEVERAL, "USSec", "USSec"),
        (SEVERAL, "ussec", "USSec"),
        (SEVERAL, "USGovernment", "AzureUSGovernment"),
        (SEVERAL, "Public", "AzureCloud"),
        (("Mine",), "Public", "Mine"),
        (("Mine",), "", "Mine"),
        (("Mine",), "China", "describes no cloud China, but Mine"),
        (SEVERAL, "China", "describes no cloud China, but AzureCloud, AzureUSGovernment, USSec"),
        (SEVERAL, "", "describes several clouds, but AzureCloud"),
    ],
)
async def test_the_name_chooses_among_the_clouds_of_a_host(
    keys: Path, names: tuple[str, ...], asked: str, meant: str
) -> None:
    clouds = [described(f"{name}.example".lower(), name) for name in names]
    for answer in [clouds, *([clouds[0]] if len(clouds) == 1 else [])]:  # newer answers are no lists
        async with describing(keys, lambda host, answer=answer: answer) as (host, ca_file):  # type: ignore[misc] # bound
            if meant in names:
                assert (await discovered_cloud(host, asked, ca_file=ca_file)).name == meant
                continue
            with pytest.raises(Refused, match=meant) as caught:
                await discovered_cloud(host, asked, ca_file=ca_file)
        assert "cloud_environment_name" in str(caught.value.hint)


@pytest.mark.parametrize("answer", [[], {}, {"resourceManager": "x"}, "text", [1], None])
async def test_an_answer_without_sense_is_refused(keys: Path, answer: Any) -> None:
    async with describing(keys, lambda host: answer) as (host, ca_file):
        with pytest.raises(Refused, match="answered without sense") as caught:
            await discovered_cloud(host, ca_file=ca_file)
    assert caught.value.hint == "check metadata_host"
