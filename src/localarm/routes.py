"""Which Resource Manager calls exist."""

from __future__ import annotations

from dataclasses import dataclass

from localarm import (
    access,
    disks,
    galleries,
    groups,
    images,
    listing,
    machines,
    platform_images,
    polls,
    skus,
    snapshots,
    versions,
    vms,
)
from localarm.calls import Handler


@dataclass(frozen=True, slots=True)
class Route:
    """One call: a method on a shape of path.

    Attributes:
        path: the shape below the scope, names left out: `disks` and `disks/{}` are different shapes.
        honoured: which properties of the request it acts on; others are accepted and ignored.
        since: the oldest api-version that has it.
    """

    method: str
    path: str
    handler: Handler
    honoured: str = ""
    since: str = "2015-01-01"
    scope: str = "group"
    group_needed: bool = True


COMPUTE = (
    Route("PUT", "disks/{}", disks.put, "location, zones, tags, sku.name, diskSizeGB, creationData"),
    Route("PATCH", "disks/{}", disks.patch, "tags, sku.name, diskSizeGB (grow only)"),
    Route("GET", "disks/{}", disks.get),
    Route("DELETE", "disks/{}", disks.delete),
    Route("GET", "disks", disks.lists, scope="any"),
    Route("PUT", "snapshots/{}", snapshots.put, "location, tags, sku.name, creationData (Copy, Empty), incremental"),
    Route("PATCH", "snapshots/{}", snapshots.patch, "tags, sku.name"),
    Route("GET", "snapshots/{}", snapshots.get),
    Route("DELETE", "snapshots/{}", snapshots.delete),
    Route("GET", "snapshots", snapshots.lists, scope="any"),
    Route("PUT", "images/{}", images.put, "location, tags, storageProfile, hyperVGeneration"),
    Route("PATCH", "images/{}", images.patch, "tags"),
    Route("GET", "images/{}", images.get),
    Route("DELETE", "images/{}", images.delete),
    Route("GET", "images", images.lists, scope="any"),
    Route("POST", "disks/{}/beginGetAccess", access.grant, "access, durationInSeconds"),
    Route("POST", "disks/{}/endGetAccess", access.revoke),
    Route("POST", "snapshots/{}/beginGetAccess", access.grant, "access, durationInSeconds"),
    Route("POST", "snapshots/{}/endGetAccess", access.revoke),
    Route("PUT", "galleries/{}", galleries.put_gallery, "location, tags, description"),
    Route("PATCH", "galleries/{}", galleries.patch_gallery, "tags, description"),
    Route("GET", "galleries/{}", galleries.get_gallery),
    Route("DELETE", "galleries/{}", galleries.delete_gallery),
    Route("GET", "galleries", galleries.list_galleries, scope="any"),
    Route(
        "PUT",
        "galleries/{}/images/{}",
        galleries.put_definition,
        "location, tags, description, osType, osState, identifier, hyperVGeneration, architecture, "
        "features, endOfLifeDate, recommended",
    ),
    Route(
        "PATCH", "galleries/{}/images/{}", galleries.patch_definition, "tags, description, endOfLifeDate, recommended"
    ),
    Route("GET", "galleries/{}/images/{}", galleries.get_definition),
    Route("DELETE", "galleries/{}/images/{}", galleries.delete_definition),
    Route("GET", "galleries/{}/images", galleries.list_definitions),
    Route(
        "PUT",
        "galleries/{}/images/{}/versions/{}",
        versions.put,
        "location, tags, publishingProfile, storageProfile, safetyProfile",
    ),
    Route("PATCH", "galleries/{}/images/{}/versions/{}", versions.patch, "tags, publishingProfile"),
    Route("GET", "galleries/{}/images/{}/versions/{}", versions.get, "$expand=ReplicationStatus"),
    Route("DELETE", "galleries/{}/images/{}/versions/{}", versions.remove),
    Route("GET", "galleries/{}/images/{}/versions", versions.lists),
    Route("GET", "virtualMachines/{}", vms.get, "$expand=instanceView"),
    Route("GET", "virtualMachines/{}/instanceView", vms.instance_view),
    Route(
        "PUT",
        "virtualMachines/{}",
        machines.put,
        "location, zones, tags, identity, hardwareProfile, storageProfile, osProfile, networkProfile, If-Match",
    ),
    Route("DELETE", "virtualMachines/{}", machines.delete),
    Route("POST", "virtualMachines/{}/deallocate", machines.deallocate),
    Route("POST", "virtualMachines/{}/powerOff", machines.power_off),
    Route("POST", "virtualMachines/{}/start", machines.start),
    Route("POST", "virtualMachines/{}/restart", machines.restart),
    Route("POST", "virtualMachines/{}/generalize", machines.generalize),
    Route("PATCH", "virtualMachines/{}", vms.patch, "tags, storageProfile.dataDisks, If-Match"),
    Route(
        "POST",
        "virtualMachines/{}/attachDetachDataDisks",
        vms.attach_detach,
        "dataDisksToAttach, dataDisksToDetach",
        "2024-03-01",
    ),
    Route("GET", "virtualMachines", vms.lists, scope="any"),
    Route("GET", "", listing.provider, scope="subscription"),
    Route("GET", "skus", skus.skus, "$filter=location eq", scope="subscription"),
    Route("GET", "locations/{}/publishers", platform_images.publishers, scope="subscription"),
    Route("GET", "locations/{}/publishers/{}/artifacttypes/{}/offers", platform_images.offers, scope="subscription"),
    Route(
        "GET", "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus", platform_images.skus, scope="subscription"
    ),
    Route(
        "GET",
        "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus/{}/versions",
        platform_images.versions,
        "$top, $orderby, $expand",
        scope="subscription",
    ),
    Route(
        "GET",
        "locations/{}/publishers/{}/artifacttypes/{}/offers/{}/skus/{}/versions/{}",
        platform_images.version,
        scope="subscription",
    ),
    Route("GET", "locations/{}/DiskOperations/{}", polls.status, scope="subscription"),
    Route("GET", "locations/{}/operations/{}", polls.status, scope="subscription"),
    Route("GET", "locations/{}/capsOperations/{}", polls.status, scope="subscription"),
)
"""Calls of the provider Microsoft.Compute."""

