"""After a crash: finish what the cloud still works on or what only has to be published, and remove the rest.

Everything is done by observation, so that it may be interrupted and done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from gilder.azure.arm import Arm
from gilder.azure.disks import delete_disk
from gilder.azure.operations import Begun, Operation
from gilder.azure.settling import Removal
from gilder.azure.snapshots import delete_snapshot
from gilder.build.leases import Leases, renewed
from gilder.build.products import ProductPlan, plan_from, snapshots_of
from gilder.engine.finishing import End, finish
from gilder.engine.patience import in_time
from gilder.engine.waiting import telling
from gilder.model.errors import Busy, GilderError
from gilder.model.ids import ArmId
from gilder.model.tags import of_build
from gilder.runtime.filelock import Turn
from gilder.runtime.journal import Journal, ResidueRecord, RunRecord
from gilder.slots.devices import SlotDevices
from gilder.slots.leftovers import Detached, detach_leftovers

Delete = Callable[[Arm, ArmId, Mapping[str, str]], Awaitable[Removal]]
"""Deletes a resource that carries these tags."""

_PRODUCTS = ("image", "image version")
"""Kinds of what a build is for; everything else is temporary."""


_UNRECORDED = "its end was not recorded: gilder was killed, the machine went down, or the journal could not be written"
"""Why a build failed of which the journal has no end: which of these it was, recovery cannot tell."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did: images finished, things removed, things left with the reason."""

    run: str
    published: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]


