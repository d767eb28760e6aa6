"""Names of regions: short in requests, spelled out in galleries."""

from __future__ import annotations

SPELLED = (
    "Australia Central", "Australia Central 2", "Australia East", "Australia Southeast", "Austria East", "Belgium Central",
    "Brazil South", "Brazil Southeast", "Canada Central", "Canada East", "Central India", "Central US", "Central US EUAP",
    "Chile Central", "China East", "China East 2", "China East 3", "China North", "China North 2", "China North 3",
    "Denmark East", "East Asia", "East US", "East US 2", "East US 2 EUAP", "East US STG", "France Central", "France South",
    "Germany North", "Germany West Central", "Indonesia Central", "Israel Central", "Italy North", "Japan East",
    "Japan West", "Jio India Central", "Jio India West", "Korea Central", "Korea South", "Malaysia West", "Mexico Central",
    "New Zealand North", "North Central US", "North Europe", "Norway East", "Norway West", "Poland Central",
    "Qatar Central", "South Africa North", "South Africa West", "South Central US", "South Central US STG", "South India",
    "Southeast Asia", "Spain Central", "Sweden Central", "Sweden South", "Switzerland North", "Switzerland West",
    "UAE Central", "UAE North", "UK South", "UK West", "USDoD Central", "USDoD East", "USGov Arizona", "USGov Iowa",
    "USGov Texas", "USGov Virginia", "West Central US", "West Europe", "West India", "West US", "West US 2", "West US 3",
)  # fmt: skip
"""Azure's regions as it spells them (its list of regions; those of its clouds in China and for the US government too)."""


def short(name: str) -> str:
    """`West US 2` and `westus2` alike give `westus2`."""
    return name.lower().replace(" ", "")


DISPLAY = {short(name): name for name in SPELLED}


def display(name: str) -> str:
    """`westus2` gives `West US 2`; a region without a known spelling stays as it is."""
    return DISPLAY.get(short(name), name)


WITHOUT_ZONES = (
    "Australia Central", "Australia Central 2", "Australia Southeast", "Brazil Southeast", "Canada East", "China East",
    "China East 2", "China North", "China North 2", "France South", "Germany North", "Jio India Central", "Jio India West",
    "Korea South", "North Central US", "Norway West", "South Africa West", "South India", "Sweden South",
    "Switzerland West", "UAE Central", "UK West", "USDoD Central", "USDoD East", "USGov Arizona", "USGov Iowa",
    "USGov Texas", "West Central US", "West India", "West US",
)  # fmt: skip
"""Regions without availability zones (Azure's list of regions, 2025)."""


def zones(name: str) -> tuple[str, ...]:
    """The availability zones of a region."""
    return () if display(name) in WITHOUT_ZONES else ("1", "2", "3")
