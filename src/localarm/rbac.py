"""Azure role-based access control: the actions that a call needs, and whether the roles of its caller hold them.

Facts and their sources. An action is `provider/type/verb`, a role holds patterns of them less other patterns, an assignment
gives a role on a scope and everything below it (Azure RBAC documentation). The actions of Microsoft.Compute are those of
"Azure permissions for Compute". Linked actions, those on other resources that a request names:

- source of a disk or snapshot: `beginGetAccess/action` on it (reported refusals: Azure/OpenShift 186, kubernetes 93020,
  azure-docs 11362); a gallery image version: `read` (azure-docs 96669); a disk encryption set: `read`
  (azuredisk-csi-driver 2610)
- source of a gallery image version: a disk, snapshot or machine `write`, an image or version `read` (azure-docs, table of
  permissions in "Create an image definition and an image version")
- reading what one may do: `Microsoft.Authorization/permissions/read` ("Azure permissions for Management and governance")
- a machine's network interfaces: `join/action`, its identities: `assign/action` (azuredisk-csi-driver 3112,
  aad-pod-identity 613)
- source of a managed image: `read`; a disk that is attached: `write`. Neither is documented: assumed.
- the address of an operation is signed, and it lies in the subscription even when all roles are on a group, which works; so
  the action of polling is looked for on the resource that the operation changes, too. Assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from localarm import laws
from localarm.arm import Address
from localarm.calls import Call
from localarm.errors import Refused, gateway
from localarm.messages import Json
from localarm.settings import BUILT_IN, Principal, Role, Settings

VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}
POLLS = {
    "locations/diskoperations": "diskOperations",
    "locations/operations": "operations",
    "locations/capsoperations": "capsOperations",
}
"""Kinds of poll addresses, with the documented spelling of their action."""
TAGS = "/providers/microsoft.resources/tags/default"
PERMISSIONS = "/providers/microsoft.authorization/permissions"


@dataclass(frozen=True, slots=True)
class Need:
    """An action on a scope (an id)."""

    action: str
    scope: str


def authorize(call: Call) -> tuple[Need, ...]:
    """Check that the caller may do this; returns what it took.

    Raises:
        Refused: 403 AuthorizationFailed, or LinkedAuthorizationFailed for a resource that the request names.
    """
    own = own_need(call)
    if not held(call, own):
        raise gateway(
            403,
            "AuthorizationFailed",
            f"{_client(call)} does not have authorization to perform action '{own.action}' over scope '{own.scope}' or "
            "the scope is invalid. If access was recently granted, please refresh your credentials.",
        )
    linked = tuple(linked_needs(call))
    missing = [need for need in linked if not held(call, need)]
    if missing:
        actions, scopes = (",".join(part) for part in zip(*((n.action, n.scope) for n in missing), strict=True))
        raise gateway(
            403,
            "LinkedAuthorizationFailed",
            f"{_client(call)} has permission to perform action '{own.action}' on scope '{own.scope}'; however, it does not "
            f"have permission to perform action(s) '{actions}' on the linked scope(s) '{scopes}' (respectively) or the "
            "linked scope(s) are invalid.",
        )
    return (own, *linked)


def _client(call: Call) -> str:
    assert call.principal is not None
    return f"The client '{call.principal.client_id}' with object id '{call.principal.object_id}'"


def held(call: Call, need: Need) -> bool:
    """Whether a role of the caller holds an action on a scope."""
    assert call.principal is not None
    scopes = [need.scope]
    if call.address.kind in POLLS and (operation := call.world.operation(call.address.name)) is not None:
        scopes.append(operation.target)
    settings = call.world.settings
    return any(permits(role, need.action) for scope in scopes for role in roles_on(settings, call.principal, scope))


def roles_on(settings: Settings, principal: Principal, scope: str) -> Iterator[Role]:
    """The roles that a principal has on a scope: assigned there or above."""
    custom = {role.name: role for role in settings.roles}
    inside = scope.rstrip("/").lower() + "/"
    for where, name in principal.roles:
        role = custom.get(name) or BUILT_IN.get(name)
        if role is not None and inside.startswith(where.rstrip("/").lower() + "/"):
            yield role


def permits(role: Role, action: str) -> bool:
    """Whether a role holds an action."""
    return _any(role.actions, action) and not _any(role.not_actions, action)


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def permissions(call: Call) -> Json:
    """What the caller may do on the scope before `/providers/Microsoft.Authorization/permissions`: one entry a role."""
    assert call.principal is not None
    if call.address.group:
        laws.group_exists(call.world, call.address)
    scope = call.request.path[: -len(PERMISSIONS)]
    value = [
        {
            "actions": list(role.actions),
            "notActions": list(role.not_actions),
            "dataActions": [],
            "notDataActions": [],
        }
        for role in roles_on(call.world.settings, call.principal, scope)
    ]
    return {"value": value}


def own_need(call: Call) -> Need:
    """The action of the call itself."""
    address, verb = call.address, VERBS[call.request.method]
    if call.request.path.lower().endswith(PERMISSIONS):
        return Need(f"Microsoft.Authorization/permissions/{verb}", call.request.path[: -len(PERMISSIONS)])
    if call.request.path.lower().rstrip("/").endswith(TAGS):
        return Need(f"Microsoft.Resources/tags/{verb}", call.request.path.rstrip("/"))
    if not address.namespace:
        kind = "/".join(("resourceGroups",) * bool(address.group) + address.types)
        return Need(f"Microsoft.Resources/subscriptions/{kind}/{verb}".replace("//", "/"), address.id)
    if address.kind in POLLS:
        return Need(f"{address.namespace}/locations/{POLLS[address.kind]}/read", call.scope)
    if not address.types:
        return Need(f"Microsoft.Resources/subscriptions/providers/{verb}", address.id)
    if not address.group:  # catalogues: refusals name the subscription (Azure/vagrant-azure 164)
        return Need(f"{address.type}/{verb}", call.scope)
    collection = len(address.types) > len(address.names)
    if collection and verb == "read":  # a list needs the action of its members, on what holds them
        return Need(f"{address.type}/read", _holder(address))
    return Need(f"{address.type}/{verb}", address.resource.id)


def _holder(address: Address) -> str:
    return address.resource.id if address.names else Address(address.subscription, address.group).id


def linked_needs(call: Call) -> Iterator[Need]:
    """The actions on other resources that a writing request names; none for one that is malformed, which is refused later."""
    find = _LINKS.get((call.request.method, call.address.kind))
    if find is None:
        return
    try:
        body = call.body()
    except Refused:
        return
    for resource_id, verb in find(body):
        address = Address.parse(str(resource_id))
        if address is not None and address.namespace:
            yield Need(f"{address.type}/{verb}", str(resource_id))


Links = Iterator[tuple[Any, str]]
"""(id, verb) of each resource that a request names."""


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _each(value: Any, *path: str) -> list[Any]:
    found = _at(value, *path)
    return [each for each in found if each] if isinstance(found, list) else []


def _of_disk(body: Json) -> Links:
    data = ("properties", "creationData")
    yield _at(body, *data, "sourceResourceId"), "beginGetAccess/action"
    yield _at(body, *data, "galleryImageReference", "id"), "read"
    yield _at(body, "properties", "encryption", "diskEncryptionSetId"), "read"


def _of_image(body: Json) -> Links:
    yield _at(body, "properties", "sourceVirtualMachine", "id"), "read"
    storage = ("properties", "storageProfile")
    for disk in (_at(body, *storage, "osDisk"), *_each(body, *storage, "dataDisks")):
        yield _at(disk, "snapshot", "id"), "read"
        yield _at(disk, "managedDisk", "id"), "read"


def _of_version(body: Json) -> Links:
    storage = ("properties", "storageProfile")
    yield _at(body, *storage, "source", "id"), "read"
    yield _at(body, *storage, "source", "virtualMachineId"), "write"
    for disk in (_at(body, *storage, "osDiskImage"), *_each(body, *storage, "dataDiskImages")):
        yield _at(disk, "source", "id"), "write"


def _of_machine(body: Json) -> Links:
    for disk in _each(body, "properties", "storageProfile", "dataDisks"):
        yield _at(disk, "managedDisk", "id"), "write"
    for interface in _each(body, "properties", "networkProfile", "networkInterfaces"):
        yield _at(interface, "id"), "join/action"
    for identity in _at(body, "identity", "userAssignedIdentities") or ():
        yield identity, "assign/action"


def _of_attachment(body: Json) -> Links:
    for disk in _each(body, "dataDisksToAttach"):
        yield _at(disk, "diskId"), "write"


_LINKS = {
    ("PUT", "disks"): _of_disk,
    ("PUT", "snapshots"): _of_disk,
    ("PUT", "images"): _of_image,
    ("PUT", "galleries/images/versions"): _of_version,
    ("PUT", "virtualmachines"): _of_machine,
    ("PATCH", "virtualmachines"): _of_machine,
    ("POST", "virtualmachines/attachdetachdatadisks"): _of_attachment,
}
