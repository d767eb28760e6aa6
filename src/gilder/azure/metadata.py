"""Which VM this is, as the instance metadata service tells."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
import anyio

from gilder.azure.cloud import Cloud
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.vm import VmFacts

NOT_ON_AZURE = "run gilder on an Azure VM, or add `--cloud local` to build on the embedded cloud"
PAUSES = (0.5, 2.0, 5.0)
"""Seconds to wait after an answer that means "again, soon": 410, 429 and 500 (Azure's documentation of the service)."""
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Machine:
    """The VM that gilder runs on. `zone` is "" outside availability zones."""

    id: ArmId
    location: str
    zone: str
    size: str

    @property
    def name(self) -> str:
        """The VM's name in Azure."""
        return self.id.name

    @property
    def facts(self) -> VmFacts:
        """What templates may ask about it."""
        return VmFacts(
            name=self.name,
            subscription_id=self.id.subscription,
            resource_group=self.id.resource_group,
            location=self.location,
            zone=self.zone,
            resource_id=str(self.id),
        )


async def this_machine(cloud: Cloud) -> Machine:
    """Ask the metadata service; raises Refused when there is none (this is not an Azure VM) or it makes no sense."""
    url = cloud.instance_metadata + "/metadata/instance/compute"
    status = 0
    for pause in PAUSES:
        try:
            timeout = aiohttp.ClientTimeout(total=5, connect=2)
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(
                    url, params={"api-version": "2021-02-01", "format": "json"}, headers={"Metadata": "true"}
                ) as answer,
            ):
                status = answer.status
                if status == 200:
                    return _machine(await answer.json(content_type=None))
                if status not in (410, 429) and status < 500:
                    raise _strange(cloud, status, await answer.text(errors="replace"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Refused(
                f"this is not an Azure VM: its metadata service {cloud.instance_metadata} does not answer",
                hint=NOT_ON_AZURE,
            ) from error
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Refused(f"{url} gave an answer without sense: {error}", hint=NOT_ON_AZURE) from error
        await anyio.sleep(pause)
    raise Refused(f"{url} has no answer now (HTTP {status})", hint="try again in a minute")


def _strange(cloud: Cloud, status: int, body: str) -> Refused:
    """Somebody answers who does not know this VM: another cloud's service, a proxy, or one that lets not everybody ask."""
    said = next((line.strip() for line in body.splitlines() if line.strip()), "")[:_LONGEST_REASON]
    text = f"the metadata service {cloud.instance_metadata} does not tell which VM this is: HTTP {status}"
    hint = f"on an Azure VM, gilder must reach it as root and not through a proxy; else {NOT_ON_AZURE}"
    return Refused(f"{text}{f', {said}' if said else ''}", hint=hint)


def _machine(compute: dict[str, str]) -> Machine:
    text = compute.get("resourceId") or (
        f"/subscriptions/{compute['subscriptionId']}/resourceGroups/{compute['resourceGroupName']}"
        f"/providers/Microsoft.Compute/virtualMachines/{compute['name']}"
    )
    return Machine(ArmId.parse(text), compute["location"], compute.get("zone", ""), compute["vmSize"])
