"""The single writer: the one task that changes which data disks the VM has.

Reading the disk list, changing it and writing it back from two tasks loses disks; so callers put wishes, and this task
takes all that should go now, sends one request, then re-reads the VM and settles each wish by what it sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import anyio

from gilder.azure.arm import THROTTLE_PATIENCE, Arm
from gilder.azure.machines import Attachment, VmView, max_data_disks
from gilder.azure.operations import Usual, looks
from gilder.model.errors import CloudError, Conflict, Denied, Refused, Throttled
from gilder.model.ids import ArmId
from gilder.model.spec import Caching
from gilder.runtime.filelock import Turn
from gilder.slots.blame import blamed, named
from gilder.slots.book import Book, Settled, WriterStatistics
from gilder.slots.calls import ABOUT_A_DISK, DiskCalls, collided
from gilder.slots.devices import Scenery, SlotDevices
from gilder.slots.held import Held, held
from gilder.slots.pool import LunPool
from gilder.slots.sight import Sight
from gilder.slots.wishes import Attach, Detach, Wish, batch, due, halves, next_look

_TRIES = 6
"""How often a wish goes into another write after a conflict with somebody else's change."""

_VANISHING = 10.0
"""Seconds for a detached disk's device to go before its LUN is quarantined."""

_WATCHING = 10.0
"""Seconds between looks for a LUN that a stranger may free."""

_ROOM_WITHIN = 600.0
"""Seconds that an attach waits for strangers to free a LUN."""


class Announcement:
    """The word that an attach will come soon, so that the first of a burst waits for it."""

    def __init__(self, writer: SlotWriter) -> None:
        self._writer = writer
        self._open = True
        writer.announce(+1)

    def arrive(self) -> None:
        """The attach is here, or will not come."""
        if self._open:
            self._open = False
            self._writer.announce(-1)


