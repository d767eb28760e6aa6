"""The real limits that builds of one run share, each held only while it is needed."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from gilder.build.story import Story
from gilder.host.pressure import crowded

_BEFORE_KNOWN = 8
"""Builds that may begin before it is known how many data disks the VM takes."""

_AHEAD = 8
"""Disks that may be created before there is a slot for them, so that a freed slot never waits for a disk."""

_WORK_PER_CORE = 8
"""Builds in local work for each CPU: provisioning waits for the network much of its time."""

_WORK_WHEN_CROWDED = 5
"""The same while the CPUs have no time to spare: more would only finish later, and all together, which leaves the CPUs
idle while their LUNs change hands (benchmarks.scale: 1.06 instead of 1.04 times the bound)."""

_LOOKING = 1.0
"""Seconds between looks whether the CPUs have time to spare."""

_SHOWING = 3.0
"""Seconds until the work that has just begun shows in the pressure on the CPUs. A batch of disks comes all at once: if all of
its builds began before any shows, they would end together too, and leave the CPUs idle while their LUNs change hands."""

_LATELY = 30.0
"""Seconds for which CPUs that were crowded count as such: a change of LUNs takes less."""


class Entry:
    """A build's place among those that hold or soon need a slot; `leave` gives it up, once is enough."""

    def __init__(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._inside = True

    def leave(self) -> None:
        """The build needs no slot any more."""
        if self._inside:
            self._inside = False
            self._limiter.release_on_behalf_of(self)


class WorkPlace:
    """A build's place among those that work on this machine's CPUs."""

    def __init__(self, limits: Limits, story: Story) -> None:
        self._limits = limits
        self._story = story
        self._taken = False

    async def take(self) -> None:
        """Wait for the place."""
        await self._limits.take_work(self, self._story)
        self._taken = True

    def give_back(self) -> None:
        """Leave the place to another; once is enough."""
        if self._taken:
            self._taken = False
            self._limits.give_work_back(self)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Leave the place to another while inside, and wait for one again afterwards.

        For waits that need no CPU: builds that wait for each other would keep all others from working.
        """
        self.give_back()
        yield
        await self.take()


class Limits:
    """How many builds may hold a slot or a disk ahead of one, and how many may work on this machine's CPUs."""

    def __init__(self, cores: int | None = None, crowded: Callable[[], bool] = crowded) -> None:
        cores = cores or os.cpu_count() or 1
        self._entered = anyio.CapacityLimiter(_BEFORE_KNOWN)
        self._working = anyio.CapacityLimiter(_WORK_PER_CORE * cores)
        self._cores = cores
        self._when_crowded = _WORK_WHEN_CROWDED * cores
        self._may_begin = 0
        self._looked = -math.inf
        self._last_crowded = -math.inf
        self._crowded = crowded
        self._turn = anyio.Lock()
        self._left = anyio.Event()
        self.slots: int | None = None
        """Data disks that the VM can take from this run, those included that it has; None while that is not known."""

    def slots_known(self, ours: int) -> None:
        """The VM has room for `ours` data disks of this run, those included that it has; told again whenever that changes."""
        self.slots = ours
        self._entered.total_tokens = max(1, ours + min(ours, _AHEAD))

    @property
    def places(self) -> int:
        """How many builds work here at a time: as many as are good for crowded CPUs, or more where these have time."""
        return max(self._when_crowded, self._working.borrowed_tokens)

    def crowded(self) -> bool:
        """Whether the CPUs had no time to spare lately: they rest while LUNs change hands, however much there is to do."""
        now = anyio.current_time()
        if self._crowded():
            self._last_crowded = now
        return now - self._last_crowded < _LATELY

    @asynccontextmanager
    async def entered(self, story: Story) -> AsyncIterator[Entry]:
        """Have a place among those that hold or soon need a slot, until left."""
        entry = Entry(self._entered)
        with story.waiting("a slot on the VM" if self._entered.available_tokens <= 0 else ""):
            await self._entered.acquire_on_behalf_of(entry)
        try:
            yield entry
        finally:
            entry.leave()

    @asynccontextmanager
    async def working(self, story: Story) -> AsyncIterator[WorkPlace]:
        """Have a place among those that work on this machine."""
        place = WorkPlace(self, story)
        await place.take()
        try:
            yield place
        finally:
            place.give_back()

    async def take_work(self, place: object, story: Story) -> None:
        """Wait until one more build may work here; undone by `give_work_back`."""
        with story.waiting("this machine's CPUs" if self._full() or self._turn.locked() else ""):
            async with self._turn:
                while self._full():
                    with anyio.move_on_after(_LOOKING):
                        await self._left.wait()
                self._working.acquire_on_behalf_of_nowait(place)
                self._may_begin -= 1

    def give_work_back(self, place: object) -> None:
        """One build less works here."""
        self._working.release_on_behalf_of(place)
        self._left.set()
        self._left = anyio.Event()

    def _full(self) -> bool:
        working = self._working.borrowed_tokens
        if working < self._when_crowded:
            self._looked, self._may_begin = anyio.current_time(), 1
            return False
        return working >= self._working.total_tokens or not self._room_beyond()

    def _room_beyond(self) -> bool:
        """Whether the CPUs have time for more than are good when they are crowded: one for each CPU, then another look."""
        now = anyio.current_time()
        if self._may_begin <= 0 and now - self._looked >= _SHOWING and not self._crowded():
            self._looked, self._may_begin = now, self._cores
        return self._may_begin > 0
