"""A model of the reference builder's order of calls, under the same faults: what it leaves, beside what gilder leaves.

A model, not the program: azure-chroot of the Packer plugin for Azure, in the order of its steps and of their clean-up
(read in diskattacher.go, step_attach_disk.go and the steps beside them). Where versions or readings differ it is the
kinder one: each build has names of its own, every change of the VM is waited for, every request is tried three times
when the cloud is busy or does not answer, and polling goes on for ever. What is left of it is in its order of calls:
the VM is read, changed and written back without a lock or an etag; a disk is detached only if its device was seen; an
image that failed stays; what cannot be removed at the end stays; and there is nothing that recovers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import anyio
from azure.core.exceptions import AzureError
from azure.mgmt.compute import models
from tests.sweeps.cells import SLOTS, Cell, Found, Stepping, examined, furnished
from tests.sweeps.cloud import BATCH, MACHINE, cells
from tests.sweeps.frame import Effort, Tally
from tests.sweeps.scenarios import SCENARIOS
from tests.sweeps.scene import CachingPlugs, Scene, mark_of, staged
from tests.sweeps.standing import OURS, products, remains
from tests.sweeps.watch import OUR_RUNS
from tests.virtual.loop import in_virtual_time
from tests.virtual.place import VM

from gilder.azure.arm import Arm
from gilder.azure.disks import DiskPlan, FromPlatformImage, create_disk
from gilder.azure.errors import cloud_error
from gilder.azure.images import ImagePlan, create_image, platform_version
from gilder.azure.operations import Usual, looks
from gilder.azure.snapshots import SnapshotPlan, take_snapshot
from gilder.model.errors import CloudError, GilderError, HostError, Throttled, Unreachable
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, DiskSku, PlatformImage
from gilder.model.tags import of_build

T = TypeVar("T")

_DEVICE_WITHIN = 180.0
"""Seconds that the reference waits for a device."""

_SETTLING = 3600.0
"""Seconds after the end until what is still there counts as left."""


class ThriceArm(Arm):
    """Requests tried three times, a second apart, when the cloud is busy or does not answer."""

    async def ask(
        self,
        doing: str,
        call: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = True,
        lane: str = "",
        patient: bool = True,
        waiting: Callable[[str], None] = lambda what: None,
    ) -> T:
        for left in (2, 1, 0):
            try:
                return await call()
            except AzureError as error:
                refusal: CloudError = cloud_error(error, doing)
            if not left or not isinstance(refusal, Throttled | Unreachable):
                raise refusal
            await anyio.sleep(1)
        raise AssertionError("the last try returns or raises")


class Steps:
    """One build, step by step; `clean_ups` are those of the steps begun."""

    def __init__(self, scene: Scene, arm: Arm, spec: BuildSpec) -> None:
        self._scene = scene
        self._arm = arm
        self._spec = spec
        self._client: Any = arm.client(VM.subscription)
        self._disk = VM.sibling("disks", f"{OURS}1-{spec.name}-osdisk")
        self._snapshot = VM.sibling("snapshots", f"{OURS}1-{spec.name}-snapshot")
        self._tags = of_build(f"{OUR_RUNS}1", spec.name)
        self._attached = False
        self._clean_ups: list[Callable[[], Awaitable[None]]] = []

    async def run(self) -> bool:
        """Whether it was built."""
        try:
            await self._run()
        except GilderError:
            return False
        finally:
            for clean_up in reversed(self._clean_ups):
                try:
                    await clean_up()
                except GilderError:
                    continue  # it is logged, and the disk stays
        return True

    async def _run(self) -> None:
        spec = self._spec
        assert isinstance(spec.source, PlatformImage)
        assert spec.image_resource_id is not None
        source = await platform_version(self._arm, VM.subscription, "westeurope", spec.source)
        self._clean_ups.append(lambda: self._delete(self._client.disks, self._disk))
        await create_disk(
            self._arm,
            DiskPlan(
                id=self._disk,
                location="westeurope",
                zone="",
                source=FromPlatformImage(source.id),
                sku=DiskSku.STANDARD_LRS,
                tags=self._tags,
            ),
        )
        self._clean_ups.append(self._detach)
        lun = await self._attach()
        await self._work(lun)
        await self._detach()
        self._clean_ups.append(lambda: self._delete(self._client.snapshots, self._snapshot))
        plan = SnapshotPlan(id=self._snapshot, disk=self._disk, location="westeurope", tags=self._tags)
        await take_snapshot(self._arm, plan)
        await create_image(
            self._arm,
            ImagePlan(
                id=spec.image_resource_id,
                location="westeurope",
                snapshot=self._snapshot,
                generation=spec.image_hyperv_generation,
                caching=spec.os_disk_cache_type,
                sku=spec.os_disk_storage_account_type,
            ),
        )

    async def _read(self) -> models.VirtualMachine:
        get = self._client.virtual_machines.get
        found: models.VirtualMachine = await self._arm.ask("reading the VM", lambda: get(VM.resource_group, VM.name))
        return found

    async def _write(self, change: Callable[[list[models.DataDisk]], list[models.DataDisk]]) -> None:
        """Write the whole VM back, with the list that was read a request earlier."""
        assumed = change(_disks(await self._read()))
        machine = await self._read()
        assert machine.properties is not None
        assert machine.properties.storage_profile is not None
        machine.properties.storage_profile.data_disks = assumed
        begin = self._client.virtual_machines.begin_create_or_update
        operation = await self._arm.change("writing the VM", begin, VM.resource_group, VM.name, machine)
        await self._arm.finished(VM.subscription, operation, looks(Usual.CHANGE_DISKS))

    async def _attach(self) -> int:
        chosen = 0

        def with_ours(disks: list[models.DataDisk]) -> list[models.DataDisk]:
            nonlocal chosen
            chosen = next(lun for lun in range(64) if all(disk.lun != lun for disk in disks))
            managed = models.ManagedDiskParameters(id=str(self._disk))
            return [*disks, models.DataDisk(lun=chosen, create_option="Attach", managed_disk=managed)]

        await self._write(with_ours)
        with anyio.move_on_after(_DEVICE_WITHIN):
            while chosen not in self._scene.plugs.attached():
                await anyio.sleep(1)
        if chosen not in self._scene.plugs.attached():
            raise HostError("no device")
        self._attached = True
        return chosen

    async def _work(self, lun: int) -> None:
        plugs = self._scene.plugs
        assert isinstance(plugs, CachingPlugs)
        number = plugs.sequence.get(lun)
        plugs.mounted.add(lun)
        try:
            await anyio.sleep(1)
        finally:
            plugs.mounted.discard(lun)
        if plugs.sequence.get(lun) != number:
            raise HostError("Input/output error")
        plugs.write(lun, mark_of(self._spec.name), cached=False)

    async def _detach(self) -> None:
        if not self._attached:
            return
        ours = str(self._disk).lower()

        def without_ours(disks: list[models.DataDisk]) -> list[models.DataDisk]:
            return [disk for disk in disks if not disk.managed_disk or (disk.managed_disk.id or "").lower() != ours]

        await self._write(without_ours)
        self._attached = False

    async def _delete(self, collection: Any, id_: ArmId) -> None:
        operation = await self._arm.change("deleting", collection.begin_delete, id_.resource_group, id_.name)
        await self._arm.finished(id_.subscription, operation, looks(Usual.DELETE))


def _disks(machine: models.VirtualMachine) -> list[models.DataDisk]:
    storage = machine.properties.storage_profile if machine.properties else None
    return list((storage.data_disks if storage else None) or [])


def modelled(cell: Cell) -> Found:
    """What the model does in a cell; what is wrong afterwards is among its violations."""
    aimed = tuple(_aimed_at_the_model(fault) for fault in cell.faults)
    selector = Stepping()
    with tempfile.TemporaryDirectory(prefix="gilder-cell-") as folder:
        return in_virtual_time(lambda: _modelled(replace(cell, faults=aimed), Path(folder)), selector)[0]


def _aimed_at_the_model(fault: Any) -> Any:
    """The reference changes attachments by writing the VM."""
    return replace(fault, method="PUT", kind=MACHINE) if fault.kind == BATCH else fault


async def _modelled(cell: Cell, folder: Path) -> Found:
    async with staged(folder, SLOTS) as scene:
        specs = await furnished(scene, cell)
        armed = scene.strike(*cell.faults, *SCENARIOS[cell.scenarios[0]].standing)
        credential, transport = scene.arm._credential, scene.arm._transport
        arm = ThriceArm(scene.arm.cloud, credential, transport)
        built: dict[str, bool] = {}

        async def one(spec: BuildSpec) -> None:
            built[spec.name] = await Steps(scene, arm, spec).run()

        async with anyio.create_task_group() as group:
            for spec in specs:
                group.start_soon(one, spec)
        await anyio.sleep(_SETTLING)
        fired = any(each.fired for each in armed[: len(cell.faults)])
        left = sorted(remains(scene))
        wrong = [*scene.plugs.violations]
        for spec in specs:
            for id_ in products(spec):
                found = scene.resource(id_)
                if found is not None and not built[spec.name]:
                    left.append(f"image {id_.name}")
                elif found is not None:
                    with scene.world.blobs.path(found.hidden["blobs"]["os"]).open("rb") as disk:
                        if not disk.read(64).startswith(mark_of(spec.name)):
                            wrong.append(f"{id_.name} has not what {spec.name} made")
        failed = sum(not ended for ended in built.values())
        return Found(fired, tuple(wrong), failed, left=tuple(left))


def sweep(effort: Effort) -> Tally:
    """The same cells against both; the tally is gilder's, the remarks compare."""
    tally = Tally()
    drawn = cells(("image",), (1, 8) if effort.everything else (1,))
    if not effort.everything:
        drawn = Random(effort.seed).sample(drawn, 15)
    for builds in sorted({len(cell.scenarios) for cell in drawn}):
        ours, theirs = _Sum(), _Sum()
        for cell in (cell for cell in drawn if len(cell.scenarios) == builds):
            found, model = examined(cell), modelled(cell)
            if not (found.fired and model.fired):
                continue
            tally.cells[cell.kind] += 1
            tally.violations += [f"{cell}: {what}" for what in found.violations]
            ours.add(found, found.left_in_the_end)
            theirs.add(model, model.left)
            effort.say(f"{cell}: gilder leaves {len(found.left_in_the_end)}, the model {len(model.left)}")
        tally.remarks.append(
            f"{builds} builds, {ours.cells} cells: gilder {ours}, and the model of the reference builder {theirs}"
        )
    return tally


class _Sum:
    """What all cells of one builder add up to."""

    def __init__(self) -> None:
        self.cells = 0
        self.leaking = 0
        self.things = 0
        self.failed = 0
        self.wrong = 0

    def add(self, found: Found, left: tuple[str, ...]) -> None:
        """Count one cell."""
        self.cells += 1
        self.leaking += bool(left)
        self.things += len(left)
        self.failed += found.failed
        self.wrong += bool(found.violations)

    def __str__(self) -> str:
        return f"leaves something in {self.leaking} ({self.things} things, {self.failed} builds failed, {self.wrong} wrong)"
