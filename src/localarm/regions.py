"""Names of regions: short in requests, spelled out in galleries."""

from __future__ import annotations

DISPLAY = {
    "westeurope": "West Europe", "northeurope": "North Europe", "eastus": "East US", "eastus2": "East US 2",
    "westus": "West US", "westus2": "West US 2", "westus3": "West US 3", "centralus": "Central US",
    "southcentralus": "South Central US", "northcentralus": "North Central US", "westcentralus": "West Central US",
    "eastus2euap": "East US 2 EUAP", "centraluseuap": "Central US EUAP", "swedencentral": "Sweden Central",
    "germanywestcentral": "Germany West Central", "francecentral": "France Central", "uksouth": "UK South",
    "southeastasia": "Southeast Asia", "eastasia": "East Asia", "japaneast": "Japan East", "australiaeast": "Australia East",
    "canadacentral": "Canada Central", "brazilsouth": "Brazil South", "centralindia": "Central India",
}  # fmt: skip


def short(name: str) -> str:
    """`West US 2` and `westus2` alike give `westus2`."""
    return name.lower().replace(" ", "")


def display(name: str) -> str:
    """`westus2` gives `West US 2`; a region without a known spelling stays as it is."""
    return DISPLAY.get(short(name), name)
