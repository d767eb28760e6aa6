"""Galleries and image definitions."""

from __future__ import annotations

from localarm import laws, quotas
from localarm.calls import Call, accepted, listed
from localarm.errors import Refused, invalid
from localarm.messages import Json, Response
from localarm.operations import Operation, Step
from localarm.resources import Resource, document
from localarm.world import World

GALLERY = "galleries"
DEFINITION = "galleries/images"
VERSION = "galleries/images/versions"

FIXED = ("osType", "osState", "hyperVGeneration", "architecture", "identifier")
"""What of a definition can never be changed."""


def put_gallery(call: Call) -> Response:
    """Create a gallery, or update its description and tags."""
    body = call.body()
    laws.gallery_name_fits(call.address.name)
    location = laws.location_known(call.world, body)
    found = call.world.find(GALLERY, call.id)
    if found is not None:
        return _update(call, found, body, "gallery.update")
    quotas.below_gallery_quota(call.world, call.address, location)
    unique = f"{call.address.subscription}-{call.address.name.upper()}"
    asked = body.get("properties") or {}
    properties = {
        "description": asked.get("description"),
        "identifier": {"uniqueName": unique},
        "provisioningState": "Creating",
    }
    return _create(call, GALLERY, location, body, properties, "gallery.create")


def put_definition(call: Call) -> Response:
    """Create an image definition, or update what of it may change."""
    body = call.body()
    laws.definition_name_fits(call.address.name)
    location = laws.location_known(call.world, body)
    found = call.world.find(DEFINITION, call.id)
    asked = body.get("properties") or {}
    if found is not None:
        for name in FIXED:
            if name in asked and asked[name] != found.properties.get(name):
                raise Refused(
                    409,
                    "PropertyChangeNotAllowed",
                    f"Changing property 'galleryImage.properties.{name}' is not allowed.",
                    target=f"galleryImage.properties.{name}",
                )
        return _update(call, found, body, "definition.update")
    quotas.below_gallery_quota(call.world, call.address, location)
    laws.definition_complete(asked)
    laws.identifier_unused(call.world, call.address.parent.id, asked["identifier"])
    identifier = asked["identifier"]
    properties = {
        "description": asked.get("description"),
        "hyperVGeneration": asked.get("hyperVGeneration", "V1"),
        "architecture": asked.get("architecture", "x64"),
        "features": asked.get("features"),
        "osType": asked["osType"],
        "osState": asked["osState"],
        "endOfLifeDate": asked.get("endOfLifeDate"),
        "identifier": {name: identifier[name] for name in ("publisher", "offer", "sku")},
        "recommended": asked.get("recommended"),
        "provisioningState": "Creating",
    }
    return _create(call, DEFINITION, location, body, properties, "definition.create")


def get_gallery(call: Call) -> Response:
    """Show a gallery."""
    return Response(200, call.resource(GALLERY).body)


def get_definition(call: Call) -> Response:
    """Show an image definition."""
    return Response(200, call.resource(DEFINITION).body)


def list_galleries(call: Call) -> Response:
    """List the galleries of a group or a subscription."""
    return listed([each.body for each in call.world.all(GALLERY, call.scope)])


def list_definitions(call: Call) -> Response:
    """List the definitions of a gallery."""
    return listed([each.body for each in call.world.all(DEFINITION, call.id)])


def patch_gallery(call: Call) -> Response:
    """Update description and tags."""
    return _update(call, call.resource(GALLERY), call.body(), "gallery.update")


def patch_definition(call: Call) -> Response:
    """Update what of a definition may change."""
    return _update(call, call.resource(DEFINITION), call.body(), "definition.update")


def delete_gallery(call: Call) -> Response:
    """Delete an empty gallery."""
    return delete(call, GALLERY, DEFINITION, "gallery.delete")


def delete_definition(call: Call) -> Response:
    """Delete a definition without versions."""
    return delete(call, DEFINITION, VERSION, "definition.delete")


def delete(call: Call, kind: str, children: str, operation_kind: str) -> Response:
    """Delete something of a gallery that has nothing below it."""
    found = call.world.find(kind, call.id)
    if found is None:
        return Response(204)
    laws.no_children(call.world, found, children)
    laws.not_changing(call.world, found)
    call.world.put(found.with_properties(provisioningState="Deleting"))
    operation = begin(call, found, operation_kind, "removed")
    return accepted(call, 202, None, operation, location=True)


def begin(call: Call, resource: Resource, kind: str, last: str, work: Json | None = None) -> Operation:
    """Start an operation of the gallery provider with one step."""
    world: World = call.world
    return world.begin(
        "capsOperations",
        kind,
        resource.id,
        location=resource.location,
        api_version=call.api_version,
        steps=[Step(world.clock() + world.lasts(kind), last)],
        work=work,
    )


def _create(call: Call, kind: str, location: str, body: Json, properties: Json, operation_kind: str) -> Response:
    shown = {name: value for name, value in properties.items() if value is not None}
    payload = document(call.id, call.address.type, location, tags=body.get("tags"), properties=shown)
    resource = call.world.put(Resource(kind, payload))
    return accepted(call, 201, payload, begin(call, resource, operation_kind, "settled"), location=False)


def _update(call: Call, found: Resource, body: Json, kind: str) -> Response:
    laws.not_changing(call.world, found)
    laws.same_place(found, str(body.get("location", "")))
    asked = body.get("properties") or {}
    for name in asked:
        if name not in ("description", "recommended", "endOfLifeDate", "disallowed", "eula", "features", *FIXED):
            raise invalid(f"properties.{name}", f"The property '{name}' cannot be changed here.")
    changes = {name: asked[name] for name in ("description", "recommended", "endOfLifeDate") if name in asked}
    state = (
        "Succeeded" if found.kind == GALLERY else "Updating"
    )  # an update of a gallery shows its end at once (recorded)
    changed = found.with_properties(**changes, provisioningState=state).with_body(
        tags=body.get("tags", found.body.get("tags"))
    )
    call.world.put(changed)
    return accepted(call, 200, changed.body, begin(call, changed, kind, "settled"), location=False)
