"""The sweeps' own test: each safeguard of gilder is disabled in turn, and cells must show violations.

A safeguard without which no cell shows a violation is a hole in the sweeps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anyio
from tests.sweeps import afterwards, endurance, trees
from tests.sweeps.cells import Cell, examined
from tests.sweeps.cloud import BATCH, MACHINE, POLL
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.safeguard import Disabled, Safeguard, both, nothing
from tests.sweeps.trees import Changing, Tree
from tests.virtual.place import PretendedDevices

from gilder.azure.arm import Arm
from gilder.azure.machines import VmView, vm_view
from gilder.build.story import Story
from gilder.model.errors import CloudError
from gilder.model.ids import ArmId
from gilder.runtime.journal import Journal
from gilder.runtime.release import MemoryLedger, Patience
from gilder.slots.book import Book
from gilder.slots.pool import LunPool
from gilder.slots.writer import SlotWriter
from localarm.faults import Fault, What

LOST: tuple[What, ...] = ("lose", "drop", "hang", "preempt")


def _signals() -> list[Cell]:
    return [Cell("signal", ("image",), cancelled=(step,)) for step in range(30, 370, 20)]


def _kills() -> list[Cell]:
    kinds = ("image", "version")
    return [Cell("kill", (kind,), killed=step) for kind in kinds for step in range(70, 370, 20)]


def _writes() -> list[Cell]:
    """Faults at the writes of the VM, with one build and with four."""
    faults = [Fault("stranger-attaches", "POST", BATCH, nth=nth) for nth in (1, 2)]
    faults += [Fault(what, "POST", BATCH, nth=nth) for what in LOST for nth in (1, 2)]
    return [Cell("write", ("image",) * builds, (fault,)) for fault in faults for builds in (1, 4)]


def _unseen() -> list[Cell]:
    """The answer to a write of the VM does not come, and the looks after it are stale."""
    looks = [Fault("stale", "GET", MACHINE, nth=nth, times=times) for nth in (2, 3, 4, 5) for times in (1, 2, 3)]
    writes = [Fault(what, "POST", BATCH) for what in ("lose", "hang")]
    return [Cell("unseen", ("image",), (write, look)) for write in writes for look in looks]


def _old_writes() -> list[Cell]:
    faults = [Fault("stranger-attaches", "PUT", MACHINE, nth=nth, lun=3) for nth in (1, 2)]
    return [Cell("old write", ("old service",) * builds, (fault,)) for fault in faults for builds in (1, 2)]


def _lingering() -> list[Cell]:
    return [
        Cell("lingering", ("image",) * builds, linger=linger) for builds in (4, 6, 8) for linger in (-30.0, 30.0, 5.0)
    ]


def _failures() -> list[Cell]:
    kinds = (("image", "images"), ("version", "galleries/images/versions"), ("both", "images"), ("image", "snapshots"))
    return [Cell("failure", (name,), (Fault("fail", "PUT", kind),)) for name, kind in kinds]


def _refused_clean_up() -> list[Cell]:
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    kinds = (("DELETE", "disks"), ("DELETE", "snapshots"), ("GET", POLL))
    return [
        Cell("refused", ("image",), (Fault("refuse", method, kind, nth=nth, **refusal),))  # type: ignore[arg-type]
        for method, kind in kinds
        for nth in ((1,) if method == "DELETE" else (20, 25, 30, 34, 36))
    ]


def _written_back() -> list[Cell]:
    return [Cell("cached", ("written back",) * builds) for builds in (1, 3)]


def _written() -> list[Cell]:
    return [Cell("written", (kind,) * builds) for kind in ("image", "version", "written back") for builds in (1, 3)]


def _links_appear() -> list[Changing]:
    return trees.changing("a link")


def _devices_appear() -> list[Changing]:
    return trees.changing("a device")


# How each is disabled


@contextmanager
def _unshielded() -> Iterator[None]:
    @contextmanager
    def bounded(self: Patience, within: float) -> Iterator[anyio.CancelScope]:
        with anyio.move_on_after(within) as scope:
            yield scope

    with patch.object(Patience, "bounded", bounded):
        yield


def _no_intent() -> Disabled:
    async def forgotten(self: Journal, *args: object) -> int:
        return 0

    return patch.object(Journal, "intend", forgotten)


def _no_residue() -> Disabled:
    async def silent(self: MemoryLedger, entry: Any, why: str) -> None:
        self._held.pop(entry.number, None)

    return patch.object(MemoryLedger, "left", silent)


def _no_undo() -> Disabled:
    """Images that failed are left as they are."""
    return patch("gilder.build.publish.delete_product", nothing)


def _unwaited_deletion() -> Disabled:
    async def at_once(state: Any, usual: Any) -> str:
        return str(await state())

    return both(
        patch("gilder.azure.settling.settled", at_once),
        patch("gilder.azure.settling._TRIES", 1),
    )


def _no_etag() -> Disabled:
    change = Arm.change

    async def unmatched(self: Arm, *args: Any, **options: Any) -> Any:
        options.pop("etag", None)
        options.pop("match_condition", None)
        return await change(self, *args, **options)

    return patch.object(Arm, "change", unmatched)


def _no_identity() -> Disabled:
    return patch("gilder.slots.devices._doubt", lambda device, size, before: "")


def _no_quarantine() -> Disabled:
    def given_back(self: LunPool, lun: int, why: str) -> None:
        self.give_back(lun)

    def seen(self: LunPool, listed: Any, visible: Any) -> None:
        observe(self, listed, listed)

    observe = LunPool.observe
    return both(patch.object(LunPool, "quarantine", given_back), patch.object(LunPool, "observe", seen))


def _lost_answers_believed() -> Disabled:
    """An answer that did not come is taken for a refusal: nobody looks what became of the write."""

    async def changed(self: SlotWriter, view: VmView, attaches: Any, detaches: Any) -> None:
        try:
            await self._send(view, attaches, detaches)
        except CloudError as error:
            for wish in attaches:
                self.book.let_go(view, wish)
            self.book.fail([*attaches, *detaches], error)
            return
        await change(self, view, attaches, detaches)

    change = SlotWriter._change
    return patch.object(SlotWriter, "_change", changed)


def _no_doubt() -> Disabled:
    """Whether an attach that was not answered took effect after all is not asked when its disk is given back."""

    async def sure(self: SlotWriter, disk: ArmId) -> None:
        self.book.in_doubt.discard(disk)
        await detach(self, disk)

    detach = SlotWriter.detach
    return patch.object(SlotWriter, "detach", sure)


def _success_believed() -> Disabled:
    """A write that ended is taken to have done what was asked, even if it failed."""

    def believed(self: Book, view: VmView, wish: Any) -> bool:
        self.settle(wish)
        return True

    return patch.object(Book, "attached", believed)


def _unflushed() -> Disabled:
    """The machine's devices are not told to write what they hold."""
    return patch.object(PretendedDevices, "flush", nothing)