class SlotWriter:
    """Wishes in, attachments out.

    `turn` makes the block that excludes other gilder processes of this machine; `lives` tells of a run whether it is that of
    another one, which still works.
    """

    def __init__(self, arm: Arm, vm: ArmId, devices: SlotDevices, turn: Turn, lives: Callable[[str], bool]) -> None:
        self._arm = arm
        self.vm = vm
        self._calls = DiskCalls(arm, vm)
        self._sight = Sight(arm, vm)
        self._turn = turn
        self._lives = lives
        self.book = Book(devices)
        self._learning = anyio.Lock()
        self._changed = anyio.Event()
        self._writing = False
        self._rests_until = -math.inf
        self._looked = -math.inf
        """When the VM was read last."""

    @property
    def statistics(self) -> WriterStatistics:
        """What it has done so far."""
        return self.book.statistics

    # What callers do

    @contextmanager
    def announced(self) -> Iterator[Announcement]:
        """Say while inside that an attach will come soon."""
        announcement = Announcement(self)
        try:
            yield announcement
        finally:
            announcement.arrive()

    def announce(self, more: int) -> None:
        """So many attaches more, or fewer, will come soon."""
        self.book.announcements += more
        if more < 0:
            self.poke()

    def attach_soon(
        self,
        disk: ArmId,
        caching: Caching,
        announcement: Announcement,
        waiting: Callable[[str], None] = lambda what: None,
    ) -> Attach:
        """Put the wish to attach a disk without waiting. Undone by `withdraw`, then `detach`.

        `waiting` is told when that has to wait for another write to the VM, or a LUN, and "" when it goes on.
        """
        wish = Attach(disk, caching, anyio.current_time(), waiting=waiting)
        if self.book.is_open and self.book.pool.room <= len(self.book.attaches):
            waiting("a LUN of the VM")
        elif self._writing or self._calls.wait() > 0:
            waiting("a write to the VM")
        self.book.attaches.append(wish)
        self.book.working.add(disk)
        announcement.arrive()
        return wish

    async def sent(self, wish: Attach) -> None:
        """Wait until a request with a wish was accepted; raises CloudError or Refused when none will be."""
        await wish.sent.wait()
        self._must_be_possible(wish)

    async def settled(self, wish: Attach) -> Settled:
        """Wait until the VM lists the disk of a wish; raises CloudError or Refused."""
        await wish.settled.wait()
        self._must_be_possible(wish)
        return self.book.leases[wish.disk]

    def _must_be_possible(self, wish: Attach) -> None:
        if wish.error is not None:
            self.book.working.discard(wish.disk)
            raise wish.error

    def withdraw(self, wish: Attach) -> None:
        """Nobody waits for a wish any more; what is under way is not stopped by that."""
        if wish in self.book.attaches:
            self.book.attaches.remove(wish)
            self.poke()

    def detach_soon(self, disk: ArmId) -> None:
        """Put the wish to detach a disk that is not worked on any more, without waiting."""
        self.book.working.discard(disk)
        lease = self.book.leases.get(disk)
        if lease is not None and not any(wish.disk == disk for wish in self.book.detaches):
            self.book.detach(disk, lease.lun)
        self.poke()

    async def detach(self, disk: ArmId) -> None:
        """Detach a disk if the VM may have it by our doing, and wait until it is gone; raises CloudError."""
        self.book.undetached[disk] = "its detach has not ended"
        await self._until_gone(disk)
        del self.book.undetached[disk]

    async def _until_gone(self, disk: ArmId) -> None:
        self.detach_soon(disk)
        while True:
            while (wish := next((w for w in self.book.detaches if w.disk == disk), None)) is not None:
                await wish.settled.wait()
                if wish.error is not None:
                    raise wish.error
            if disk not in self.book.in_doubt:
                return
            # No answer came, and the look after it may have been stale: what took effect late is seen now.
            self.book.in_doubt.discard(disk)
            entry = (await self._sight.now()).lists(disk)
            if entry is None:
                return
            self.book.detach(disk, entry.lun)
            self.poke()

    def abandon(self, disk: ArmId, why: str) -> None:
        """Give up a disk that cannot be detached: its LUN is not handed out again."""
        self.book.abandon(disk, why)
        self.poke()

    async def must_be_gone(self, disk: ArmId) -> None:
        """Raise Conflict when the VM still has a disk whose detach did not end: such a one must not be deleted.

        Azure refuses that only while the disk itself says that it is attached; else the VM is left with a disk that there is
        not (kubernetes issue 82714).
        """
        why = self.book.undetached.get(disk)
        if why is not None and (await self._sight.now()).lists(disk) is not None:
            raise Conflict(f"the VM {self.vm.name} still has it: {why}")

    def tells_width(self, width: Callable[[int], None]) -> None:
        """From now on tell how many data disks of this run the VM can have, with those it has, as others come and go."""
        self.book.tells_width(width)

    async def free_luns(self) -> int:
        """How many disks more the VM takes now; raises CloudError or Refused."""
        return (await self._known()).room

    def hurry(self) -> None:
        """From now on send every detach at once."""
        self.book.hurried = True
        self.poke()

    def poke(self) -> None:
        """Something changed: the writer looks again."""
        self._changed.set()
        self._changed = anyio.Event()

    # The task

    async def run(self) -> None:
        """Serve wishes for ever; run as the one task of this VM."""
        while True:
            changed = self._changed
            if (self.book.attaches or self.book.detaches) and await self._serve():
                continue
            with anyio.move_on_after(self._next_look()):
                await changed.wait()

    def _next_look(self) -> float | None:
        if (rest := self._rest()) > 0:
            return rest
        looks = [wait for wait in (self._watching(), next_look(self.book.situation())) if wait is not None]
        return min(looks, default=None)

    async def _serve(self) -> bool:
        """Send one write if one is due; whatever goes wrong is told to the wishes concerned."""
        try:
            await self._known()
            if self._rest() > 0 or not (due(self.book.situation()) or self._watching() == 0):
                return False
            async with self._turn(self._others_turn):
                if due(self.book.situation()) or await self._found_room():
                    await self._write()
        except Exception as error:  # noqa: BLE001 — without this task nobody could detach: it is no build's to end it
            self.book.fail([*self.book.attaches, *self.book.detaches], error)
        return True

    def _rest(self) -> float:
        """Seconds until a write may go: after a collision, and while Azure allows none. Not spent in this machine's turn."""
        return max(self._calls.wait(), self._rests_until - anyio.current_time())

    def _others_turn(self) -> None:
        """Another gilder process changes the VM."""
        for wish in self.book.attaches:
            wish.waiting("another gilder's write to the VM")

    async def _known(self) -> LunPool:
        """The LUNs of the VM; the first who asks looks."""
        async with self._learning:
            if not self.book.is_open:
                began = anyio.current_time()
                view = await self._sight.now()
                self._observe(view, await max_data_disks(self._arm, view))
                self._sight.keep(view, began)
            return self.book.pool

    def _observe(self, view: VmView, capacity: int | None = None) -> Scenery:
        self._looked = anyio.current_time()
        return self.book.observe(view, capacity)

    def _watching(self) -> float | None:
        """Seconds until the VM is looked at for LUNs that others may have freed; None while nothing waits for such.

        Nobody tells when strangers leave, and other gilder processes; their LUNs count as foreign.
        """
        if not self.book.is_open or self.book.pool.room or not self.book.attaches:
            return None
        if self.book.leases and not (self.book.pool.foreign or self.book.pool.quarantined):
            return None
        return max(0.0, self._looked + _WATCHING - anyio.current_time())

    async def _found_room(self) -> bool:
        """See whether somebody freed a LUN; after a time without, the waiting attaches are refused.

        Not while another gilder that lives has a disk there: that will be detached some day.
        """
        began = anyio.current_time()
        view = await self._sight.now()
        self._sight.keep(view, began)
        self._observe(view)
        if self.book.pool.room:
            return due(self.book.situation())
        # Nobody may wait any more: a build that was cancelled while the VM was read.
        since = min((wish.since for wish in self.book.attaches), default=began)
        if not self.book.leases and began - since > _ROOM_WITHIN and not (there := await self.held(view)).shared:
            raise Refused(
                f"the VM {self.vm.name} has no LUN free for another data disk: {self.book.pool.story()}",
                hint=there.advice or "detach disks that are not needed, or use a VM size that allows more data disks",
            )
        return False

    async def held(self, view: VmView) -> Held:
        """The data disks of gilder on the VM, besides those of this run; raises CloudError."""
        return await held(self._arm, view, self._lives)

    async def _write(self) -> None:
        view = await self._sight.before(self.book.still_here)
        scenery = self._observe(view)
        attaches, detaches = batch(self.book.situation())
        for wish in attaches:
            self.book.lease(wish, scenery)
            wish.waiting("")
        self._writing = True
        try:
            await self._change(view, attaches, detaches)
        finally:
            self._writing = False

    async def _change(self, view: VmView, attaches: Sequence[Attach], detaches: Sequence[Detach]) -> None:
        """Send one request, then settle each of its wishes by what the VM lists afterwards."""
        error: CloudError | None = None
        try:
            await self._send(view, attaches, detaches)
        except CloudError as refusal:
            error = refusal
            self.statistics.refused += 1
        began = anyio.current_time()
        view = await self._sight.after(error, [wish.disk for wish in attaches])
        # What may not be waited for is not relied on: its attach fails, and is undone.
        denied = isinstance(error, Denied)
        open_attaches = [wish for wish in attaches if denied or not self.book.attached(view, wish)]
        vanished = anyio.current_time() + _VANISHING
        open_detaches = [wish for wish in detaches if not await self.book.detached(view, wish, vanished)]
        if not open_attaches and not open_detaches and error is None:
            self._sight.keep(view, began)
        elif open_attaches or open_detaches:
            await self._refused(view, open_attaches, open_detaches, error)

    async def _send(self, view: VmView, attaches: Sequence[Attach], detaches: Sequence[Detach]) -> None:
        wanted = [Attachment(a.disk, a.lun, a.caching) for a in attaches if a.lun is not None]
        gone = [d.disk for d in detaches if view.lists(d.disk)]
        if not wanted and not gone:
            return
        self.statistics.writes += 1
        self.statistics.largest_batch = max(self.statistics.largest_batch, len(wanted) + len(gone))
        self.book.in_doubt.update(a.disk for a in wanted)
        operation = await self._calls.send(view, wanted, gone)
        for wish in attaches:
            wish.sent.set()
        await self._arm.finished(self.vm.subscription, operation, looks(Usual.CHANGE_DISKS))

    # When a write was refused

    async def _refused(
        self,
        view: VmView,
        attaches: Sequence[Attach],
        detaches: Sequence[Detach],
        error: CloudError | None,
    ) -> None:
        if error is None or _stolen(view, attaches) or (collided(error) and error.code not in ABOUT_A_DISK):
            await self._again(view, attaches, detaches, error)
            return
        if guilty := await blamed(self._arm, view, attaches, error):
            for wish in attaches:  # the innocent go into the next write as if nothing had been
                self.book.let_go(view, wish)
            for wish, reason in guilty:
                self.book.fail([wish], reason)
        elif collided(error):
            await self._again(view, attaches, detaches, error)
        elif isinstance(error, Denied) or len(attaches) + len(detaches) == 1:
            for wish in attaches:
                if view.lists(wish.disk) is None:  # else its lease stays, so that the caller's release detaches it
                    self.book.let_go(view, wish)
            self.book.fail([*attaches, *detaches], error)
        else:
            parts = [(attaches, []), ([], detaches)] if attaches and detaches else _split(attaches, detaches)
            for some_attaches, some_detaches in parts:
                await self._change(await self._sight.now(), some_attaches, some_detaches)

    async def _again(
        self,
        view: VmView,
        attaches: Sequence[Attach],
        detaches: Sequence[Detach],
        error: CloudError | None,
    ) -> None:
        """Leave the wishes for the next write, which reads the VM and chooses LUNs afresh; not for ever."""
        for attach in attaches:
            self.book.let_go(view, attach)
        wishes: list[Wish] = [*attaches, *detaches]
        if isinstance(error, Throttled):  # the next write waits until there is a request for it
            patience = anyio.current_time() - THROTTLE_PATIENCE
            self.book.fail([wish for wish in wishes if wish.since < patience], error)
            return
        reason = error or Conflict(f"the VM {self.vm.name} does not keep the disks that were attached to it")
        tried = (named(error, wishes) if error is not None else []) or wishes
        self.book.fail([wish for wish in tried if wish.tries >= _TRIES], reason)
        for wish in tried:
            wish.tries += 1
        if error is not None:
            pause = min(30.0, 0.5 * 2 ** max((wish.tries for wish in tried), default=0))
            self._rests_until = anyio.current_time() + pause


def _stolen(view: VmView, attaches: Sequence[Attach]) -> bool:
    """Whether a stranger took a LUN between our look and our write."""
    return any(entry.lun == wish.lun and entry.disk != wish.disk for wish in attaches for entry in view.disks)


def _split(attaches: Sequence[Attach], detaches: Sequence[Detach]) -> list[tuple[Sequence[Attach], Sequence[Detach]]]:
    if attaches:
        first, second = halves(attaches)
        return [(first, []), (second, [])]
    return [([], [wish]) for wish in detaches]
