"""The list of resource SKUs: which sizes of virtual machines there are where, and what they can."""

from __future__ import annotations

from localarm import sizes
from localarm.calls import Call
from localarm.filters import equalities
from localarm.messages import Json, Response
from localarm.regions import zones
from localarm.sizes import Size


def skus(call: Call) -> Response:
    """List the sizes as resource SKUs, one entry per size and region; `$filter=location eq 'x'` picks a region."""
    text = {name.lower(): value for name, value in call.request.query.items()}.get("$filter", "")
    wanted = equalities(text, ("location",)).get("location", "").lower()
    regions = [region for region in call.world.settings.regions if wanted in ("", region)]
    return Response(200, {"value": [_sku(size, region) for region in regions for size in sizes.SIZES.values()]})


def _sku(size: Size, region: str) -> Json:
    capabilities = {
        "MaxResourceVolumeMB": "0", "OSVhdSizeMB": "1047552", "vCPUs": size.cpus, "HyperVGenerations": "V1,V2",
        "MemoryGB": size.memory_gb, "MaxDataDiskCount": size.data_disks, "CpuArchitectureType": "x64",
        "LowPriorityCapable": True, "PremiumIO": True, "vCPUsAvailable": size.cpus, "EphemeralOSDiskSupported": True,
        "AcceleratedNetworkingEnabled": True, "RdmaEnabled": False,
    }  # fmt: skip
    return {
        "resourceType": "virtualMachines", "name": size.name, "tier": "Standard",
        "size": size.name.removeprefix("Standard_"), "family": size.family, "locations": [region],
        "locationInfo": [{"location": region, "zones": list(zones(region)), "zoneDetails": []}],
        "capabilities": [{"name": name, "value": str(value)} for name, value in capabilities.items()],
        "restrictions": [],
    }  # fmt: skip
