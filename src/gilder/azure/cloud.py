"""Which cloud: its endpoints, found as the documented `metadata_host` says, or built in for the known ones."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gilder.model import clouds
from gilder.model.errors import Refused, UserError

INSTANCE_METADATA = "http://169.254.169.254"
"""Where an Azure VM finds its metadata service (learn.microsoft.com, Azure Instance Metadata Service)."""


_EXCHANGE = {
    clouds.PUBLIC: "api://AzureADTokenExchange",
    clouds.CHINA: "api://AzureADTokenExchangeChina",
    clouds.US_GOVERNMENT: "api://AzureADTokenExchangeUSGov",
}
"""Microsoft Entra, "Configure an application to trust a managed identity"; also terraform-provider-azuread 1755."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The endpoints of one Azure cloud. `ca_file` names a certificate authority beyond the system's."""

    name: str
    resource_manager: str
    authority: str
    audience: str
    instance_metadata: str = INSTANCE_METADATA
    ca_file: Path | None = None

    @property
    def scope(self) -> str:
        """The scope to ask a Resource Manager token for."""
        return self.audience.rstrip("/") + "/.default"

    @property
    def exchange_audience(self) -> str:
        """What tokens of others are made out to when they are exchanged for this cloud's."""
        return _EXCHANGE.get(clouds.known_cloud(self.name) or "", _EXCHANGE[clouds.PUBLIC])


PUBLIC = Cloud(
    clouds.PUBLIC,
    "https://management.azure.com",
    "https://login.microsoftonline.com",
    "https://management.azure.com/",
)
CHINA = Cloud(
    clouds.CHINA,
    "https://management.chinacloudapi.cn",
    "https://login.chinacloudapi.cn",
    "https://management.chinacloudapi.cn/",
)
US_GOVERNMENT = Cloud(
    clouds.US_GOVERNMENT,
    "https://management.usgovcloudapi.net",
    "https://login.microsoftonline.us",
    "https://management.usgovcloudapi.net/",
)
_BY_NAME = {cloud.name: cloud for cloud in (PUBLIC, CHINA, US_GOVERNMENT)}


def named_cloud(name: str) -> Cloud:
    """The cloud of a `cloud_environment_name`; raises UserError for an unknown or closed one."""
    if clouds.is_closed(name):
        raise UserError(f"the cloud {name!r} {clouds.CLOSED}", hint=clouds.INSTEAD_OF_CLOSED)
    known = clouds.known_cloud(name)
    if known is None:
        raise UserError(f"unknown cloud {name!r}", hint=clouds.INSTEAD_OF_UNKNOWN)
    return _BY_NAME[known]


def tls_context(cloud: Cloud) -> ssl.SSLContext:
    """Whom to trust when talking to this cloud and its surroundings: the system's authorities and the cloud's own."""
    context = ssl.create_default_context()
    if cloud.ca_file:
        context.load_verify_locations(cafile=str(cloud.ca_file))
    return context


async def discovered_cloud(
    metadata_host: str, name: str = "", *, instance_metadata: str = INSTANCE_METADATA, ca_file: Path | None = None
) -> Cloud:
    """The cloud of this name that `https://metadata_host/metadata/endpoints` describes, or without a name the host's own.

    Raises Refused when it does not answer so, or describes other clouds only.
    """
    host = metadata_host.removeprefix("https://").strip("/")
    url = f"https://{host}/metadata/endpoints"
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, params={"api-version": "2022-09-01"}, ssl=context) as answer,
        ):
            answer.raise_for_status()
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Refused(f"{url} does not describe a cloud: {error}", hint="check metadata_host") from error
    try:
        described = _meant(told, host, name)
        authentication = described["authentication"]
        manager = described["resourceManager"]
        audiences = authentication.get("audiences") or [manager]
        return Cloud(
            described.get("name") or urlsplit(manager).hostname or host,
            manager.rstrip("/"),
            # AD FS (Azure Stack Hub) puts its tenant, `adfs`, into the address already.
            authentication["loginEndpoint"].rstrip("/").removesuffix("/adfs"),
            audiences[0],
            instance_metadata,
            ca_file,
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise Refused(f"{url} answered without sense: {error!r}", hint="check metadata_host") from error


def _meant(told: Any, host: str, name: str) -> Any:
    """The description of the cloud of this name, or of the host's; older answers are lists of all clouds that it knows.

    The name Public says nothing: templates have it where no other is meant.
    """
    several = told if isinstance(told, list) else [told]
    named = [each for each in several if name and clouds.same_cloud(each.get("name") or name, name)]
    if named:
        return named[0]
    wanted = urlsplit(f"https://{host}").hostname
    own = [each for each in several if urlsplit(each["resourceManager"]).hostname == wanted]
    if clouds.known_cloud(name) == clouds.PUBLIC and (own or len(several) < 2):
        return (own or several)[0]
    known = ", ".join(str(each.get("name")) for each in several)
    raise Refused(
        f"https://{host} describes {f'no cloud {name}' if name else 'several clouds'}, but {known}",
        hint="give one of these as cloud_environment_name, or leave it out for the host's own",
    )
