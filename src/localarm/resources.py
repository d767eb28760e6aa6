"""A resource: its document as the wire shows it, and what localarm keeps beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from localarm.arm import key
from localarm.messages import Json

ORDER = (
    "name",
    "id",
    "type",
    "location",
    "managedBy",
    "identity",
    "zones",
    "extendedLocation",
    "tags",
    "sku",
    "properties",
)
"""In which order the services write the members of a document (recorded)."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the world.

    Attributes:
        kind: lower-case chain of types, such as `disks` or `galleries/images/versions`.
        body: the document that GET shows. Never changed in place.
        blob: name of the raw disk behind it in the blob store; empty when there is none.
        hidden: what no client sees: the number of writes (etag), copies by lun, grants.
    """

    kind: str
    body: Json
    blob: str = ""
    hidden: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id as it was first written."""
        found: str = self.body["id"]
        return found

    @property
    def key(self) -> str:
        """The id in the form that compares equal."""
        return key(self.id)

    @property
    def name(self) -> str:
        """The last name of the id."""
        return self.id.rpartition("/")[2]

    @property
    def location(self) -> str:
        """The region, such as `westeurope`."""
        return str(self.body.get("location", ""))

    @property
    def properties(self) -> Json:
        """The `properties` object (not to be changed in place)."""
        found: Json = self.body.get("properties", {})
        return found

    @property
    def state(self) -> str:
        """The provisioningState."""
        return str(self.properties.get("provisioningState", ""))

    @property
    def etag(self) -> int:
        """How often it was written; virtual machines show this."""
        return int(self.hidden.get("etag", 0))

    def with_properties(self, **changes: Any) -> Resource:
        """The same with some properties replaced in place; None removes one."""
        found = {**self.properties, **changes}
        return self.with_body(properties={name: value for name, value in found.items() if value is not None})

    def with_body(self, **changes: Any) -> Resource:
        """The same with some top-level members replaced; None removes one, a new one comes to its place."""
        found = {**self.body, **changes}
        for name in [each for each in changes if each not in self.body and each in ORDER]:
            later = {each: found[each] for each in ORDER[ORDER.index(name) + 1 :] if each in self.body}
            found = {**{each: value for each, value in found.items() if each not in later}, **later}
        return replace(self, body={name: value for name, value in found.items() if value is not None})

    def with_hidden(self, **changes: Any) -> Resource:
        """The same with some hidden facts replaced."""
        return replace(self, hidden={**self.hidden, **changes})


def document(resource_id: str, resource_type: str, location: str, **members: Any) -> Json:
    """A document in the order the services write it: name, id, type, location, then `members` (None left out)."""
    head = {"name": resource_id.rpartition("/")[2], "id": resource_id, "type": resource_type, "location": location}
    return {**head, **{name: value for name, value in members.items() if value is not None}}
