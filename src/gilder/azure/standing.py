"""How the caller stands with Azure: who it is, what it may do, how many requests it has left, whether the clocks agree."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from gilder.azure.arm import Arm
from gilder.azure.roles import permitted
from gilder.model.ids import ArmId

_COMPUTE_API = "2024-07-01"
_PERMISSIONS_API = "2022-04-01"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the token is for: object id and application id, "" where it does not say; `lasts` in seconds from now."""

    object_id: str
    application: str
    lasts: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes with every answer: requests left by budget, and by how many seconds the service's clock is ahead."""

    left: Mapping[str, int]
    ahead: float


@dataclass(frozen=True, slots=True)
class Permission:
    """What one of the caller's roles permits."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...]


async def caller(arm: Arm, clock: Callable[[], float]) -> Caller:
    """Get a token and read for whom it is; raises Denied. `clock` gives seconds since 1970."""
    token, until = await arm.token()
    claims = _claims(token)
    return Caller(str(claims.get("oid", "")), str(claims.get("appid", "")), until - clock())


def _claims(token: str) -> dict[str, object]:
    """The payload of a token, unverified: it is for Azure, we only tell what it says."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


async def answered(arm: Arm, vm: ArmId, clock: Callable[[], float]) -> Answer:
    """Read the VM and look at what comes with the answer; raises CloudError."""
    _, headers = await arm.read(f"reading the VM {vm.name}", vm.subscription, str(vm), _COMPUTE_API)
    left = {
        name.rpartition("/")[2]: int(count)
        for name, _, count in (
            part.partition(";") for part in headers.get("x-ms-ratelimit-remaining-resource", "").split(",")
        )
        if count.strip().isdigit()
    }
    for name, count in headers.items():
        if name.lower().startswith("x-ms-ratelimit-remaining-subscription") and count.isdigit():
            left[name.lower().removeprefix("x-ms-ratelimit-remaining-")] = int(count)
    date = headers.get("Date")
    return Answer(left, parsedate_to_datetime(date).timestamp() - clock() if date else 0.0)


async def permissions_on(arm: Arm, subscription: str, scope: str) -> tuple[Permission, ...]:
    """What the caller's roles permit on a resource group or resource; raises CloudError.

    Source: "Permissions - List For Resource Group" and "List For Resource" of the Authorization API.
    """
    url, found = f"{scope}/providers/Microsoft.Authorization/permissions", []
    doing = f"reading what is permitted on {scope}"
    while url:
        answer, _ = await arm.read(doing, subscription, url, _PERMISSIONS_API)
        found += answer.get("value", [])
        url = answer.get("nextLink") or ""
    return tuple(Permission(tuple(one.get("actions") or ()), tuple(one.get("notActions") or ())) for one in found)


def lacking(wanted: Iterable[str], permissions: Iterable[Permission]) -> list[str]:
    """The actions that no role permits; a role does not permit what it takes away again."""
    roles = list(permissions)
    return [
        action
        for action in wanted
        if not any(permitted([action], role.actions) and not permitted([action], role.not_actions) for role in roles)
    ]
