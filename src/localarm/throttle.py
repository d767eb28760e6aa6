"""Request limits: token buckets as Azure shows them in `x-ms-ratelimit-remaining-*`, and the 429 when one is empty.

Sizes are the highest remaining counts ever seen in recordings of 2024 and 2025 plus one; refills are those of Azure's
compute-throttling page, and where that page is silent what the policy's name says (per 3 or 30 minutes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from localarm.arm import Address, key
from localarm.clock import Clock, timestamp
from localarm.errors import Refused, gateway


@dataclass(frozen=True, slots=True)
class Policy:
    """One limit.

    Attributes:
        size: how many requests in one burst.
        refill: how many come back per minute.
        each: what has a bucket of its own: the `subscription`, the addressed `resource`, the `operation`, or a `principal`
            in a subscription.
    """

    name: str
    size: int
    refill: float
    each: str = "subscription"


def _window(name: str, in_3_minutes: int, in_30_minutes: int) -> tuple[Policy, ...]:
    return (
        Policy(f"{name}3Min", in_3_minutes, in_3_minutes / 3),
        Policy(f"{name}30Min", in_30_minutes, in_30_minutes / 30),
    )


def _machine(name: str) -> tuple[Policy, ...]:
    return Policy(f"{name}SubscriptionMaximum", 1500, 500), Policy(f"{name}Resource", 12, 4, "resource")


READ_MACHINE = (Policy("LowCostGetSubscriptionMaximum", 24000, 8000), Policy("LowCostGetResource", 36, 12, "resource"))
READ_DISK = _window("LowCostGet", 15000, 120000)
LIST_DISKS = _window("HighCostGet", 240, 1920)
WRITE_DISK = _window("CreateUpdateDisks", 3000, 25000)
DELETE_DISK = _window("DeleteDisks", 3000, 24000)
SNAPSHOT = _window("HighCostSnapshotCreateHydrate", 1000, 8000)
GRANT = _window("HighCostDiskHydrate", 1000, 8000)
CREATE_IMAGE = (Policy("CreateImagesSubscriptionMaximum", 60, 20),)

POLICIES: Mapping[tuple[str, str], tuple[Policy, ...]] = {
    ("PUT", "virtualmachines/{}"): _machine("PutVM"),
    ("PATCH", "virtualmachines/{}"): _machine("UpdateVM"),
    ("DELETE", "virtualmachines/{}"): _machine("DeleteVM"),
    ("GET", "virtualmachines/{}"): READ_MACHINE,
    ("GET", "virtualmachines/{}/instanceview"): READ_MACHINE,
    ("GET", "virtualmachines"): (Policy("HighCostGetSubscriptionMaximum", 900, 300),),
    ("POST", "virtualmachines/{}/attachdetachdatadisks"): tuple(reversed(_machine("AttachDetachVMDisks"))),
    ("POST", "virtualmachines/{}/deallocate"): _machine("DeleteVM"),
    ("POST", "virtualmachines/{}/poweroff"): _machine("UpdateVM"),
    ("POST", "virtualmachines/{}/start"): _machine("UpdateVM"),
    ("POST", "virtualmachines/{}/restart"): _machine("UpdateVM"),
    ("POST", "virtualmachines/{}/generalize"): _machine("UpdateVM"),
    ("PUT", "disks/{}"): WRITE_DISK,
    ("PATCH", "disks/{}"): WRITE_DISK,
    ("GET", "disks/{}"): READ_DISK,
    ("GET", "disks"): LIST_DISKS,
    ("DELETE", "disks/{}"): DELETE_DISK,
    ("POST", "disks/{}/begingetaccess"): GRANT,
    ("POST", "disks/{}/endgetaccess"): GRANT,
    ("PUT", "snapshots/{}"): SNAPSHOT,
    ("PATCH", "snapshots/{}"): WRITE_DISK,
    ("GET", "snapshots/{}"): READ_DISK,
    ("GET", "snapshots"): LIST_DISKS,
    ("DELETE", "snapshots/{}"): DELETE_DISK,
    ("POST", "snapshots/{}/begingetaccess"): SNAPSHOT,
    ("POST", "snapshots/{}/endgetaccess"): SNAPSHOT,
    ("PUT", "images/{}"): CREATE_IMAGE,
    ("PATCH", "images/{}"): CREATE_IMAGE,
    ("GET", "images/{}"): (Policy("GetImagesSubscriptionMaximum", 360, 120),),
    ("GET", "images"): (Policy("HighCostGetImagesSubscriptionMaximum", 90, 30),),
    ("DELETE", "images/{}"): (Policy("DeleteImagesSubscriptionMaximum", 120, 40),),
    ("PUT", "galleries/{}"): _window("CreateUpdateGallery", 50, 300),
    ("PATCH", "galleries/{}"): _window("CreateUpdateGallery", 50, 300),
    ("GET", "galleries/{}"): _window("GetGallery", 350, 2500),
    ("GET", "galleries"): _window("ListGalleryInResourceGroup", 100, 1000),
    ("DELETE", "galleries/{}"): _window("DeleteGallery", 50, 300),
    ("PUT", "galleries/{}/images/{}"): _window("CreateUpdateGalleryImage", 150, 750),
    ("PATCH", "galleries/{}/images/{}"): _window("CreateUpdateGalleryImage", 150, 750),
    ("GET", "galleries/{}/images/{}"): _window("GetGalleryImage", 600, 3000),
    ("GET", "galleries/{}/images"): _window("ListGalleryImagesInGallery", 1500, 10000),
    ("DELETE", "galleries/{}/images/{}"): _window("DeleteGalleryImage", 50, 300),
    ("PUT", "galleries/{}/images/{}/versions/{}"): _window("CreateUpdateGalleryImageVersion", 375, 1200),
    ("PATCH", "galleries/{}/images/{}/versions/{}"): _window("CreateUpdateGalleryImageVersion", 375, 1200),
    ("GET", "galleries/{}/images/{}/versions/{}"): _window("GetGalleryImageVersion", 2000, 10000),
    ("GET", "galleries/{}/images/{}/versions"): _window("ListGalleryImageVersionsInGalleryImage", 1500, 10000),
    ("DELETE", "galleries/{}/images/{}/versions/{}"): _window("DeleteGalleryImageVersion", 150, 1000),
    ("GET", "locations/{}/diskoperations/{}"): _window("GetOperation", 50000, 400000),
    ("GET", "locations/{}/capsoperations/{}"): _window("GetOperationStatus", 5000, 15000),
    ("GET", "locations/{}/operations/{}"): (
        Policy("GetOperationResource", 45, 15, "operation"),
        Policy("GetOperationSubscriptionMaximum", 15000, 5000),
    ),
    ("GET", "locations/{}/publishers/{}/artifacttypes/{}/offers"): _window("ListVMImageOffersFromLocation", 200, 1000),
    ("GET", "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus"): _window(
        "ListVMImageSkusFromLocation", 10000, 30000
    ),
    ("GET", "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus/{}/versions"): _window(
        "ListVMImagesVersionsFromLocation", 16000, 44000
    ),
    ("GET", "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus/{}/versions/{}"): _window(
        "GetVMImageFromLocation", 13000, 74000
    ),
}
"""The compute provider's limits by method and shape of path (`routes.shape`)."""

