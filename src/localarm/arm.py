"""Addresses of Resource Manager: a path's subscription, group, types and names."""

from __future__ import annotations

from dataclasses import dataclass

COMPUTE = "Microsoft.Compute"

SPELLING = {
    name.lower(): name
    for name in (
        "disks",
        "snapshots",
        "images",
        "galleries",
        "versions",
        "virtualMachines",
        "locations",
        "resourceGroups",
    )
}
"""How the services spell the types in the ids they give out."""


@dataclass(frozen=True, slots=True)
class Address:
    """A path below `/subscriptions`, cut into types and names.

    `/subscriptions/S/resourceGroups/G/providers/N/a/x/b/y` has types (a, b) and names (x, y). One more type than
    names is a collection or an action. Compares by `key`, for Azure ignores case.
    """

    subscription: str
    group: str = ""
    namespace: str = ""
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, path: str) -> Address | None:
        """The address of `path`, or None where it is no Resource Manager path."""
        parts = [part for part in path.split("/") if part]
        if not parts or parts[0].lower() != "subscriptions":
            return None
        subscription = parts[1] if len(parts) > 1 else ""
        rest = parts[2:]
        group = ""
        if rest and rest[0].lower() == "resourcegroups":
            if len(rest) == 1:
                return cls(subscription, types=("resourceGroups",))
            group, rest = rest[1], rest[2:]
        if len(rest) > 1 and rest[0].lower() == "providers":
            return cls(subscription, group, rest[1], tuple(rest[2::2]), tuple(rest[3::2]))
        return cls(subscription, group, "", tuple(rest[0::2]), tuple(rest[1::2]))

    @property
    def id(self) -> str:
        """The canonical id of what is addressed."""
        text = f"/subscriptions/{self.subscription}"
        if self.group:
            text += f"/resourceGroups/{self.group}"
        if self.namespace:
            text += f"/providers/{self.namespace}"
        for index, kind in enumerate(self.types):
            text += f"/{SPELLING.get(kind.lower(), kind)}"
            if index < len(self.names):
                text += f"/{self.names[index]}"
        return text

    @property
    def kind(self) -> str:
        """The lower-case chain of types, such as `galleries/images/versions`."""
        if self.group and not self.namespace and not self.types:
            return "resourcegroups"
        return "/".join(self.types).lower()

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1] if self.names else self.group

    @property
    def type(self) -> str:
        """The full resource type, such as `Microsoft.Compute/disks`."""
        return "/".join((self.namespace, *(SPELLING.get(kind.lower(), kind) for kind in self.types)))

    @property
    def resource(self) -> Address:
        """The resource itself, where this is an action on it or a collection below it."""
        return Address(self.subscription, self.group, self.namespace, self.types[: len(self.names)], self.names)

    @property
    def parent(self) -> Address:
        """The resource one level up."""
        return Address(
            self.subscription, self.group, self.namespace, self.types[:-1], self.names[: len(self.types) - 1]
        )


def key(resource_id: str) -> str:
    """The form of an id that compares equal whatever its case."""
    return resource_id.rstrip("/").lower()


def name_of(resource_id: str) -> str:
    """The last part of an id."""
    return resource_id.rstrip("/").rpartition("/")[2]