RESOURCES = (
    Route("GET", "", groups.subscription, scope="subscription"),
    Route("GET", "resourceGroups", groups.lists, scope="subscription"),
    Route("GET", "", groups.get),
    Route("HEAD", "", groups.exists, group_needed=False),
    Route("PUT", "", groups.put, "location, tags", group_needed=False),
    Route("PATCH", "", groups.patch, "tags"),
    Route("DELETE", "", groups.delete),
    Route("GET", "operationresults/{}", groups.result, scope="subscription"),
    Route(
        "GET", "resources", listing.resources, "$filter (tagName, tagValue, resourceType, name, location)", scope="any"
    ),
)
"""Calls of Resource Manager itself."""

TAGS = {"GET": listing.get_tags, "PUT": listing.put_tags, "PATCH": listing.patch_tags}
"""Calls on `{resource}/providers/Microsoft.Resources/tags/default`, for any resource."""


def _table(namespace: str, routes: tuple[Route, ...]) -> dict[tuple[str, str, str, str], Route]:
    found = {}
    for route in routes:
        scopes = ("group", "subscription") if route.scope == "any" else (route.scope,)
        for scope in scopes:
            found[route.method, namespace, scope, route.path.lower()] = route
    return found


TABLE = {**_table("microsoft.compute", COMPUTE), **_table("", RESOURCES)}


def shape(types: tuple[str, ...], names: tuple[str, ...]) -> str:
    """The shape of a path: its types, with `{}` for each name."""
    parts = []
    for index, kind in enumerate(types):
        parts.append(kind.lower())
        if index < len(names):
            parts.append("{}")
    return "/".join(parts)
