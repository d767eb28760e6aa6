"""Which api-versions the world has, and how it refuses the others.

Clouds differ in it: China, USGovernment and Azure Stack have their newest versions months or years later (azure-cli 23985,
30847, 31916; azure-powershell 3631).
"""

from __future__ import annotations

import re

from localarm.arm import Address
from localarm.errors import Refused, gateway
from localarm.published import published

NEWEST = "2026-12-31"
_OWN = (
    "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01", "2022-01-01", "2022-09-01", "2022-12-01", "2023-07-01",
    "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01",
)  # fmt: skip
"""Of Resource Manager itself, a selection."""


def supported(address: Address, newest: str = NEWEST, since: str = "") -> list[str]:
    """The versions of what is addressed, oldest first."""
    return [version for version in published(address) or _OWN if since <= version <= newest]


def api_version_known(version: str, address: Address, newest: str) -> None:
    """The api-version is a date, not one of the future, and not newer than this cloud (`--newest-api`)."""
    well_formed = re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview|-privatepreview)?", version)
    if not well_formed or version > NEWEST or (version > newest and not address.namespace):
        known = ",".join(reversed(supported(Address(address.subscription), newest)))
        raise gateway(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{known}'.",
        )
    if version > newest:
        raise unsupported(version, address, newest)


def version_published(version: str, address: Address, newest: str, since: str, location: str) -> None:
    """The type of the resource has that api-version, and it is not older than the call."""
    if version < since or version not in (published(address) or (version,)):
        raise unsupported(version, address, newest, since, location)


def unsupported(version: str, address: Address, newest: str, since: str = "", location: str = "") -> Refused:
    """The refusal of a version that a resource type lacks: another one for what is no resource itself (azure-cli 2681)."""
    kind = "/".join(address.types[: len(address.names)] or address.types)
    known = f"The supported api-versions are '{', '.join(supported(address, newest, since))}'."
    if not address.group or len(address.names) < len(address.types) == 1:
        return gateway(
            404,
            "InvalidResourceType",
            f"The resource type '{kind}' could not be found in the namespace '{address.namespace}' for api version "
            f"'{version}'. {known}",
        )
    return gateway(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '{location}' and API version '{version}' for type '{kind}'. "
        f"{known} The supported locations are ''.",
    )