GATEWAY: Mapping[str, tuple[tuple[str, Policy], ...]] = {
    "writes": (
        ("x-ms-ratelimit-remaining-subscription-writes", Policy("writes", 200, 600, "principal")),
        ("x-ms-ratelimit-remaining-subscription-global-writes", Policy("global-writes", 3000, 9000)),
    ),
    "deletes": (
        ("x-ms-ratelimit-remaining-subscription-deletes", Policy("deletes", 200, 600, "principal")),
        ("x-ms-ratelimit-remaining-subscription-global-deletes", Policy("global-deletes", 3000, 9000)),
    ),
    "reads": (
        ("", Policy("reads", 250, 1500, "principal")),
        ("x-ms-ratelimit-remaining-subscription-global-reads", Policy("global-reads", 3750, 22500)),
    ),
}
"""Resource Manager's own limits by kind of method, with the header that shows what is left. None shows the reads of one
principal: recorded answers of 2024 and 2025 to reads have the global count alone."""

KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


class Bucket:
    """Tokens that come back steadily."""

    __slots__ = ("_left", "_policy", "_since")

    def __init__(self, policy: Policy, now: float) -> None:
        self._policy = policy
        self._left = float(policy.size)
        self._since = now

    def take(self, now: float) -> int | None:
        """Take a token: how many whole ones are left then, or None when there was none."""
        earned = (now - self._since) * self._policy.refill / 60
        self._left, self._since = min(float(self._policy.size), self._left + earned), now
        if self._left < 1:
            return None
        self._left -= 1
        return int(self._left)

    def full(self, now: float) -> bool:
        """Whether all tokens are back: then it is as good as a new one."""
        return self._left + (now - self._since) * self._policy.refill / 60 >= self._policy.size

    def wait(self) -> float:
        """Seconds until there is a token again."""
        return (1 - self._left) * 60 / self._policy.refill


