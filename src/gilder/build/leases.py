"""Leases of temporary resources: the tag until when nobody may take them for garbage, renewed while their build lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio

from gilder.azure.arm import Arm
from gilder.azure.labels import read_labelled, relabel
from gilder.model.errors import GilderError
from gilder.model.ids import ArmId
from gilder.model.tags import RUN
from gilder.runtime.attended import attended

LEASE = "gilder-lease"
"""The tag: until when, RFC 3339, by the clock of the service; or KEPT."""

KEPT = "none"
"""The lease of what shall stay (the option skip_cleanup): garbage collection leaves it alone for ever."""

TERM = 12 * 3600.0
"""Seconds of a lease: longer than nearly all builds, so that a renewal is rare; short enough that a nightly collection
finds what the night before has left."""

_RENEWAL = TERM / 2
"""Seconds after which a lease is renewed: half of it is left for the cloud to be out of reach."""

_AGAIN = 300.0
"""Seconds until a renewal that failed is tried again."""

_WITHIN = 900.0
"""Seconds for a renewal: none may hold up those of other resources, as a change that Azure never ends would."""


def lease_until(now: datetime) -> str:
    """The lease that begins now."""
    return (now + timedelta(seconds=TERM)).isoformat(timespec="seconds")


@dataclass(slots=True)
class _Held:
    due: float
    quiet: anyio.Lock = field(default_factory=anyio.Lock)
    renewal: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around the renewal that is under way."""


class Leases:
    """The leases of one run."""

    def __init__(self, arm: Arm, run: str) -> None:
        self._arm = arm
        self._run = run
        self._held: dict[ArmId, _Held] = {}
        self._more = anyio.Event()

    def begun(self, resource: ArmId) -> dict[str, str]:
        """The tag for a resource that is about to be created; it is renewed until `ended`."""
        self._held[resource] = _Held(anyio.current_time() + _RENEWAL)
        return {LEASE: lease_until(self._arm.clock.now())}

    def taken_over(self, resource: ArmId) -> None:
        """Renew the lease of what a dead run has left, at once and until `ended`: it is needed now."""
        self._held.setdefault(resource, _Held(anyio.current_time()))
        self._more.set()

    async def ended(self, resource: ArmId) -> None:
        """Renew no more: the resource is about to go. A renewal under way is given up, for it may have to wait for long;
        what it has asked for is at worst a change that the deletion waits for."""
        held = self._held.pop(resource, None)
        if held is not None:
            held.renewal.cancel()
            async with held.quiet:
                return

    async def run(self) -> None:
        """Renew what is due, for ever."""
        while True:
            due = min((held.due for held in self._held.values()), default=anyio.current_time() + _RENEWAL)
            with anyio.move_on_after(max(1.0, due - anyio.current_time())):
                await self._more.wait()
            self._more = anyio.Event()
            async with anyio.create_task_group() as group:
                for resource, held in self._held.items():
                    if held.due <= anyio.current_time():
                        group.start_soon(self._renewed, resource, held)

    def _renewable(self, tags: Mapping[str, str]) -> bool:
        """Not what somebody else has made under the same name, nor what shall stay for ever."""
        return tags.get(RUN) == self._run and tags.get(LEASE) != KEPT

    async def _renewed(self, resource: ArmId, held: _Held) -> None:
        async with held.quiet:
            if resource not in self._held:
                return
            renewed = False
            with anyio.move_on_after(_WITHIN) as held.renewal, suppress(GilderError):
                if not self._arm.clock.known:  # the first answer tells the service's time
                    await read_labelled(self._arm, resource, patient=False)
                lease = {LEASE: lease_until(self._arm.clock.now())}
                await relabel(self._arm, resource, lease, self._renewable, patient=False)
                renewed = True
            # No build fails for want of a tag: there is half a term left to try again.
            held.due = anyio.current_time() + (_RENEWAL if renewed else _AGAIN)


@asynccontextmanager
async def renewed(leases: Leases) -> AsyncIterator[None]:
    """Have leases renewed while inside; shielded, because clean-up may take its time too."""

    async with attended(leases.run, "gilder.build.leases"):
        yield
