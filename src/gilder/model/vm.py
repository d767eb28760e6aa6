"""What a template may ask about the VM that the build runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VmFacts:
    """The answers of the template function `vm`; all are texts, `zone` is "" outside availability zones."""

    name: str
    subscription_id: str
    resource_group: str
    location: str
    zone: str
    resource_id: str
