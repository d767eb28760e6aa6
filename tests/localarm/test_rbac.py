"""Who may do what: roles with single actions, on scopes, also on the resources that a request names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.localarm.conftest import Local, Maker

from localarm.rbac import PERMISSIONS
from localarm.role_files import with_roles
from localarm.settings import SUBSCRIPTION, Principal, Role, Settings

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/gilder-local"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
HOST = f"{COMPUTE}/virtualMachines/build-host"
EVERYTHING = Principal("app", "object", "secret", ((f"/subscriptions/{SUBSCRIPTION}", "Owner"),))


def settings_of(actions: Iterable[str], scope: str = GROUP, not_actions: Iterable[str] = ()) -> dict[str, Any]:
    """A principal who has one custom role, and one who may do everything to set the scene."""
    role = Role("custom", tuple(actions), tuple(not_actions))
    limited = Principal("limited", "limited-object", "secret", ((scope, "custom"),))
    return {"principals": (EVERYTHING, limited), "roles": (role,)}


def ask_as_limited(local: Local, method: str, path: str, body: Any = None) -> Any:
    """Ask with the token of the principal who has only the custom role."""
    token, _ = local.application.tokens.issued(local.world.settings.all_principals[1], "https://management.azure.com/")
    return local.ask(method, path, body, authorization=f"Bearer {token}")


def empty(**more: Any) -> dict[str, Any]:
    creation = {"createOption": "Empty"}
    return {"location": "westeurope", "properties": {"creationData": creation, "diskSizeGB": 1, **more}}


def copy_of(source: str) -> dict[str, Any]:
    creation = {"createOption": "Copy", "sourceResourceId": source}
    return {"location": "westeurope", "properties": {"creationData": creation}}


def image_of(snapshot: str) -> dict[str, Any]:
    os_disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": snapshot}}
    return {"location": "westeurope", "properties": {"storageProfile": {"osDisk": os_disk}}}


def version_of(**source: str) -> dict[str, Any]:
    profile = {"targetRegions": [{"name": "westeurope"}]}
    storage = {"osDiskImage": {"source": source}}
    return {"location": "westeurope", "properties": {"publishingProfile": profile, "storageProfile": storage}}


DISK, SNAPSHOT = f"{COMPUTE}/disks/source", f"{COMPUTE}/snapshots/source"
VERSION = f"{COMPUTE}/galleries/g/images/i/versions/1.0.0"
ENCRYPTION = f"{COMPUTE}/diskEncryptionSets/e"
LINKED = [
    ("PUT", f"{COMPUTE}/disks/new", copy_of(DISK), "disks/write", "disks/beginGetAccess/action", DISK),
    ("PUT", f"{COMPUTE}/disks/new", copy_of(SNAPSHOT), "disks/write", "snapshots/beginGetAccess/action", SNAPSHOT),
    (
        "PUT", f"{COMPUTE}/disks/new",
        {"properties": {"creationData": {"createOption": "FromImage", "galleryImageReference": {"id": VERSION}}}},
        "disks/write", "galleries/images/versions/read", VERSION,
    ),
    (
        "PUT", f"{COMPUTE}/disks/new", empty(encryption={"diskEncryptionSetId": ENCRYPTION}),
        "disks/write", "diskEncryptionSets/read", ENCRYPTION,
    ),
    ("PUT", f"{COMPUTE}/snapshots/new", copy_of(DISK), "snapshots/write", "disks/beginGetAccess/action", DISK),
    ("PUT", f"{COMPUTE}/images/new", image_of(SNAPSHOT), "images/write", "snapshots/read", SNAPSHOT),
    ("PUT", VERSION, version_of(id=SNAPSHOT), "galleries/images/versions/write", "snapshots/write", SNAPSHOT),
    (
        "POST", f"{HOST}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": DISK, "lun": 0}]},
        "virtualMachines/attachDetachDataDisks/action", "disks/write", DISK,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "own", "linked", "scope"), LINKED)
def test_an_action_on_what_a_request_names_is_needed_too(
    make_local: Maker, method: str, path: str, body: Any, own: str, linked: str, scope: str
) -> None:
    own, linked = f"Microsoft.Compute/{own}", f"Microsoft.Compute/{linked}"
    none = ask_as_limited(make_local(**settings_of(())), method, path, body)
    assert (none.status, none.payload["error"]["code"]) == (403, "AuthorizationFailed")
    assert (
        f"action '{own}' over scope '{path.removesuffix('/attachDetachDataDisks')}'" in none.payload["error"]["message"]
    )
    half = ask_as_limited(make_local(**settings_of((own,))), method, path, body)
    assert (half.status, half.payload["error"]["code"]) == (403, "LinkedAuthorizationFailed")
    assert half.headers["x-ms-failure-cause"] == "gateway"
    assert (
        f"does not have permission to perform action(s) '{linked}' on the linked scope(s) '{scope}'"
        in (half.payload["error"]["message"])
    )
    assert ask_as_limited(make_local(**settings_of((own, linked))), method, path, body).status != 403


def test_a_role_counts_on_its_scope_and_below_less_what_it_takes_away(make_local: Maker) -> None:
    disk = f"{COMPUTE}/disks/d"
    assert ask_as_limited(make_local(**settings_of(("*/Write",))), "PUT", disk, empty()).status == 202
    assert ask_as_limited(make_local(**settings_of(("*",), f"{GROUP}-2")), "PUT", disk, empty()).status == 403
    less = make_local(**settings_of(("*",), not_actions=("microsoft.compute/disks/*",)))
    assert ask_as_limited(less, "PUT", disk, empty()).status == 403
    assert ask_as_limited(less, "GET", f"{COMPUTE}/snapshots").status == 200


def test_an_operation_is_polled_with_a_role_on_the_group(make_local: Maker) -> None:
    actions = ["Microsoft.Compute/disks/write", "Microsoft.Compute/locations/diskOperations/read"]
    for count, status in ((1, 403), (2, 200)):
        local = make_local(**settings_of(actions[:count]))
        started = ask_as_limited(local, "PUT", f"{COMPUTE}/disks/d{count}", empty())
        assert ask_as_limited(local, "GET", started.headers["Azure-AsyncOperation"]).status == status


def test_the_caller_is_told_its_permissions(make_local: Maker) -> None:
    actions = ["Microsoft.Compute/*/read", "Microsoft.Authorization/permissions/read"]
    local = make_local(**settings_of(actions, not_actions=("Microsoft.Compute/images/read",)))
    for scope in (GROUP, HOST):
        (found,) = ask_as_limited(local, "GET", f"{scope}{PERMISSIONS}").payload["value"]
        assert (found["actions"], found["notActions"]) == (actions, ["Microsoft.Compute/images/read"])
        assert local.application.audit[-1]["actions"] == [["Microsoft.Authorization/permissions/read", scope]]
    everywhere = f"/subscriptions/{SUBSCRIPTION}"
    assert ask_as_limited(local, "GET", f"{everywhere}{PERMISSIONS}").payload["error"]["code"] == "AuthorizationFailed"
    local = make_local(**settings_of(actions, scope=everywhere))
    elsewhere = f"{everywhere}/resourceGroups/other{PERMISSIONS}"
    assert ask_as_limited(local, "GET", elsewhere).payload["error"]["code"] == "ResourceGroupNotFound"
    local = make_local(**settings_of(actions[:1]))
    assert ask_as_limited(local, "GET", f"{GROUP}{PERMISSIONS}").payload["error"]["code"] == "AuthorizationFailed"


def test_the_audit_says_which_actions_were_used(local: Local) -> None:
    local.ask("PUT", f"{COMPUTE}/disks/new", copy_of(DISK))
    assert local.application.audit[-1]["actions"] == [
        ["Microsoft.Compute/disks/write", f"{COMPUTE}/disks/new"],
        ["Microsoft.Compute/disks/beginGetAccess/action", DISK],
    ]


def test_a_role_file_says_what_callers_may_do(tmp_path: Path) -> None:
    file = tmp_path / "role.json"
    file.write_text(json.dumps({"Name": "r", "Actions": ["*/read"], "AssignableScopes": [GROUP]}))
    settings = with_roles(Settings(), [file])
    assert settings.roles == (Role("r", ("*/read",)),)
    assert {each.roles for each in settings.all_principals} == {((GROUP, "r"),)}
    file.write_text('{"Name": "r"}')
    with pytest.raises(ValueError, match="needs Name, Actions and AssignableScopes"):
        with_roles(Settings(), [file])
