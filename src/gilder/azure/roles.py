"""Azure roles as far as gilder's advice needs them: which action a refusal names, and the built-in role that grants it.

Source: Azure built-in roles, "Compute" and "General" (learn.microsoft.com), less what has nothing to do with images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

_OWN = re.compile(r"does not have authorization to perform action '([^']+)' over scope '([^']+)'")
_LINKED = re.compile(
    r"does not have permission to perform action(?:\(s\))? '([^']+)' on the (?:'\d+' )?linked scope\(s\) '([^']+)'"
)
_OBJECT = re.compile(r"with object id '([^']+)'")
_GROUP = re.compile(r"(/subscriptions/[^/]+(?:/resourceGroups/[^/]+)?)", re.IGNORECASE)

_DISK_ACTIONS = ("disks/read", "disks/write", "disks/delete")
_SNAPSHOT_ACTIONS = ("read", "write", "delete", "beginGetAccess/action", "endGetAccess/action")
_BUILT_IN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Compute Gallery Image Reader", ("galleries/images/read", "galleries/images/versions/read")),
    ("Reader", ("*/read",)),
    (
        "Disk Snapshot Contributor",
        ("disks/beginGetAccess/action", *(f"snapshots/{action}" for action in _SNAPSHOT_ACTIONS)),
    ),
    ("Virtual Machine Contributor", ("virtualMachines/*", "locations/*", *_DISK_ACTIONS)),
    (
        "Compute Gallery Artifacts Publisher",
        ("galleries/*", "images/*", "disks/write", "virtualMachines/write", "locations/capsOperations/read"),
    ),
)
"""The roles that hold actions of Microsoft.Compute, those that permit least first. Contributor has all."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a refusal says is missing: actions, and for each the scope. `who` is the caller's object id, "" if not said."""

    actions: tuple[str, ...]
    scopes: tuple[str, ...]
    who: str

    def told(self) -> str:
        """The missing actions with their scopes, in words."""
        return ", ".join(f"{action} on {scope}" for action, scope in zip(self.actions, self.scopes, strict=True))

    def advice(self) -> str:
        """The command that gives what is missing."""
        scopes = dict.fromkeys(assignable(scope) for scope in self.scopes)
        role, who = built_in_role(self.actions), self.who or "OBJECT_ID"
        commands = [f'az role assignment create --assignee {who} --role "{role}" --scope {scope}' for scope in scopes]
        return (
            f"the built-in role {role} grants it, docs/permissions.md has the least: {'; '.join(commands)} "
            "(a new assignment counts after some minutes)"
        )


def missing_permission(message: str) -> Missing | None:
    """Read Azure's texts of AuthorizationFailed and LinkedAuthorizationFailed; None when it is another text."""
    found = _OWN.search(message) or _LINKED.search(message)
    if found is None:
        return None
    actions, scopes = tuple(found[1].split(",")), tuple(found[2].split(","))
    if len(actions) != len(scopes):  # one action on several scopes, as older texts have it
        actions, scopes = (found[1],), (found[2],)
    who = _OBJECT.search(message)
    return Missing(actions, scopes, who[1] if who else "")


def built_in_role(actions: Iterable[str]) -> str:
    """The built-in role that grants all of these actions and least beyond."""
    wanted = [action.lower() for action in actions]
    for role, patterns in _BUILT_IN:
        whole = [p if p.startswith("*") else f"Microsoft.Compute/{p}" for p in patterns]
        if permitted(wanted, whole):
            return role
    return "Contributor"


def permitted(actions: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether each of the actions matches one of the patterns (`*` is any text, case does not count)."""
    lowered = [pattern.lower() for pattern in patterns]
    return all(any(fnmatchcase(action.lower(), pattern) for pattern in lowered) for action in actions)


def assignable(scope: str) -> str:
    """Where a role for a scope is best assigned: the resource group, for the resource itself may not be there yet."""
    found = _GROUP.match(scope)
    return found[1] if found else scope
