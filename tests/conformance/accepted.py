"""Differences from the recordings that localarm has on purpose, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance import absent
from tests.conformance.compare import ABSENT, HEX, Difference
from tests.conformance.flows import Exchange

from localarm.regions import DISPLAY, short

Judge = Callable[[Difference, Exchange], bool]


@dataclass(frozen=True)
class Rule:
    """Accepts differences whose place and values match.

    Attributes:
        where, path, azure, localarm: patterns of the place of the difference, the request's path, and the two values.
        before: only api-versions older than that.
        until: only recordings of that year or earlier.
        when: only differences of which that is true.
    """

    where: str
    reason: str
    path: str = ""
    azure: str = ""
    localarm: str = ""
    before: str = ""
    until: int = 0
    when: Judge = lambda difference, exchange: True

    def accepts(self, difference: Difference, exchange: Exchange) -> bool:
        """Whether this rule is about that difference."""
        return (
            bool(re.search(self.where, difference.where))
            and bool(re.search(self.path, exchange.path, re.IGNORECASE))
            and bool(re.search(self.azure, str(difference.azure)))
            and bool(re.search(self.localarm, str(difference.localarm)))
            and (not self.before or exchange.version < self.before)
            and (not self.until or exchange.recorded <= self.until)
            and self.when(difference, exchange)
        )


NOT_HAD = re.escape(ABSENT)
DISKS = r"/(disks|snapshots|DiskOperations)(/|$)"
MACHINES = r"/virtualMachines(/|$)"
CATALOGUE = "/publishers/"

IMAGE_FACTS = (
    r"^\[?.*\.(features|replicaCount|replicaType|disallowed\.vmDiskType|automaticOSUpgradeSupported|plan|dataDiskImages"
    r"|imageDeprecationStatus|osDiskImage\.(sizeInGb|sizeInBytes))$"
)
DISK_FACTS = (
    r"properties\.(supportsHibernation|securityProfile|purchasePlan"
    r"|supportedCapabilities(\.(acceleratedNetwork|diskControllerTypes))?)$"
)
SHARING = r"properties\.(readOnly|diskIOPSReadOnly|diskMBpsReadOnly|burstingEnabled|burstingEnabledTime|maxShares)$"
GUEST_FACTS = (
    r"(^|instanceView)\.(osName|osVersion|vmAgent|computerName|disks|extensions|bootDiagnostics|hyperVGeneration)"
)
OS_PROFILE = r"osProfile(\.(linuxConfiguration|windowsConfiguration)(\.\w+)?|\.requireGuestProvisionSignal)?$"
SIZE_FACTS = r"\.(capabilities|zoneDetails|locationInfo|restrictions|apiVersions|costs|capacity)\b"
ONCE = r"^\.(name|id|type|sku\.tier|properties\.(isArmResource|faultDomain))$"

SINCE = {
    "LastOwnershipUpdateTime": "2023-04-02", "publicNetworkAccess": "2021-04-01", "tier": "2020-09-30",
    "networkAccessPolicy": "2020-09-30", "encryption": "2020-09-30", "uniqueId": "2020-09-30",
    "diskSizeBytes": "2020-09-30", "diskIOPSReadWrite": "2020-09-30", "diskMBpsReadWrite": "2020-09-30",
    "incremental": "2020-09-30",
}  # fmt: skip
"""From which api-version on disks and snapshots always show a property (the key frequencies in `stats/shapes.json`)."""
MACHINE_SINCE = {"timeCreated": "2021-11-01", "deleteOption": "2021-07-01", "toBeDetached": "2021-07-01"}


def added_later(since: dict[str, str]) -> Judge:
    """A property that Azure does not show by an api-version that is older than it."""

    def judge(difference: Difference, exchange: Exchange) -> bool:
        name = difference.where.rpartition(".")[2]
        return difference.azure == ABSENT and exchange.version < since.get(name, "")

    return judge


def unsigned(difference: Difference, exchange: Exchange) -> bool:
    """A poll address that only lacks the partition and the signature."""
    azure, ours = difference.azure, difference.localarm
    return [name for name in ours if name in azure] == azure and set(ours) - set(azure) <= set("ptcsh")


def nearly(difference: Difference, exchange: Exchange) -> bool:
    """A size that is not a whole number of GiB, as images have, where localarm has one that is."""
    azure, ours = difference.azure, difference.localarm
    whole = isinstance(ours, int) and ours % (1 << 30) == 0
    return isinstance(azure, int) and whole and 0 < azure - ours < 1 << 23 and of_an_image(difference, exchange)


def other_group(difference: Difference, exchange: Exchange) -> bool:
    """Two ids that differ in the resource group only."""
    azure, ours = (HEX.sub("hex", str(each)).split("/") for each in (difference.azure, difference.localarm))
    return len(azure) > 5 and len(azure) == len(ours) and [*azure[:4], *azure[5:]] == [*ours[:4], *ours[5:]]


def without_advice(difference: Difference, exchange: Exchange) -> bool:
    """A message that only lacks what was added at its end."""
    ours = str(difference.localarm)
    return ours.startswith(str(difference.azure)) and "aka.ms" in ours[len(str(difference.azure)) :]


def in_old_form(difference: Difference, exchange: Exchange) -> bool:
    """The first answer to a write of a disk or snapshot as it once was."""
    properties = exchange.answer.get("properties") if isinstance(exchange.answer, dict) else None
    return isinstance(properties, dict) and "isArmResource" in properties


def of_an_image(difference: Difference, exchange: Exchange) -> bool:
    """Something that shows what it inherited from a platform image."""
    return bool(re.search("\"osType\"|FromImage|'osType'", str(exchange.answer)))


def in_an_unknown_region(difference: Difference, exchange: Exchange) -> bool:
    """A region's name that localarm cannot spell out."""
    return short(str(difference.azure)) == difference.localarm and difference.localarm not in DISPLAY


