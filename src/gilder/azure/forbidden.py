"""Why Resource Manager does not let the caller do something (401, 403), told by what can be done about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gilder.azure.answers import clock_note
from gilder.azure.roles import missing_permission
from gilder.model.errors import Denied

_TENANT = re.compile(r"match the tenant 'https://[^/]+/([^/']+)/?'")
_LINKED_TENANT = re.compile(r"current tenant '([^']*)' is not authorized to access linked subscription '([^']*)'")
_OF_ROLES = ("AuthorizationFailed", "LinkedAuthorizationFailed")
"""Codes of a refusal that a role may lift (Azure RBAC, "Troubleshoot Azure RBAC"); others come from other gates."""


def denied(code: str, message: str, status: int, headers: Mapping[str, str], doing: str) -> Denied:
    """The refusal as gilder tells it; `doing` completes "while …"."""
    text = f"{message} ({code or 'no code'}, HTTP {status}, while {doing})"
    if code == "InvalidAuthenticationTokenTenant":
        text = f"the token is of another tenant than the subscription ({code}, while {doing})"
        return Denied(text, code=code, status=status, hint=_other_tenant(message))
    if status == 401:
        return Denied(text + clock_note(headers), code=code, status=status, hint=_ANEW)
    if code == "DenyAssignmentAuthorizationFailed" or "deny assignment" in message:
        return Denied(text, code=code, status=status, hint=_DENY_ASSIGNMENT)
    if (missing := missing_permission(message)) is not None:
        text = f"the identity may not do {missing.told()} ({code}, while {doing})"
        return Denied(text, code=code, status=status, hint=missing.advice(), actions=missing.actions)
    if (linked := _LINKED_TENANT.search(message)) is not None:
        hint = (
            f"the subscription {linked[2]} is of another tenant than the login's, {linked[1]}, and gilder works in one: "
            "copy what is there into a subscription of this tenant"
        )
        return Denied(text, code=code, status=status, hint=hint)
    return Denied(text, code=code, status=status, hint=_HINTS.get(code, _OTHER_GATE))


_ANEW = (
    "Azure does not take the token: check this machine's clock (timedatectl) and cloud_environment_name, and log in anew "
    "(with az: az login)"
)
_DENY_ASSIGNMENT = (
    "a deny assignment counts more than any role: whoever made it (a managed application, a deployment stack) must except "
    "this identity; Access control (IAM) of the scope lists it"
)
_OTHER_GATE = "Azure's message says what forbids it; `gilder doctor` tells whether a role is missing"
_ROLE = "give the identity the role that allows this action (docs/permissions.md)"
_HINTS = dict.fromkeys(_OF_ROLES, _ROLE) | {
    "RequestDisallowedByPolicy": (
        "a policy forbids it, whatever the roles: give the resource what the policy named above demands (region, tags, disk "
        "type, encryption), or have it excepted: az policy exemption create"
    )
}


def _other_tenant(message: str) -> str:
    found = _TENANT.search(message)
    right = found[1] if found else "that of the subscription"
    return (
        f"tenant_id must be {right}; left out, it is looked up. With az: az login --tenant {right}, and az account set. A "
        "managed identity is of its VM's tenant"
    )
