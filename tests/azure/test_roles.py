"""Refusals for want of a permission: what is missing, and what to do."""

from __future__ import annotations

import pytest

from gilder.azure.roles import Missing, built_in_role, missing_permission

GROUP = "/subscriptions/s/resourceGroups/g"
DISK = f"{GROUP}/providers/Microsoft.Compute/disks/d"


OWN = (
    "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Compute/disks/write' over "
    f"scope '{DISK}' or the scope is invalid. If access was recently granted, please refresh your credentials."
)
LINKED = (
    f"The client 'c' with object id 'o' has permission to perform action 'Microsoft.Compute/snapshots/write' on scope "
    f"'{GROUP}'; however, it does not have permission to perform action 'Microsoft.Compute/disks/beginGetAccess/action' on "
    f"the linked scope(s) '{DISK}' or the linked scope(s) are invalid."
)
SEVERAL = (
    f"The client has permission to perform action 'a/write' on scope '{GROUP}'; however, it does not have permission to "
    f"perform action(s) 'b/read,c/read' on the linked scope(s) '{DISK},{GROUP}' (respectively) or the linked scope(s) are "
    "invalid."
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (OWN, Missing(("Microsoft.Compute/disks/write",), (DISK,), "o")),
        (LINKED, Missing(("Microsoft.Compute/disks/beginGetAccess/action",), (DISK,), "o")),
        (SEVERAL, Missing(("b/read", "c/read"), (DISK, GROUP), "")),
        ("The access token is from the wrong issuer.", None),
    ],
)
def test_azures_texts_are_read(message: str, expected: Missing | None) -> None:
    assert missing_permission(message) == expected


@pytest.mark.parametrize(
    ("actions", "role"),
    [
        (("galleries/images/versions/read",), "Compute Gallery Image Reader"),
        (("disks/read",), "Reader"),
        (("disks/beginGetAccess/action", "snapshots/write"), "Disk Snapshot Contributor"),
        (("virtualMachines/attachDetachDataDisks/action",), "Virtual Machine Contributor"),
        (("galleries/images/versions/write", "images/write"), "Compute Gallery Artifacts Publisher"),
        (("snapshots/write", "images/write"), "Contributor"),
    ],
)
def test_the_least_built_in_role_is_named(actions: tuple[str, ...], role: str) -> None:
    assert built_in_role(f"Microsoft.Compute/{action}" for action in actions) == role


def test_the_advice_is_a_command_for_the_group() -> None:
    advice = Missing(("Microsoft.Compute/disks/write",), (DISK,), "o").advice()
    assert f'--assignee o --role "Virtual Machine Contributor" --scope {GROUP}' in advice
