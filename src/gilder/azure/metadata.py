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
    for pause in (0.5, 2.0, 5.0):  # 410 and 429 mean: again, soon (documented)
        try:
            timeout = aiohttp.ClientTimeout(total=5, connect=2)
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(
                    url, params={"api-version": "2021-02-01", "format": "json"}, headers={"Metadata": "true"}
                ) as answer,
            ):
                if answer.status in (410, 429, 500):
                    await anyio.sleep(pause)
                    continue
                answer.raise_for_status()
                return _machine(await answer.json())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Refused(
                f"this is not an Azure VM: its metadata service {cloud.instance_metadata} does not answer",
                hint=NOT_ON_AZURE,
            ) from error
        except (KeyError, ValueError) as error:
            raise Refused(f"{url} gave an answer without sense: {error}", hint=NOT_ON_AZURE) from error
    raise Refused(f"{url} is overloaded", hint="try again in a minute")


def _machine(compute: dict[str, str]) -> Machine:
    text = compute.get("resourceId") or (
        f"/subscriptions/{compute['subscriptionId']}/resourceGroups/{compute['resourceGroupName']}"
        f"/providers/Microsoft.Compute/virtualMachines/{compute['name']}"
    )
    return Machine(ArmId.parse(text), compute["location"], compute.get("zone", ""), compute["vmSize"])
