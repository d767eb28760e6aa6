"""What others do in a cell: move disks about, make things under names that builds use too, collect garbage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import anyio
from azure.mgmt.compute import models
from tests.sweeps.scene import Scene, identity
from tests.sweeps.standing import products
from tests.virtual import furnishing
from tests.virtual.place import GROUP, VM, Place, PretendedDevices, no_turn

from gilder.azure.snapshots import SnapshotPlan, delete_snapshot, take_snapshot
from gilder.engine import Collector, Here
from gilder.model.errors import CloudError
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec
from gilder.model.tags import RUN, of_build
from localarm import mischief
from localarm.faults import Fault
from localarm.resources import Resource
from localarm.settings import SUBSCRIPTION

Making = Literal["image", "version", "disk", "snapshot", "no snapshot"]
"""What others make of a build's names; `no snapshot`: they delete its snapshots."""

OTHER_VM = furnishing.id_of("virtualMachines", "other-host")
THEIRS = of_build("their-run", "theirs")
DEAD = -1.0
"""The time of what others do between the death of a process and the recovery."""


async def move(scene: Scene, at: float, fault: Fault) -> None:
    """Have a stranger use the VM after so many seconds."""
    await anyio.sleep(at)
    mischief.strangers(scene.world, fault)


async def old_products(scene: Scene, specs: Sequence[BuildSpec], source: str) -> None:
    """Have images (versions) there that the builds replace, made of a disk or of a snapshot."""
    made_of = await furnishing.disk(scene, "old")
    if source == "snapshot":
        snapshot = furnishing.id_of("snapshots", "old")
        await take_snapshot(scene.arm, SnapshotPlan(id=snapshot, disk=made_of, location=furnishing.REGION))
        made_of = snapshot
    for spec in specs:
        for id_ in products(spec):
            await _product(scene, id_, made_of)
            _noted(scene, id_)


async def make(scene: Scene, spec: BuildSpec, at: float, what: Making) -> None:
    """Make something under a name of a build's after so many seconds, unless there is such a thing."""
    await anyio.sleep(max(0.0, at))
    async with scene.beside() as place:
        if what == "no snapshot":
            for snapshot in scene.world.all("snapshots"):
                if (snapshot.body.get("tags") or {}).get(RUN):
                    await delete_snapshot(place.arm, ArmId.parse(snapshot.id))
                    scene.made += 1
            return
        id_ = _name_of(spec, what)
        if id_ is None or scene.world.find("/".join(id_.types).lower(), str(id_)) is not None:
            return
        async with anyio.create_task_group() as group:
            group.start_soon(_note_soon, scene, id_)
            with suppress(CloudError):  # the build came first
                await _made(place, id_, what)
            group.cancel_scope.cancel()


async def _note_soon(scene: Scene, id_: ArmId) -> None:
    """Note what is being made as soon as it shows."""
    while scene.world.find("/".join(id_.types).lower(), str(id_)) is None:
        await anyio.sleep(0.001)
    found = _noted(scene, id_)
    scene.kept[found.id.lower()] = found.body.get("tags")
    scene.made += 1


def _name_of(spec: BuildSpec, what: Making) -> ArmId | None:
    found = [id_ for id_ in products(spec) if id_.is_type("images") == (what == "image")]
    names = {"disk": spec.temporary_os_disk_id, "snapshot": spec.temporary_os_disk_snapshot_id}
    return names[what] if what in names else next(iter(found), None)


async def _made(place: Place, id_: ArmId, what: Making) -> None:
    if what == "disk":
        properties = models.DiskProperties(creation_data=models.CreationData(create_option="Empty"), disk_size_gb=1)
        body = models.Disk(location=furnishing.REGION, tags=THEIRS, properties=properties)
        await furnishing.put(place, "disks", id_, body)
        return
    source = await furnishing.disk(place, f"source-of-their-{what}")
    if what == "snapshot":
        plan = SnapshotPlan(id=id_, disk=source, location=furnishing.REGION, tags=THEIRS)
        await take_snapshot(place.arm, plan)
    else:
        await _product(place, id_, source)


async def _product(place: Place, id_: ArmId, source: ArmId) -> None:
    if id_.is_type("images"):
        await furnishing.image(place, id_.name, source)
    else:
        await furnishing.version(place, id_.name, source)


def _noted(scene: Scene, id_: ArmId) -> Resource:
    """Note that others made this."""
    found = scene.world.find("/".join(id_.types).lower(), str(id_))
    assert found is not None
    scene.theirs[found.id.lower()] = identity(found)
    return found


async def collect(scene: Scene, *, elsewhere: bool) -> None:
    """Collect garbage as another VM does, or as this one without a journal."""
    async with scene.beside() as place:
        here = Here(OTHER_VM if elsewhere else VM, lambda run: "")
        devices = PretendedDevices(scene.plugs) if elsewhere else scene.devices(scene.plugs)
        collector = Collector(place.arm, here, devices, no_turn)
        with suppress(CloudError):  # on another VM, what goes wrong here may hit it too
            done = await collector.collect(await collector.found(SUBSCRIPTION, [GROUP]))
            scene.collected += [str(id_) for id_ in done.removed]
