"""Which api-versions the world has, and how it refuses the others.

Clouds differ in it: China, USGovernment and Azure Stack have their newest versions months or years later (azure-cli 23985,
30847, 31916; azure-powershell 3631).
"""

from __future__ import annotations

import re

from localarm.arm import Address
from localarm.errors import Refused, gateway

NEWEST = "2026-12-31"
_COMPUTE = (
    "2020-06-01", "2020-12-01", "2021-03-01", "2021-04-01", "2021-07-01", "2021-11-01", "2022-03-01", "2022-08-01",
    "2022-11-01", "2023-03-01", "2023-07-01", "2023-09-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01",
    "2025-11-01", "2026-04-01",
)  # fmt: skip
_DISKS = (
    "2020-06-30", "2020-09-30", "2020-12-01", "2021-04-01", "2021-08-01", "2021-12-01", "2022-03-02", "2022-07-02",
    "2023-01-02", "2023-04-02", "2023-10-02", "2024-03-02", "2025-01-02", "2026-03-02",
)  # fmt: skip
_GALLERIES = (
    "2020-09-30", "2021-07-01", "2021-10-01", "2022-01-03", "2022-03-03", "2022-08-03", "2023-07-03", "2024-03-03",
    "2025-03-03", "2026-03-03",
)  # fmt: skip
_OWN = (
    "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01", "2022-01-01", "2022-09-01", "2022-12-01", "2023-07-01",
    "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01",
)  # fmt: skip
"""Of Resource Manager itself."""
_OF = {"disks": _DISKS, "snapshots": _DISKS, "galleries": _GALLERIES}


def supported(address: Address, newest: str = NEWEST, since: str = "") -> list[str]:
    """The stable versions of a resource type, oldest first (a selection of the public ones)."""
    own = _OWN if not address.namespace else _OF.get(address.types[0].lower() if address.types else "", _COMPUTE)
    return [version for version in own if since <= version <= newest]


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


def unsupported(version: str, address: Address, newest: str, since: str = "") -> Refused:
    """The refusal of a version that a resource type does not have: another one for what is no resource itself."""
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
        f"No registered resource provider found for location '' and API version '{version}' for type '{kind}'. {known} "
        "The supported locations are ''.",
    )
