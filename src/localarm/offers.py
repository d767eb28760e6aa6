"""Laws of regions: whether one has the zones and the kinds of storage that are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from localarm.arm import Address
from localarm.errors import gateway, invalid
from localarm.regions import zones


def zones_offered(address: Address, location: str, asked: Iterable[str]) -> None:
    """A region has availability zones, and those that are asked for."""
    offered = zones(location)
    path = f"{address.type}/{address.name}"
    wrong = [each for each in asked if each not in offered]
    if wrong and not offered:
        raise gateway(
            400,
            "LocationNotSupportAvailabilityZones",
            f"The resource '{path}' does not support availability zones at location '{location}'.",
        )
    if wrong:
        raise gateway(
            400,
            "InvalidAvailabilityZone",
            f"The zone(s) '{','.join(wrong)}' for resource '{path}' is not supported. The supported zones for location "
            f"'{location}' are '{','.join(offered)}'",
        )


STORAGE = {
    "Disk": (
        "PremiumV2_LRS", "Premium_LRS", "Premium_ZRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Standard_LRS", "UltraSSD_LRS",
    ),
    "Snapshot": ("Premium_LRS", "Standard_LRS", "Standard_ZRS"),
}  # fmt: skip
ZONAL = ("PremiumV2_LRS", "Premium_ZRS", "StandardSSD_ZRS", "Standard_ZRS")
"""Not in regions without zones (those that a refusal in such a region did not list: recorded in 2022)."""


def storage_offered(kind: str, location: str, sku: str) -> None:
    """A region has that kind of storage for disks or snapshots."""
    offered = [each for each in STORAGE[kind] if zones(location) or each not in ZONAL]
    if sku.lower() not in [each.lower() for each in offered]:
        raise invalid(
            "sku",
            f"SKU {sku} is not supported for resource type {kind} in this region. Supported SKUs for this region are "
            f"{','.join(offered)}",
        )
