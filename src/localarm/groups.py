"""Subscriptions and resource groups."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from localarm import laws, machines, vms
from localarm.arm import key
from localarm.calls import Call, listed
from localarm.errors import Refused, gateway, not_allowed
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.resources import Resource
from localarm.world import World

KIND = "resourcegroups"


def subscription(call: Call) -> Response:
    """Show a subscription."""
    return Response(200, _subscription(call.world, call.address.subscription))


def subscriptions(call: Call) -> Response:
    """List the subscriptions."""
    names = call.world.settings.subscriptions
    found = listed([_subscription(call.world, name) for name in names])
    found.payload["count"] = {"type": "Total", "value": len(names)}
    return found


def get(call: Call) -> Response:
    """Show a resource group."""
    return Response(200, laws.group_exists(call.world, call.address).body)


def exists(call: Call) -> Response:
    """204 when the group is there, else 404."""
    return Response(204 if call.world.find(KIND, call.id) else 404)


def put(call: Call) -> Response:
    """Create a resource group, or change its tags."""
    body = call.body()
    location = laws.location_known(call.world, body)
    found = call.world.find(KIND, call.id)
    if found is not None:
        laws.group_stays(found)
        laws.same_place(found, location)
        return Response(200, call.world.put(found.with_body(tags=body.get("tags"))).body)
    return Response(201, call.world.put(made(call.id, location, body.get("tags"))).body)


def lists(call: Call) -> Response:
    """List the resource groups of a subscription."""
    return listed([each.body for each in call.world.all(KIND, f"/subscriptions/{call.address.subscription}")])


def made(group_id: str, location: str, tags: Json | None = None) -> Resource:
    """A resource group."""
    body: Json = {
        "id": group_id,
        "name": group_id.rpartition("/")[2],
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
    }
    if tags is not None:
        body["tags"] = tags
    return Resource(KIND, {**body, "properties": {"provisioningState": "Succeeded"}})


def known_subscription(world: World, name: str) -> None:
    """The subscription exists.

    Raises:
        Refused: 404 SubscriptionNotFound, or 400 InvalidSubscriptionId for what is no GUID.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", name):
        message = f"The provided subscription identifier '{name}' is malformed or invalid."
        raise gateway(400, "InvalidSubscriptionId", message)
    if name.lower() not in {each.lower() for each in world.settings.subscriptions}:
        raise gateway(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")


def _subscription(world: World, name: str) -> Json:
    return {
        "id": f"/subscriptions/{name}", "authorizationSource": "RoleBased", "managedByTenants": [],
        "subscriptionId": name, "tenantId": world.settings.tenant, "displayName": "localarm", "state": "Enabled",
        "subscriptionPolicies": {"quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    }  # fmt: skip


def delete(call: Call) -> Response:
    """Delete a resource group with everything in it."""
    world = call.world
    group = laws.group_exists(world, call.address)
    if key(world.settings.host_id).startswith(group.key + "/"):
        raise not_allowed(f"Resource group '{group.name}' holds this machine itself and cannot be deleted (localarm).")
    operation = next(iter(world.running(group.id)), None)  # a second wish is the same wish
    if operation is None:
        world.put(group.with_properties(provisioningState="Deleting"))
        operation = world.begin(
            "operationresults", "group.delete", group.id, location=group.location, api_version=call.api_version,
            steps=[Step(world.clock() + world.lasts("group.delete"), "group.removed")],
        )  # fmt: skip
    return Response(202, None, {"Location": operation.url(call.request.base), "Retry-After": "15"})


def result(call: Call) -> Response:
    """What polling the deletion of a group answers: 202 until it is done, then 200."""
    found = call.world.operation(call.address.names[-1].lower())
    if found is None:
        raise gateway(404, "NotFound", "The operation result was not found.")
    if found.status == "InProgress":
        return Response(202, None, {"Location": found.url(call.request.base), "Retry-After": "15"})
    if found.error is not None:
        return Response(409, {"error": found.error})
    return Response(200)


def removed(world: World, operation: Operation, args: Json, at: float) -> None:
    """The last step of deleting a group: what can go goes, machines first; whatever has to stay keeps the group.

    Raises:
        Refused: 409 ResourceGroupDeletionBlocked.
    """
    group = world.find(KIND, operation.target)
    if group is None:
        return
    kept: dict[str, Refused] = {}
    for kind in LEAVING:
        for resource in world.all(kind, group.id):
            try:
                _may_leave(world, resource)
            except Refused as refusal:
                kept[resource.id] = refusal
            else:
                machines.remove(world, resource, at) if kind == vms.KIND else world.remove(resource)
    if kept:
        raise _blocked(world, group, kept)
    world.remove(group)


LEAVING = (
    vms.KIND, "disks", "snapshots", "images", "galleries/images/versions", "galleries/images", "galleries",
)  # fmt: skip
"""Kinds of resources in the order in which a group that is deleted loses them."""


def _may_leave(world: World, resource: Resource) -> None:
    """A resource may be deleted.

    Raises:
        Refused: why it may not.
    """
    laws.not_changing(world, resource)
    laws.no_access_granted(resource)
    if resource.kind == "disks":
        laws.not_attached(world, resource)
    for kind in LEAVING:
        if kind.startswith(resource.kind + "/"):
            laws.no_children(world, resource, kind)


def _blocked(world: World, group: Resource, kept: Mapping[str, Refused]) -> Refused:
    named = ",".join(each.partition("/providers/")[2] for each in kept)
    return Refused(
        409,
        "ResourceGroupDeletionBlocked",
        f"Deletion of resource group '{group.name}' failed as resources with identifiers '{named}' could not be deleted. "
        f"The provisioning state of the resource group will be rolled back. The tracking Id is '{world.new_id()}'. Please "
        "check audit logs for more details.",
        details=[{"target": each, "message": json.dumps({"error": why.error()})} for each, why in kept.items()],
    )


def patch(call: Call) -> Response:
    """Change the tags of a group."""
    found = laws.group_exists(call.world, call.address)
    return Response(200, call.world.put(found.with_body(tags=call.body().get("tags", found.body.get("tags")))).body)