RULES = (
    # What localarm has not
    Rule(
        "^status$",
        "a call that localarm does not have (`absent` names them all); it says so: 501",
        localarm="^501 ",
        when=lambda _, exchange: absent.not_had(exchange),
    ),
    Rule(
        "^status$",
        "localarm has no blobs, restore points, encryption sets, shared or community galleries: it refuses what names them",
        azure="^2",
        localarm="^40[04] ",
        when=lambda _, exchange: absent.not_known(exchange),
    ),
    # What was otherwise in other years
    Rule(
        r"^header (azure-asyncoperation|location) query$",
        "poll addresses were not signed before mid-2023, and had no p before 2021; localarm's always are: the harder case",
        until=2023,
        when=unsigned,
    ),
    Rule(
        "^header azure-asyncoperation$",
        "105 of 4760 answers to writes of machines had no address to poll; localarm's always have: clients must know both",
        path=MACHINES,
        azure="^None$",
    ),
    Rule(
        "^header names of limits$",
        "Resource Manager named and counted its read limit otherwise before 2024",
        azure="^\\['x-ms-ratelimit-remaining-(subscription-reads|tenant-reads)'\\]$",
        until=2023,
    ),
    Rule("^limit policies$", "limits of older years had other names", until=2022),
    Rule(
        "^limit x-ms-ratelimit-remaining-subscription-(reads|writes|deletes)$",
        "Resource Manager let through more before its limits became those of a region, in 2024",
        azure=r"^1\d{3,4}$",
        until=2024,
    ),
    Rule("^limit ", "limits of older years were larger", until=2022),
    Rule(
        ONCE,
        "first answers to writes of disks and snapshots had isArmResource and no id before late 2022",
        path=DISKS,
        when=in_old_form,
    ),
    Rule(
        r"properties\.\w+$",
        "older api-versions do not show properties that were added later; localarm shows those of 2023 in all",
        path=DISKS,
        when=added_later(SINCE),
    ),
    Rule(
        r"\.\w+$",
        "older api-versions do not show properties that were added later; localarm shows those of 2024 in all",
        path=MACHINES,
        when=added_later(MACHINE_SINCE),
    ),
    Rule(
        r"properties order$",
        "disks and snapshots had networkAccessPolicy last before api-version 2020-12-01",
        path=DISKS,
        before="2020-12-01",
    ),
    Rule(
        r"\.properties order$", "machines showed their members in another order before 2023", path=MACHINES, until=2022
    ),
    Rule(
        r"^\.error\.message$",
        "Resource Manager did not say where to read more before mid-2020",
        until=2020,
        when=without_advice,
    ),
    # What the recorders did
    Rule(
        r"\.uniqueName$",
        "the recorder replaced the subscription in the path but not in this name",
        azure=r"^[0-9a-f-]{36}-[A-Z0-9_]+$",
        localarm=r"^[0-9a-f-]{36}-[A-Z0-9_.]+$",
    ),
    Rule(
        r"\.(id|\w+(Id|By))$",
        "the recorder shortened the resource group in paths but not in this body",
        when=other_group,
    ),
    # Facts of Azure's own catalogue, sizes and guests
    Rule(
        IMAGE_FACTS,
        "facts of the platform image itself, which the catalogue of this test does not have to the byte",
        path=CATALOGUE,
    ),
    Rule(
        DISK_FACTS,
        "facts that a disk has from its platform image, which the catalogue of this test does not have",
        path=DISKS,
        localarm=NOT_HAD,
        when=of_an_image,
    ),
    Rule(r"\.diskSizeBytes$", "platform images are some MiB larger than whole GiB", path=DISKS, when=nearly),
    Rule(SHARING, "of shared and bursting disks localarm shows what was asked for", path=DISKS, localarm=NOT_HAD),
    Rule(
        r"^\[name=\]$",
        "recordings of different years in one flow: the newest version of an image has changed between them",
        path=r"/publishers/.*/versions$",
    ),
    Rule(
        r"^\[name=\]$",
        "the catalogue of this test has what the flow names, for every region",
        path=r"/publishers(/|$)",
        azure=NOT_HAD,
    ),
    Rule(r"^\[\]$", "a listing with $expand or $filter of Azure's own catalogue", path=CATALOGUE, azure="^0 items"),
    Rule(
        r"targetRegions\[name=.*\]\.name$",
        "a region that localarm does not know by name: it cannot spell it out",
        when=in_an_unknown_region,
    ),
    Rule(GUEST_FACTS, "facts of the guest, which localarm's machines do not have", path=MACHINES),
    Rule(
        OS_PROFILE,
        "the operating system profile is shown as given, with the defaults of 2024",
        path=MACHINES,
        when=lambda difference, _: ABSENT in (difference.azure, difference.localarm),
    ),
    Rule(
        r"^\.resourceTypes",
        "localarm names only the types it has, with one api-version each",
        path="/providers/Microsoft.Compute$",
    ),
    Rule(
        SIZE_FACTS,
        "of a size localarm gives what decides about disks; Azure's list of capabilities is longer",
        path="/skus$",
    ),
    Rule(
        r"^\.(value|count)",
        "the world of this test has a subscription of its own, and says of each only what clients ask",
        path="^/subscriptions/?$",
    ),
    Rule(r"\.completionPercent$", "a copy between regions goes on in its own time", azure=r"^\d", localarm=r"^\d"),
    # Logins
    Rule("^\\.access_token$", "a token is a token"),
    Rule(
        "expires_in$", "Azure's tokens last 3599 or 3600 seconds; its v1 endpoint says ext_expires_in 0", path="oauth2"
    ),
)
"""In order; the first that accepts a difference gives the reason."""


def reason(difference: Difference, exchange: Exchange) -> str | None:
    """Why a difference is accepted; None when it is not."""
    for rule in RULES:
        if rule.accepts(difference, exchange):
            return rule.reason
    return None
