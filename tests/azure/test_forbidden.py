"""Refusals that are no matter of roles are not told as such, and each says what helps; the wordings are those reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.azure.manager import VM, Manager, managed

from gilder.azure.machines import vm_view
from gilder.model.errors import Denied

CLIENT, WRITE = "The client 'c' with object id 'o'", "perform action 'Microsoft.Compute/disks/write'"
HAS = f"{CLIENT} has permission to {WRITE} on scope '/s'; however,"
DISK = "/subscriptions/5b5c7d2e/resourceGroups/g/providers/Microsoft.Compute/disks/d"
LINKED = "it does not have permission to perform action 'Microsoft.Compute/disks/beginGetAccess/action' on the"
ROLE, ANEW, DENY = "az role assignment create", "log in anew", "a deny assignment counts more than any role"
OWN = f"{CLIENT} does not have authorization to {WRITE} over scope '{DISK}' or the scope is invalid."
ON_ONE = f"{HAS} {LINKED} '1' linked scope(s) '{DISK}' or the linked scope(s) are invalid."
DENIED = f"{HAS} the access is denied because of the deny assignment with name 'n' and Id 'i' at scope '/s'."
BLOCKED = (
    f"{HAS} {LINKED} '0' linked scope(s) '' or the linked scope(s) are invalid and is blocked by deny assignments on the "
    f"'1' linked scope(s) '{DISK}'."
)
ELSEWHERE = f"{HAS} the current tenant 't1' is not authorized to access linked subscription 's2'."
POLICY = "Resource 'd' was disallowed by policy. Reasons: 'only tagged disks'."
ENDED = (
    "The access token expiry UTC time '11/12/2020 7:01:08 AM' is earlier than current UTC time '11/12/2020 7:01:52 AM'."
)
AUDIENCE = "The access token has been obtained for wrong audience or resource."
TENANT = (
    "The access token is from the wrong issuer 'https://sts.windows.net/t1/'. It must match the tenant "
    "'https://sts.windows.net/t2/' associated with this subscription."
)
REFUSALS: dict[str, tuple[int, str, str, str]] = {
    "role": (403, "AuthorizationFailed", OWN, ROLE),
    "role on a linked scope": (403, "LinkedAuthorizationFailed", ON_ONE, ROLE),
    "role in other words": (403, "AuthorizationFailed", "No access.", "give the identity the role"),
    "deny assignment": (403, "DenyAssignmentAuthorizationFailed", DENIED, DENY),
    "deny assignment on a linked scope": (403, "LinkedAuthorizationFailed", BLOCKED, DENY),
    "another tenant's subscription": (403, "LinkedAuthorizationFailed", ELSEWHERE, "s2 is of another tenant"),
    "policy": (403, "RequestDisallowedByPolicy", POLICY, "az policy exemption create"),
    "something new": (403, "SomethingNew", "Not today.", "Azure's message says what forbids it"),
    "ended token": (401, "ExpiredAuthenticationToken", ENDED, ANEW),
    "token for another service": (401, "InvalidAuthenticationTokenAudience", AUDIENCE, ANEW),
    "token of another tenant": (401, "InvalidAuthenticationTokenTenant", TENANT, "az login --tenant t2"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_the_advice_fits_the_refusal(tmp_path: Path, name: str) -> None:
    status, code, message, advice = REFUSALS[name]
    async with managed(tmp_path, Manager({}, (status, code, message))) as arm:
        with pytest.raises(Denied) as caught:
            await vm_view(arm, VM)
    hint = str(caught.value.hint)
    assert advice in hint
    assert ("role assignment create" in hint or "give the identity the role" in hint) == name.startswith("role"), hint
    assert ("az login" in hint) == (status == 401), hint
    assert caught.value.code == code
