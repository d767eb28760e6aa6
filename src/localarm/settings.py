"""What a world is told at birth: who and where it is, how strict and how slow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Role:
    """A role definition: it holds the actions that match `actions` and none of `not_actions` (`*` is any text)."""

    name: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()


BUILT_IN = {
    role.name: role
    for role in (
        Role("Owner", ("*",)),
        Role("Contributor", ("*",), ("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write")),
        Role("Reader", ("*/read",)),
    )
}
"""Roles that are always there (Azure built-in roles; of Contributor's exceptions those that matter here)."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider that federations may trust: its URL, and the public key (PEM) that it signs with.

    Microsoft Entra fetches the keys from `URL/.well-known/openid-configuration`; here they are told.
    """

    url: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Federation:
    """A federated identity credential: whose tokens stand for the principal."""

    issuer: str
    subject: str
    audience: str = "api://AzureADTokenExchange"


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone who may ask for tokens: a managed identity or an application.

    Attributes:
        roles: (scope, name) pairs: `Owner`, `Contributor`, `Reader`, or a role of the settings.
        vm: id of the virtual machine whose managed identity this is: the system-assigned one, or with `user_assigned`
            one of the others.
        secret: what an application proves itself with; `secret_until` is when it expires (seconds since the epoch).
        certificates: registered with the application (PEM).
    """

    client_id: str
    object_id: str
    secret: str = ""
    roles: tuple[tuple[str, str], ...] = ()
    vm: str = ""
    user_assigned: bool = False
    secret_until: float = math.inf
    certificates: tuple[str, ...] = ()
    federations: tuple[Federation, ...] = ()

    @property
    def logs_in(self) -> bool:
        """Whether it can prove itself to the token service."""
        return bool(self.secret or self.certificates or self.federations)


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine that exists from the start."""

    name: str
    group: str
    location: str
    size: str
    zone: str = ""
    subscription: str = ""


TENANT = "7e4a9c1e-5b1d-4c55-9a53-0c1d6f5e2a10"
SUBSCRIPTION = "5b5c7d2e-8f3a-4d6b-9c1e-2f4a6b8c0d1e"
APPLICATION = "c2f1a6d4-3e5b-4a7c-8d9e-0f1a2b3c4d5e"
APPLICATION_SECRET = "local-secret"  # noqa: S105 - opens nothing but this local world


def default_principals(subscriptions: tuple[str, ...], host: str) -> tuple[Principal, ...]:
    """The build host's managed identity, and an application for client-secret logins; both may do everything."""
    everything = tuple((f"/subscriptions/{each}", "Contributor") for each in subscriptions)
    return (
        Principal(
            "a1e6b0c4-6d7f-4b8a-9e2c-3d4f5a6b7c8d", "f0d9e8c7-b6a5-4433-9221-100f0e0d0c0b", roles=everything, vm=host
        ),
        Principal(APPLICATION, "0e9d8c7b-6a5f-4e3d-8c2b-1a0f9e8d7c6b", APPLICATION_SECRET, everything),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """One world.

    Attributes:
        machines: the first is the one this machine plays: its metadata is served and its disks become devices.
        latency: `none` (operations end at once), `recorded` (drawn from recorded durations) or `median`.
        scale: multiplies every duration.
        throttle: whether the token buckets of Azure are on (None: with `recorded` latency).
        concurrent_writes: what a second write to a virtual machine meets while one runs: `refuse` (409), or `preempt`
            (the first ends `OperationPreempted`).
        seed: of everything drawn at random.
        token_lifetime: seconds.
        tenants: other tenants that know the principals; tokens of theirs do not count for the subscription.
        issuers: the identity providers that federations may name.
        roles: custom role definitions, which principals have by name.
        newest_api: the newest api-version that the world has; Azure's other clouds lag behind.
    """

    tenant: str = TENANT
    subscription: str = SUBSCRIPTION
    group: str = "gilder-local"
    location: str = "westeurope"
    machines: tuple[Machine, ...] = ()
    other_groups: tuple[tuple[str, str, str], ...] = ()
    principals: tuple[Principal, ...] = ()
    regions: tuple[str, ...] = ("westeurope", "northeurope", "eastus", "eastus2", "westus", "westus2", "swedencentral")
    latency: Literal["none", "recorded", "median"] = "none"
    scale: float = 1.0
    throttle: bool | None = None
    concurrent_writes: Literal["refuse", "preempt"] = "refuse"
    seed: int = 0
    token_lifetime: int = 86399
    tenants: tuple[str, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    disk_quota: int = 50_000
    roles: tuple[Role, ...] = ()
    newest_api: str = "2026-12-31"
    vm_name: str = "build-host"
    vm_size: str = "Standard_D32s_v5"
    vm_zone: str = ""

    @property
    def throttles(self) -> bool:
        """`throttle`, or what the latency makes of it."""
        return self.latency == "recorded" if self.throttle is None else self.throttle

    @property
    def all_machines(self) -> tuple[Machine, ...]:
        """`machines`, or the default one."""
        return self.machines or (Machine(self.vm_name, self.group, self.location, self.vm_size, self.vm_zone),)

    @property
    def host_id(self) -> str:
        """Id of the machine this machine plays."""
        host = self.all_machines[0]
        return (
            f"/subscriptions/{host.subscription or self.subscription}/resourceGroups/{host.group}"
            f"/providers/Microsoft.Compute/virtualMachines/{host.name}"
        )

    @property
    def all_principals(self) -> tuple[Principal, ...]:
        """`principals`, or the default ones."""
        return self.principals or default_principals(self.subscriptions, self.host_id)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Every subscription there is: the main one, and those of machines and groups."""
        named = (*(each.subscription for each in self.all_machines), *(each[0] for each in self.other_groups))
        found = {each.lower(): each for each in reversed((self.subscription, *filter(None, named)))}
        return tuple(reversed(found.values()))
