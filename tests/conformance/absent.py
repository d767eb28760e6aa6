"""What Azure has and localarm has not, by name: nothing else may be answered 501, or refused for being unknown here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance.flows import Exchange

from localarm.routes import shape

TYPES = (
    "availabilitySets", "capacityReservationGroups", "cloudServices", "diskAccesses", "diskEncryptionSets", "hostGroups",
    "payloadGroups", "proximityPlacementGroups", "restorePointCollections", "sharedVMImages", "sshPublicKeys",
    "virtualMachineScaleSets",
)  # fmt: skip
"""Types of Microsoft.Compute, with everything below them (Azure lists them in its answer to GET of the provider)."""
PLACES = (
    "artifactPublishers", "cloudServiceOsFamilies", "cloudServiceOsVersions", "communityGalleries", "csoperations",
    "diagnosticOperations", "diagnostics", "edgeZones", "galleries", "logAnalytics", "placementRecommendations",
    "placementScores", "recommendations", "runCommands", "sharedGalleries", "spotEvictionRates", "spotPriceHistory",
    "usages", "virtualMachines", "virtualMachineScaleSets", "vmSizes",
)  # fmt: skip
"""What Microsoft.Compute has below a location."""
OF_MACHINES = (
    "assessPatches", "capture", "convertToManagedDisks", "extensions", "installPatches", "metricDefinitions",
    "performMaintenance", "reapply", "redeploy", "reimage", "retrieveBootDiagnosticsData", "runCommand", "runCommands",
    "simulateEviction", "VMApplications", "vmSizes",
)  # fmt: skip
OF_GALLERIES = ("applications", "inVMAccessControlProfiles", "share")
OF_RESOURCE_MANAGER = ("deployments", "exportTemplate", "locations", "moveResources", "providers", "tagNames")

CALLS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\w+ microsoft\.compute ({'|'.join(TYPES)})(/.*)?",
        rf"\w+ microsoft\.compute locations/{{}}/({'|'.join(PLACES)})(/.*)?",
        r"GET microsoft\.compute locations/{}/publishers/{}/artifacttypes/{}/types(/.*)?",  # of extensions
        rf"\w+ microsoft\.compute virtualMachines/{{}}/({'|'.join(OF_MACHINES)})(/.*)?",
        rf"\w+ microsoft\.compute galleries/{{}}/({'|'.join(OF_GALLERIES)})(/.*)?",
        r"POST microsoft\.compute (un)?register",
        rf"\w+ (microsoft\.resources)? ({'|'.join(OF_RESOURCE_MANAGER)})(/.*)?",
    )
)
"""Calls that localarm does not have; matched against `METHOD namespace shape`."""

OUTSIDE = re.compile(r"/tenants|/providers(/[^/]+(/operations)?)?", re.IGNORECASE)
"""Paths outside of subscriptions that localarm does not have."""
OPTIONS = ("Attach", "CopyFromSanSnapshot", "Import", "ImportSecure", "Restore", "UploadPreparedSecure")
"""How disks and snapshots can come about on Azure only."""
BLOBS = ("blobUri", "vhd", "storageAccountId")
DISKS = ("disks", "snapshots")
FOREIGN_GALLERIES = ("sharedGalleryImageId", "communityGalleryImageId")


def route(exchange: Exchange) -> tuple[str, str, str, str] | None:
    """Where `localarm.routes.TABLE` has the call that an exchange makes, or would; None of a login."""
    address = exchange.address
    if address is None:
        return None
    scope = "group" if address.group else "subscription"
    return exchange.method, address.namespace.lower(), scope, shape(address.types, address.names)


def not_had(exchange: Exchange) -> bool:
    """Whether localarm lacks the call altogether (it says so: 501)."""
    if exchange.address is None:
        return exchange.method == "GET" and OUTSIDE.fullmatch(exchange.path.rstrip("/")) is not None
    method, namespace, _, path = route(exchange) or ("", "", "", "")
    return any(pattern.fullmatch(f"{method} {namespace} {path}") for pattern in CALLS)


def not_known(exchange: Exchange) -> bool:
    """Whether the request asks for something that localarm has not, by a call that it has."""
    for name, value in _members(exchange.body):
        text = value if isinstance(value, str) else ""
        if name in BLOBS and value:
            return True
        if name in FOREIGN_GALLERIES:
            return True
        if name == "createOption" and text in OPTIONS and exchange.address and exchange.address.kind in DISKS:
            return True
        if re.search("/restorePointCollections/|/diskEncryptionSets/|/diskAccesses/", text, re.IGNORECASE):
            return True
    return False


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of an object and of all within it."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield name, child
            yield from _members(child)
    elif isinstance(value, list):
        for child in value:
            yield from _members(child)
