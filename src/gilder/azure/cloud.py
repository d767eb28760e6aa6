"""Which cloud: its endpoints, found as the documented `metadata_host` says, or built in for the known ones."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gilder.model.errors import Refused, UserError

INSTANCE_METADATA = "http://169.254.169.254"
"""Where an Azure VM finds its metadata service (learn.microsoft.com, Azure Instance Metadata Service)."""


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


PUBLIC = Cloud(
    "Public",
    "https://management.azure.com",
    "https://login.microsoftonline.com",
    "https://management.azure.com/",
)
CHINA = Cloud(
    "China",
    "https://management.chinacloudapi.cn",
    "https://login.chinacloudapi.cn",
    "https://management.chinacloudapi.cn/",
)
US_GOVERNMENT = Cloud(
    "USGovernment",
    "https://management.usgovcloudapi.net",
    "https://login.microsoftonline.us",
    "https://management.usgovcloudapi.net/",
)
_BY_NAME = {"": PUBLIC, "public": PUBLIC, "china": CHINA, "usgovernment": US_GOVERNMENT}
"""By what is left of a name without `Azure` before and `Cloud` after it: both are as often there as not."""


def named_cloud(name: str) -> Cloud:
    """The cloud of a `cloud_environment_name`; raises UserError for an unknown or closed one."""
    key = name.strip().lower()
    if "german" in key:
        raise UserError(
            f"the cloud {name!r} was closed in October 2021",
            hint="use Public with a German region such as germanywestcentral",
        )
    key = key.removeprefix("azure").removesuffix("cloud")
    if key not in _BY_NAME:
        raise UserError(f"unknown cloud {name!r}", hint="use Public, China or USGovernment, or give metadata_host")
    return _BY_NAME[key]


def tls_context(cloud: Cloud) -> ssl.SSLContext:
    """Whom to trust when talking to this cloud and its surroundings: the system's authorities and the cloud's own."""
    context = ssl.create_default_context()
    if cloud.ca_file:
        context.load_verify_locations(cafile=str(cloud.ca_file))
    return context


async def discovered_cloud(
    metadata_host: str, *, instance_metadata: str = INSTANCE_METADATA, ca_file: Path | None = None
) -> Cloud:
    """The cloud that `https://metadata_host/metadata/endpoints` describes; raises Refused if it does not answer so."""
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
        described = _meant(told, host)
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


def _meant(told: Any, host: str) -> Any:
    """The description of this host's cloud; older answers are lists of all clouds that it knows."""
    if not isinstance(told, list):
        return told
    managers = [urlsplit(each["resourceManager"]).hostname for each in told]
    wanted = urlsplit(f"https://{host}").hostname
    return told[managers.index(wanted)] if wanted in managers else told[0]
