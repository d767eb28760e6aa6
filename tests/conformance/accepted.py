"""Differences from the recordings that localarm has on purpose, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance import absent
from tests.conformance.compare import Difference
from tests.conformance.flows import Exchange


@dataclass(frozen=True)
class Rule:
    """Accepts differences whose place and values match.

    Attributes:
        before: only api-versions older than that.
        when: only exchanges of which that is true.
    """

    where: str
    reason: str
    path: str = ""
    azure: str = ""
    localarm: str = ""
    before: str = ""
    when: Callable[[Exchange], bool] = lambda exchange: True

    def accepts(self, difference: Difference, exchange: Exchange) -> bool:
        """Whether this rule is about that difference."""
        version = exchange.query.get("api-version", "9999")
        return (
            bool(re.search(self.where, difference.where))
            and bool(
                re.search(self.path, exchange.path, re.IGNORECASE)
                or (self.path and re.search(self.path, str(exchange.body), re.IGNORECASE))
            )
            and bool(re.search(self.azure, difference.azure))
            and bool(re.search(self.localarm, difference.localarm))
            and (not self.before or version < self.before)
            and self.when(exchange)
        )


PATCHED_ONCE = r"^\.(id|type|name|sku\.tier)$|isArmResource|faultDomain|\.incremental$"
ADDED_LATER = (
    r"\.(encryption|incremental|networkAccessPolicy|publicNetworkAccess|diskSizeBytes|uniqueId|diskState|tier"
    r"|diskIOPSReadWrite|diskMBpsReadWrite|LastOwnershipUpdateTime)$"
)
IMAGE_FACTS = (
    r"\.(supportsHibernation|securityProfile|supportedCapabilities(\.\w+)?|purchasePlan|diskSizeBytes|features|replicaCount"
    r"|replicaType|disallowed\.vmDiskType|automaticOSUpgradeSupported|osDiskImage\.\w+|plan|dataDiskImages"
    r"|imageDeprecationStatus)$"
)
GUEST_FACTS = r"instanceView\.(osName|osVersion|vmAgent|computerName|disks|extensions|bootDiagnostics|hyperVGeneration)"
OS_PROFILE = (
    r"enableVMAgentPlatformUpdates|linuxConfiguration|requireGuestProvisionSignal|windowsConfiguration|osProfile"
)
SIZE_FACTS = r"capabilities|zoneDetails|locationInfo|restrictions|apiVersions|costs|capacity"

RULES = (
    Rule(
        r"header (azure-asyncoperation|location) query",
        "poll addresses were not signed before mid-2023, and had no p before 2021; localarm's always are: the harder case",
        azure=r"\['(p', ')?(monitor', ')?api-version'\]",
    ),
    Rule(
        "header names of limits",
        "Resource Manager named and counted its read limit otherwise before 2024",
        azure="subscription-reads|subscription-resource",
    ),
    Rule("limit policies", "limits of older years had other names", before="2023-01-01"),
    Rule(
        PATCHED_ONCE,
        "first answers to PATCH (and PUT) of disks and snapshots had isArmResource and no id before late 2022",
        before="2021-12-01",
    ),
    Rule(
        ADDED_LATER,
        "older api-versions do not show properties that were added later; localarm shows those of 2023 in all",
        azure=r"\(absent\)",
        before="2021-12-01",
    ),
    Rule(IMAGE_FACTS, "facts of the platform image itself, which the catalogue of this test does not have to the byte"),
    Rule(
        r"\[name=\]",
        "recordings of different years in one flow: the newest version of an image has changed between them",
        path="/versions$",
    ),
    Rule(r"\[\]$", "a listing with $expand or $filter of Azure's own catalogue", path="/publishers/"),
    Rule("uniqueName", "the recorder replaced the subscription in the path but not in this name"),
    Rule(
        r"\.value\[name=.*\]\.id$",
        "the recorder shortened the resource group in paths but not in this body",
        azure="RG|CLITEST|CLI_TEST",
    ),
    Rule(
        "^status$",
        "a call that localarm does not have (`absent` names them all); it says so: 501",
        localarm="^501 ",
        when=absent.not_had,
    ),
    Rule(
        "^status$",
        "localarm has no blobs, restore points, encryption sets, shared or community galleries: it refuses what names them",
        azure="^2",
        localarm="^40[04] ",
        when=absent.not_known,
    ),
    Rule("access_token", "a token is a token"),
    Rule(
        "expires_in$", "Azure's tokens last 3599 or 3600 seconds; its v1 endpoint says ext_expires_in 0", path="oauth2"
    ),
    Rule(GUEST_FACTS, "facts of the guest, which localarm's machines do not have"),
    Rule(OS_PROFILE, "the operating system profile is shown as given, with the defaults of 2024"),
    Rule(
        r"\.resourceTypes",
        "localarm names only the types it has, with one api-version each",
        path="/providers/Microsoft.Compute$",
    ),
    Rule(
        SIZE_FACTS,
        "of a size localarm gives what decides about disks; Azure's list of capabilities is longer",
        path="/skus$",
    ),
)
"""In order; the first that accepts a difference gives the reason."""


def reason(difference: Difference, exchange: Exchange) -> str | None:
    """Why a difference is accepted; None when it is not."""
    for rule in RULES:
        if rule.accepts(difference, exchange):
            return rule.reason
    return None