def _snapshot_first() -> Disabled:
    return patch("gilder.build.recipe.Caching", SimpleNamespace(READ_WRITE=object()))


def _hasty_recovery() -> Disabled:
    return both(
        patch("gilder.slots.leftovers.settled_view", vm_view),
        patch("gilder.slots.leftovers.collided", lambda error: False),
    )


def _silent_publishing() -> Disabled:
    return patch.object(Story, "say", lambda self, text: None)


SAFEGUARDS = (
    Safeguard("releases are shielded from cancellation", _unshielded, _signals),
    Safeguard("intent is journalled before the act", _no_intent, _kills),
    Safeguard("what cannot be removed is told", _no_residue, _refused_clean_up),
    Safeguard("a failed image is removed", _no_undo, _failures),
    Safeguard("what is published is told when the build fails", _silent_publishing, _failures),
    Safeguard(
        "a deletion waits for changes under way",
        _unwaited_deletion,
        lambda: [*_signals(), *_kills()],
    ),
    Safeguard("the VM update carries If-Match", _no_etag, _old_writes),
    Safeguard("a device is proven to be the disk's", _no_identity, _lingering),
    Safeguard(
        "LUNs whose old device shows are quarantined (identity check off as well)",
        lambda: both(_no_quarantine(), _no_identity()),
        _lingering,
    ),
    Safeguard(
        "a batch whose answer is lost is settled by looking (and not looked for at the end either)",
        lambda: both(_lost_answers_believed(), _no_doubt()),
        _writes,
    ),
    Safeguard(
        "a disk in doubt is looked for when it is given back (and one look is believed after a lost answer)",
        lambda: both(_no_doubt(), patch("gilder.slots.sight.LOOK_AGAIN", ())),
        _unseen,
    ),
    Safeguard("a batch that ended is settled by looking", _success_believed, _writes),
    Safeguard("a disk is flushed before its snapshot", _unflushed, _written),
    Safeguard("a disk with a ReadWrite cache is detached before its snapshot", _snapshot_first, _written_back),
    Safeguard("recovery waits for a change of the VM under way", _hasty_recovery, _kills),
    Safeguard("a path in an image is resolved beneath its root", trees.links_followed, trees.hostile, root=True),
    Safeguard("a directory in an image is pinned while used", trees.directories_by_name, _links_appear, root=True),
    Safeguard("a file in an image is pinned before it is opened", trees.files_by_name, _devices_appear, root=True),
    *afterwards.SAFEGUARDS,
    *endurance.SAFEGUARDS,
)


def _violations(cell: Cell | Tree | Changing) -> tuple[str, ...]:
    return examined(cell).violations if isinstance(cell, Cell) else cell.violations()


def sweep(effort: Effort, safeguards: Sequence[Safeguard] = SAFEGUARDS) -> Tally:
    """Disable each safeguard; without `everything`, stop at the first cell that shows it.

    A cell counts when it shows a violation only while the safeguard is disabled; a safeguard that none shows is one itself.
    """
    tally = Tally()
    for safeguard in safeguards:
        if safeguard.root and os.geteuid() != 0:
            tally.remarks.append(f"{safeguard.name}: left out, its cells need root")
            continue
        caught, tried = 0, 0
        for cell in safeguard.cells():
            with safeguard.disabled():
                violations = _violations(cell)
            tried += 1
            caught += bool(violations) and not _violations(cell)
            effort.say(f"without “{safeguard.name}”: {cell}: {'; '.join(violations) or 'nothing'}")
            if caught and not effort.everything:
                break
        tally.cells[safeguard.name] += caught
        tally.remarks.append(f"{safeguard.name} → {caught} of {tried} cells")
        if not caught:
            tally.violations.append(f"nothing shows that “{safeguard.name}” is disabled")
    return tally
