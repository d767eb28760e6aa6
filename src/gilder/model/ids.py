"""Azure Resource Manager ids as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_SHAPE = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Compute/TYPE/NAME"
_SUBSCRIPTION = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, eq=False)
class ArmId:
    """The id of one Azure resource; prints as given, compares without regard to case, as Azure does.

    `types` and `names` run in parallel: a gallery image version has the types ("galleries", "images",
    "versions") and the three names that go with them.
    """

    subscription: str
    resource_group: str
    provider: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ArmId:
        """Read an id; raises ValueError with what is wrong and the shape that is expected."""
        parts = text.strip().strip("/").split("/")
        if (
            len(parts) < 8
            or len(parts) % 2
            or [p.lower() for p in parts[:6:2]] != ["subscriptions", "resourcegroups", "providers"]
        ):
            raise ValueError(f"{text!r} is not a resource id; expected {_SHAPE}")
        if empty := [k for k, v in zip(parts[::2], parts[1::2], strict=True) if not v.strip()]:
            raise ValueError(f"the part after {empty[0]!r} is empty in {text!r}")
        if not _SUBSCRIPTION.fullmatch(parts[1]):
            raise ValueError(f"{parts[1]!r} is not a subscription id (a GUID is expected) in {text!r}")
        return cls(parts[1], parts[3], parts[5], tuple(parts[6::2]), tuple(parts[7::2]))

    @property
    def name(self) -> str:
        """The last name: that of the resource itself."""
        return self.names[-1]

    @property
    def type(self) -> str:
        """The full type, such as `Microsoft.Compute/disks`."""
        return "/".join((self.provider, *self.types))

    def is_type(self, *types: str) -> bool:
        """Whether this is a Microsoft.Compute resource of the types given, such as ("galleries", "images", "versions")."""
        mine = [self.provider, *self.types]
        return [t.lower() for t in mine] == [t.lower() for t in ("Microsoft.Compute", *types)]

    def sibling(self, type_: str, name: str) -> ArmId:
        """A resource of another type in the same group and provider."""
        return ArmId(self.subscription, self.resource_group, self.provider, (type_,), (name,))

    def parent(self) -> ArmId:
        """The resource that holds this one: of a version the image definition."""
        return ArmId(self.subscription, self.resource_group, self.provider, self.types[:-1], self.names[:-1])

    def __str__(self) -> str:
        tail = "/".join(f"{t}/{n}" for t, n in zip(self.types, self.names, strict=True))
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}/providers/{self.provider}/{tail}"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArmId) and str(self).lower() == str(other).lower()

    def __hash__(self) -> int:
        return hash(str(self).lower())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: object) -> ArmId:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                return cls.parse(value)
            raise ValueError("a resource id must be a string")

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
            json_schema_input_schema=core_schema.str_schema(),
        )
