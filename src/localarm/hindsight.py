"""Stale reads: the world as it was before its last change, where a request looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from localarm.arm import Address, key
from localarm.faults import POLLS
from localarm.world import World


@contextlib.contextmanager
def looking_back(world: World, address: Address) -> Iterator[bool]:
    """Inside, what is read at an address is as it was before its last change; gives whether that makes a difference.

    A resource, the member of a list that changed last, or an operation: one that has ended still runs.
    """
    if address.kind in POLLS:
        with world.still_running(address.name.lower()) as differs:
            yield differs
        return
    id_key = key(address.resource.id)
    if len(address.types) > len(address.names) and (address.kind in world.kinds() or address.kind == "resources"):
        id_key = _last_changed(world, address)
    with world.rewound(id_key) as differs:
        yield differs


def _last_changed(world: World, address: Address) -> str:
    """The key of that resource of a list which changed last; empty when none did."""
    holder = address.resource if address.names else Address(address.subscription, address.group)
    inside = key(holder.id) + "/"
    for id_key in reversed(world.before):
        found = Address.parse(id_key)
        if id_key.startswith(inside) and found is not None and address.kind in ("resources", found.kind):
            return id_key
    return ""
