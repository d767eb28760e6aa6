"""The book of the single writer: the open wishes, and which LUN of the VM each disk of ours has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from gilder.azure.machines import VmView
from gilder.model.ids import ArmId
from gilder.slots.devices import Scenery, SlotDevices, wait_gone
from gilder.slots.pool import LunPool
from gilder.slots.wishes import Attach, Detach, Situation, Wish


@dataclass(slots=True)
class WriterStatistics:
    """What the writer has done so far."""

    writes: int = 0
    attached: int = 0
    detached: int = 0
    refused: int = 0
    largest_batch: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A disk that the VM lists at a LUN of ours; `before` is what this machine showed before the attach."""

    lun: int
    before: Scenery


class Book:
    """What the writer knows and owes. It sends nothing; of the cloud it sees only the looks that it is given."""

    def __init__(self, devices: SlotDevices) -> None:
        self._devices = devices
        self._pool: LunPool | None = None
        self._width: Callable[[int], None] = lambda disks: None
        self.attaches: list[Attach] = []
        self.detaches: list[Detach] = []
        self.leases: dict[ArmId, Settled] = {}
        self.working: set[ArmId] = set()
        """Disks whose builds want them, or work on them."""
        self.in_doubt: set[ArmId] = set()
        """Disks whose attach was sent and has not been seen in the VM's list."""
        self.undetached: dict[ArmId, str] = {}
        """Disks whose detach somebody waits for, or waited for in vain, and why the VM may still have them."""
        self.announcements = 0
        self.hurried = False
        self.statistics = WriterStatistics()

    @property
    def is_open(self) -> bool:
        """Whether the LUNs of the VM are known."""
        return self._pool is not None

    @property
    def pool(self) -> LunPool:
        """The LUNs of the VM, once they are known."""
        assert self._pool is not None
        return self._pool

    def situation(self) -> Situation:
        """What decides when the next write goes, and what goes with it."""
        room = self.pool.room if self.is_open else 0
        working = len(self.working & self.leases.keys())
        now = anyio.current_time()
        return Situation(self.attaches, self.detaches, room, self.announcements, working, now, self.hurried)

    # LUNs

    def observe(self, view: VmView, capacity: int | None = None) -> Scenery:
        """Take in a look at the VM, and what this machine shows; the first look comes with the VM's number of LUNs."""
        if capacity is not None:
            self._pool = LunPool(capacity)
        scenery = self._devices.scenery(self.pool.capacity)
        self.pool.observe(view.luns, scenery.visible)
        self._tell_width()
        return scenery

    def tells_width(self, width: Callable[[int], None]) -> None:
        """From now on tell how many data disks of this run the VM can have, with those it has, as others come and go."""
        self._width = width
        self._tell_width()

    def _tell_width(self) -> None:
        if self.is_open:
            self._width(len(self.pool.leased) + self.pool.room)

    def lease(self, wish: Attach, before: Scenery) -> None:
        """Choose a LUN for a disk that is going to be attached."""
        wish.lun = self.pool.take(wish.disk.name)
        self.leases[wish.disk] = Settled(wish.lun, before)

    def let_go(self, view: VmView, wish: Attach) -> None:
        """End the lease of an attach that did not take effect."""
        if wish.lun is None:
            return
        if view.lists(wish.disk) or self._devices.shows(wish.lun):
            self.pool.quarantine(wish.lun, f"in doubt after the attach of {wish.disk.name}")
        else:
            self.pool.give_back(wish.lun)
        wish.lun = None
        self.leases.pop(wish.disk, None)

    def abandon(self, disk: ArmId, why: str) -> None:
        """Give up a disk that cannot be detached: its LUN is not handed out again."""
        self.working.discard(disk)
        self.undetached[disk] = why
        lease = self.leases.pop(disk, None)
        if lease is not None and self.is_open:
            self.pool.quarantine(lease.lun, why)
            self._tell_width()

    # Wishes

    def detach(self, disk: ArmId, lun: int) -> None:
        """Put down the wish to detach a disk."""
        self.detaches.append(Detach(disk, lun, anyio.current_time()))

    def still_here(self) -> list[ArmId]:
        """The disks that are to be detached and still have their device at their LUN of ours."""
        return [w.disk for w in self.detaches if w.disk in self.leases and self._devices.shows(w.lun)]

    def attached(self, view: VmView, wish: Attach) -> bool:
        """Whether the VM has a disk where it was wished to be; the wish is settled then."""
        entry = view.lists(wish.disk)
        if entry is None or entry.leaving or entry.lun != wish.lun:
            return False
        self.statistics.attached += 1
        self.in_doubt.discard(wish.disk)
        self.settle(wish)
        return True

    async def detached(self, view: VmView, wish: Detach, vanished: float) -> bool:
        """Whether the VM has a disk no more; the wish is settled then, and its LUN free once the device went too.

        `vanished` is when the device must have gone, in the event loop's time; a LUN whose device stays is set aside.
        """
        if view.lists(wish.disk) is not None:
            return False
        # No lease: an attach that was under way when this wish came has already given its LUN back.
        if wish.disk in self.leases:
            gone = await wait_gone(self._devices, wish.lun, vanished - anyio.current_time())
            # Ended only now: after a look that fails, a LUN would be left that nobody holds and nobody gets.
            if self.leases.pop(wish.disk, None) is None:
                pass  # it was abandoned meanwhile
            elif gone:
                self.pool.give_back(wish.lun)
            else:
                self.pool.quarantine(wish.lun, f"the device of {wish.disk.name} is still there")
        self.statistics.detached += 1
        self.settle(wish)
        return True

    def settle(self, wish: Wish) -> None:
        """Strike out a wish, and wake who waits for it."""
        wish.settled.set()
        if isinstance(wish, Attach):
            wish.sent.set()
            if wish in self.attaches:
                self.attaches.remove(wish)
        elif wish in self.detaches:
            self.detaches.remove(wish)

    def fail(self, wishes: Sequence[Wish], error: Exception) -> None:
        """Strike out wishes that will not come true, and tell why."""
        for wish in wishes:
            wish.error = error
            self.settle(wish)
