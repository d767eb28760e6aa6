"""The names of Azure's clouds, as templates, `az` and clouds themselves write them."""

from __future__ import annotations

PUBLIC, CHINA, US_GOVERNMENT = "Public", "China", "USGovernment"
_KNOWN = {"": PUBLIC, "public": PUBLIC, "china": CHINA, "usgovernment": US_GOVERNMENT}
"""By what is left of a name without `Azure` before and `Cloud` after it: both are as often there as not."""

METADATA_HOSTS = ("ARM_METADATA_HOSTNAME", "ARM_METADATA_HOST")
"""Variables that name the host which describes a cloud."""
CLOSED = "was closed in October 2021"
"""What became of the cloud in Germany (Microsoft's announcement)."""
INSTEAD_OF_CLOSED = "use Public with a German region such as germanywestcentral"
INSTEAD_OF_UNKNOWN = "use Public, China or USGovernment, or give metadata_host"


def known_cloud(name: str) -> str | None:
    """The short name of a cloud that needs no description; None for any other."""
    return _KNOWN.get(_bare(name))


def is_closed(name: str) -> bool:
    """Whether this is the cloud that was in Germany."""
    return "german" in name.lower()


def same_cloud(one: str, other: str) -> bool:
    """Whether two names mean one cloud."""
    return (known_cloud(one) or _bare(one)) == (known_cloud(other) or _bare(other))


def _bare(name: str) -> str:
    return name.strip().lower().removeprefix("azure").removesuffix("cloud")