class Throttle:
    """All buckets of a world. Where it is off, nothing is counted and the headers show full buckets."""

    def __init__(self, clock: Clock, *, on: bool) -> None:
        self.on = on
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def headers(self, method: str, shape: str, address: Address, principal: str = "") -> dict[str, str]:
        """Count one request; the headers that say what is left.

        Raises:
            Refused: 429, a bucket is empty.
        """
        found: dict[str, str] = {}
        for header, policy in GATEWAY[KINDS.get(method, "writes")]:
            left = self._left(policy, address, principal, by_gateway=True)
            if header:
                found[header] = str(left)
        if address.namespace.lower() == "microsoft.compute":
            policies = POLICIES.get((method, shape), ())
            counts = [f"Microsoft.Compute/{each.name};{self._left(each, address)}" for each in policies]
            if counts:
                found["x-ms-ratelimit-remaining-resource"] = ",".join(counts)
        return found

    def forget(self) -> None:
        """Drop the buckets that are full: each polled operation has one of its own."""
        now = self._clock()
        self._buckets = {owner: bucket for owner, bucket in self._buckets.items() if not bucket.full(now)}

    def _left(self, policy: Policy, address: Address, principal: str = "", *, by_gateway: bool = False) -> int:
        if not self.on:
            return policy.size - 1
        owner = address.subscription.lower()
        if policy.each == "resource":
            owner = key(address.resource.id)
        elif policy.each == "operation":
            owner = address.names[-1].lower()
        elif policy.each == "principal":
            owner = f"{owner}/{principal}"
        now = self._clock()
        bucket = self._buckets.get((policy.name, owner))
        if bucket is None:
            bucket = self._buckets[policy.name, owner] = Bucket(policy, now)
        left = bucket.take(now)
        if left is None:
            wait = max(1, math.ceil(bucket.wait()))
            if by_gateway:
                raise self._gateway_refusal(policy, wait, address)
            raise self._provider_refusal(policy, wait, address)
        return left

    def _gateway_refusal(self, policy: Policy, wait: int, address: Address) -> Refused:
        message = (
            f"Number of requests for subscription '{address.subscription}' exceeded the limit '{policy.name}' of "
            f"'{policy.size}'. Please try again after '{wait}' seconds."
        )
        return gateway(429, "SubscriptionRequestsThrottled", message, {"Retry-After": str(wait)})

    def _provider_refusal(self, policy: Policy, wait: int, address: Address) -> Refused:
        now = self._clock()
        measured = {
            "operationGroup": policy.name, "startTime": timestamp(now), "endTime": timestamp(now + wait),
            "allowedRequestCount": policy.size, "measuredRequestCount": policy.size + 1,
        }  # fmt: skip
        return throttled(policy.name, wait, json.dumps(measured, separators=(",", ":")))


def throttled(policy: str, wait: int, measured: str = "") -> Refused:
    """429 by the compute provider."""
    return Refused(
        429,
        "OperationNotAllowed",
        "The server rejected the request because too many requests have been received for this subscription.",
        headers={"Retry-After": str(wait), "x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{policy};0"},
        details=[{"code": "TooManyRequests", "target": policy, "message": measured}],
    )