class Recovery:
    """Recovers the runs of one journal, with the identity and on the VM that they had."""

    def __init__(
        self,
        arm: Arm,
        vm: ArmId,
        journal: Journal,
        devices: SlotDevices,
        turn: Turn,
        say: Callable[[str], None],
    ) -> None:
        self._arm = arm
        self._vm = vm
        self._journal = journal
        self._devices = telling(devices, say)
        self._turn = turn
        self._say = say
        self._published: list[str] = []
        self._removed: list[str] = []
        self._left: list[str] = []
        self._needed: set[ArmId] = set()
        self._unreadable: set[str] = set()
        """Builds of which it is not known what they were to make, and of what."""

    async def recover(self, run: RunRecord) -> Recovered:
        """Finish or remove everything that a dead run holds; what cannot be is named and stays in the journal."""
        self._published, self._removed, self._left = [], [], []
        self._needed, self._unreadable = set(), set()
        residues = [residue for residue in await self._journal.residues(run.id) if await self._readable(residue)]
        try:
            await self._settled(run, residues)
        except anyio.get_cancelled_exc_class():  # whoever stopped it would not hear what is gone already
            so_far = (("published", self._published), ("removed", self._removed), ("LEFT", self._left))
            for done, thing in ((done, thing) for done, things in so_far for thing in things):
                self._say(f"run {run.id}: {done} {thing}")
            raise
        return Recovered(run.id, tuple(self._published), tuple(self._removed), tuple(self._left))

    async def _settled(self, run: RunRecord, residues: Sequence[ResidueRecord]) -> None:
        """Finish or remove these; what cannot be is in `_left` afterwards."""
        leases = Leases(self._arm, run.id)
        of = {kind: [r for r in residues if r.kind == kind] for kind in {r.kind for r in residues}}
        # A replication may take an hour; slots and disks are given back meanwhile.
        async with renewed(leases), anyio.create_task_group() as group:
            for residue in (*of.get("image", ()), *of.get("image version", ())):
                group.start_soon(self._publish, residue, leases)
            group.start_soon(self._disks, of.get("attachment", []), of.get("disk", []))
        await self._snapshots(of.get("snapshot", []))
        await self._close(run, {residue.build for residue in residues if residue.kind in _PRODUCTS})

    async def _readable(self, residue: ResidueRecord) -> bool:
        """Whether the record names a resource; one that was tampered with is no reason to leave the others."""
        if residue.kind not in _PRODUCTS:  # those have a plan
            try:
                ArmId.parse(residue.handle)
            except ValueError as error:
                await self._stays(residue, f"its record cannot be read: {error}")
                return False
        return True

    async def _publish(self, residue: ResidueRecord, leases: Leases) -> None:
        """Follow, resume or remove an image (version) that was being published."""

        def say(text: str) -> None:
            self._say(f"{residue.build}: {text}")

        try:
            plan = plan_from(residue.data)
        except ValueError as error:
            self._unreadable.add(residue.build)
            await self._stays(residue, f"its record cannot be read: {error}")
            return
        say(f"looking at the {residue.kind} {residue.name}")
        for snapshot in snapshots_of(plan):  # the crash may be so long ago that others take them for garbage
            leases.taken_over(snapshot)
        try:
            operations, begun = await self._operations(residue), self._noting(residue)
            end = await finish(self._arm, plan, _tags(residue), operations, begun, say)
        except GilderError as error:
            self._needed |= set(snapshots_of(plan))
            await self._stays(residue, error.message)
            return
        match end:
            case End.PUBLISHED:
                self._published.append(residue.handle)
                await self._journal.kept(residue.id)
            case End.REMOVED:
                await self._gone(residue)
            case End.ABSENT:
                await self._absent(residue)
            case End.NOT_OURS:
                await self._foreign(residue)

    async def _operations(self, residue: ResidueRecord) -> list[Operation]:
        """The operations that were begun on a resource, oldest first."""
        found = [one for one in await self._journal.operations(residue.run) if one.resource == residue.handle]
        operations = []
        for record in found:
            try:
                operations.append(Operation.resumed(record.doing, record.token))
            except ValueError:  # looking at the resource does as well
                self._say(f"{residue.build}: the record of an operation cannot be read")
        return operations

    def _noting(self, residue: ResidueRecord) -> Begun:
        """Writes down what recovery itself begins: it may be killed too."""

        async def note(operation: Operation) -> None:
            run, build, token = residue.run, residue.build, operation.token()
            await self._journal.operation_started(run, build, residue.handle, operation.doing, token)

        return note

    async def _snapshots(self, residues: Sequence[ResidueRecord]) -> None:
        """Delete snapshots, but none of which an image is still to be made."""
        free = []
        for residue in residues:
            if ArmId.parse(residue.handle) in self._needed or residue.build in self._unreadable:
                await self._stays(residue, "an image is still to be made of it")
            else:
                free.append(residue)
        why = await self._all(free, delete_snapshot)
        for residue in free:
            if residue.id in why:
                await self._stays(residue, why[residue.id].message)

    async def _disks(self, attachments: Sequence[ResidueRecord], disks: Sequence[ResidueRecord]) -> None:
        """Detach and delete disks. Whether one is attached is asked of all: an earlier recovery may have seen wrongly that
        it was not, and have closed the record of its attachment."""
        residues = [*attachments, *disks]
        if not residues:
            return
        free, why = await self._detached(residues)
        why |= await self._all(free, delete_disk)
        for residue in residues:
            if (error := why.get(residue.id)) is not None:
                # The command that follows is a recovery perhaps, which would meet the same again.
                first = " (let go of it first)" if isinstance(error, Busy) else ""
                await self._stays(residue, error.message + first)

    async def _detached(self, residues: Sequence[ResidueRecord]) -> tuple[list[ResidueRecord], dict[int, GilderError]]:
        """Detach the disks that these are about; the disks that are free, and by number what could not be done, and why."""
        wanted = {ArmId.parse(residue.handle): _tags(residue) for residue in residues}
        try:
            found = await detach_leftovers(self._arm, self._vm, self._devices, wanted, self._turn)
        except GilderError as error:
            found = Detached(dict.fromkeys(wanted, error))
        free, why = [], {}
        for residue in residues:
            disk = ArmId.parse(residue.handle)
            if (refusal := found.refused.get(disk)) is not None:
                why[residue.id] = refusal
            elif disk in found.foreign:
                await self._foreign(residue)
            elif residue.kind == "attachment":
                await (self._gone if disk in found.detached else self._absent)(residue)
            else:
                free.append(residue)
        return free, why

    async def _all(self, residues: Sequence[ResidueRecord], delete: Delete) -> dict[int, GilderError]:
        """Delete these; by number what could not be deleted, and why."""
        why: dict[int, GilderError] = {}
        told = {Removal.DONE: self._gone, Removal.ABSENT: self._absent, Removal.FOREIGN: self._foreign}

        async def remove(residue: ResidueRecord) -> None:
            try:
                done = await in_time(delete(self._arm, ArmId.parse(residue.handle), _tags(residue)))
            except GilderError as error:
                why[residue.id] = error
            else:
                await told[done](residue)

        async with anyio.create_task_group() as group:
            for residue in residues:
                group.start_soon(remove, residue)
        return why

    async def _gone(self, residue: ResidueRecord) -> None:
        self._removed.append(f"{residue.kind} {residue.name}")
        await self._journal.released(residue.id)

    async def _absent(self, residue: ResidueRecord) -> None:
        """What was noted before it was begun may never have been: that it was removed would be untrue."""
        self._say(f"{residue.build}: there is no {residue.kind} {residue.name}, so nothing of it is removed")
        await self._journal.released(residue.id)

    async def _foreign(self, residue: ResidueRecord) -> None:
        """Leave a thing alone that this build did not make: names that users chose are used again."""
        self._say(
            f"{residue.build}: the {residue.kind} {residue.name} that is there now is not of this build, and stays"
        )
        await self._journal.released(residue.id)

    async def _stays(self, residue: ResidueRecord, why: str) -> None:
        self._left.append(f"{residue.kind} {residue.name}: {why}; remove it with: {residue.remedy}")
        await self._journal.left(residue.id, why)

    async def _close(self, run: RunRecord, published: set[str]) -> None:
        """Note how the builds ended: built if all that they were to make is there, whoever finished it."""
        products = await self._journal.products(run.id)
        for build in await self._journal.builds(run.id):
            if build.status != "running" and build.name not in published:
                continue
            wanted = products.get(build.name, [])
            there = [product.handle for product in wanted if product.state == "kept"]
            complete = bool(wanted) and not _all_of(wanted) - set(there)
            if complete and not _followed(wanted):
                await self._journal.build_finished(run.id, build.name, "built", "", "", there)
            elif build.status == "running":
                why = _UNRECORDED
                if complete:
                    why += "; whether its post-processors had ended is not known: what they have not done, do by hand"
                    self._say(f"{build.name}: {why}")
                await self._journal.build_finished(run.id, build.name, "failed", build.stage, why, there)
            elif there:  # why it did not end well is known; that one of its images is there may be new
                await self._journal.build_finished(run.id, build.name, build.status, build.stage, build.error, there)
        if not self._left:
            await self._journal.run_finished(run.id, "recovered")


def _all_of(products: Sequence[ResidueRecord]) -> set[str]:
    """The ids of all that a build was to make, also of what was not noted yet when it was killed."""
    found = {product.handle for product in products}
    for plan in _plans(products):
        found |= {str(plan.beside)} if plan.beside else set()
    return found


def _followed(products: Sequence[ResidueRecord]) -> bool:
    """Whether a build had more to do once its images were there."""
    return any(plan.followed for plan in _plans(products))


def _plans(products: Sequence[ResidueRecord]) -> Iterator[ProductPlan]:
    for product in products:
        with suppress(ValueError):  # of an older gilder, or tampered with
            yield plan_from(product.data)


def _tags(residue: ResidueRecord) -> dict[str, str]:
    """By what a thing is known that its build made."""
    return of_build(residue.run, residue.build)
