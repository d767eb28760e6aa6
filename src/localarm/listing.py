"""Resources across kinds: listed by tag or type, tagged, and the provider that has them."""

from __future__ import annotations

import re

from localarm import laws
from localarm.arm import Address, key
from localarm.calls import Call, listed, not_found
from localarm.errors import Refused
from localarm.filters import equalities
from localarm.messages import Json, Response
from localarm.resources import Resource
from localarm.values import tags_lawful

FILTERS = ("tagname", "tagvalue", "resourcetype", "resourcegroup", "name", "location")

TOP_LEVEL = (
    "disks",
    "snapshots",
    "images",
    "galleries",
    "virtualmachines",
    "galleries/images",
    "galleries/images/versions",
)


def resources(call: Call) -> Response:
    """List resources of a subscription or group; `$filter` with `tagName`, `tagValue`, `resourceType`, `name`, `location`."""
    text = {name.lower(): value for name, value in call.request.query.items()}.get("$filter", "")
    wanted = equalities(text, FILTERS)
    found = [each for kind in TOP_LEVEL for each in call.world.all(kind, call.scope) if _matches(each, wanted)]
    return listed([_entry(each) for each in found])


def get_tags(call: Call) -> Response:
    """Show the tags of one resource."""
    return Response(200, _tags(call, _target(call)))


def put_tags(call: Call) -> Response:
    """Replace the tags of one resource."""
    return _write(call, "replace")


def patch_tags(call: Call) -> Response:
    """Merge, replace or delete tags of one resource."""
    return _write(call, str(call.body().get("operation", "")).lower())


def provider(call: Call) -> Response:
    """Show the provider: registered, always."""
    types = [
        "disks",
        "snapshots",
        "images",
        "galleries",
        "galleries/images",
        "galleries/images/versions",
        "virtualMachines",
        "locations",
    ]
    body = {
        "id": f"/subscriptions/{call.address.subscription}/providers/Microsoft.Compute",
        "namespace": "Microsoft.Compute",
        "authorizations": [],
        "resourceTypes": [{"resourceType": each, "apiVersions": ["2024-07-01"]} for each in types],
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
    }
    return Response(200, body)


def _matches(resource: Resource, wanted: dict[str, str]) -> bool:
    tags = resource.body.get("tags") or {}
    name = wanted.get("tagname")
    if name is not None and name not in tags:
        return False
    if "tagvalue" in wanted and tags.get(name) != wanted["tagvalue"]:
        return False
    checks = {
        "resourcetype": str(resource.body["type"]),
        "name": resource.name,
        "location": resource.location,
        "resourcegroup": key(resource.id).split("/")[4],
    }
    return all(value.lower() == checks[each].lower() for each, value in wanted.items() if each in checks)


def _entry(resource: Resource) -> Json:
    members = ("id", "name", "type", "location", "managedBy", "zones", "sku", "tags", "identity")
    return {member: resource.body[member] for member in members if member in resource.body}


def _target(call: Call) -> Resource:
    address = Address.parse(re.sub(r"(?i)/providers/Microsoft\.Resources/tags/default/?$", "", call.request.path))
    assert address is not None
    found = call.world.find(address.kind, address.id)
    if found is None:
        raise not_found(address)
    if call.request.method != "GET":
        laws.group_stays(laws.group_exists(call.world, address))
    return found


def _tags(call: Call, resource: Resource) -> Json:
    tags_id = f"{resource.id}/providers/Microsoft.Resources/tags/default"
    properties = {"tags": resource.body.get("tags") or {}}
    return {"id": tags_id, "name": "default", "type": "Microsoft.Resources/tags", "properties": properties}


def _write(call: Call, how: str) -> Response:
    resource = _target(call)
    given: Json = (call.body().get("properties") or {}).get("tags") or {}
    present: Json = resource.body.get("tags") or {}
    if how == "merge":
        tags = {**present, **given}
    elif how == "replace":
        tags = given
    elif how == "delete":
        tags = {name: value for name, value in present.items() if given.get(name) != value}
    else:
        raise Refused(400, "InvalidRequestContent", f"The tags operation '{how}' is invalid: Merge, Replace or Delete.")
    tags_lawful(tags)
    return Response(200, _tags(call, call.world.put(resource.with_body(tags=tags))))
