"""Safeguards of what comes after the work on a disk: publishing, recovery, whose a thing is, leases; each can be disabled."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import anyio
from azure.mgmt.compute import models
from tests.sweeps.cells import Cell
from tests.sweeps.circumstances import HOURS, VERSIONS, long
from tests.sweeps.cloud import MACHINE
from tests.sweeps.others import DEAD, Making
from tests.sweeps.safeguard import Disabled, Safeguard, both, nothing
from tests.virtual.place import PretendedDevices

from gilder.azure import images
from gilder.azure.images import ImagePlan
from gilder.azure.settling import Product
from gilder.build.leases import Leases
from gilder.build.products import plan_from
from gilder.runtime.ledger import JournalLedger
from localarm.faults import Fault

PRODUCTS = {"image": "images", "version": VERSIONS}


def _products_made() -> list[Cell]:
    """Others make an image of the name meanwhile, or before the recovery."""
    cells = []
    for what in ("version", "image"):
        making: Making = "version" if what == "version" else "image"
        cells.append(Cell("meanwhile", (what,), works=60.0, makings=((30.0, making),)))
        cells += [Cell("then", (what,), killed=step, makings=((DEAD, making),)) for step in range(150, 200, 10)]
    return cells


def _temporaries_made() -> list[Cell]:
    """Others make a disk or a snapshot of a name that the template gives."""
    cells = [Cell("meanwhile", ("named",), works=60.0, makings=((30.0, "snapshot"),))]
    cells += [Cell("then", ("named",), killed=step, makings=((DEAD, "disk"),)) for step in range(40, 60, 4)]
    return cells + [
        Cell("then", ("named",), killed=step, makings=((DEAD, "snapshot"),)) for step in range(100, 180, 20)
    ]


def _refused_at_first() -> list[Cell]:
    """The first recovery may not publish."""
    return [
        Cell("refused", (name,), (unheard,), killed=step, recovering=(refused,))
        for name, kind in PRODUCTS.items()
        for unheard in [Fault("drop", "PUT", kind, times=99)]
        for refused in [Fault("refuse", "PUT", kind, status=403, code="AuthorizationFailed", times=99)]
        for step in range(200, 300, 10)
    ]


def _published_later() -> list[Cell]:
    """Recovery publishes what the build could not."""
    return [
        Cell("later", (name,), (Fault("drop", "PUT", kind, times=99),), killed=step)
        for name, kind in PRODUCTS.items()
        for step in (250, 270, 290)
    ]


def _snapshots_gone() -> list[Cell]:
    gone: Making = "no snapshot"
    return [replace(cell, makings=((DEAD, gone),)) for cell in _replaced()]


def _stale(kind: str, times: int = 1) -> Callable[[], list[Cell]]:
    """The looks of the recovery at these are stale."""

    def cells() -> list[Cell]:
        name = "version" if kind == VERSIONS else "image"
        stale = Fault("stale", "GET", kind, times=times)
        return [Cell("stale", (name,), killed=step, recovering=(stale,), passing=True) for step in range(70, 320, 6)]

    return cells


def _unseen() -> list[Cell]:
    """Stopped while the image is being made, which the look that follows does not show yet."""
    stale = Fault("stale", "GET", "images", nth=2)
    return [Cell("unseen", ("image",), (stale,), cancelled=(step,)) for step in range(190, 290, 4)]


def _replaced() -> list[Cell]:
    """Killed when the old image was to go, and had not."""
    return [
        Cell("replaced", (name,), (Fault("drop", "DELETE", kind, times=99),), killed=step, old="disk")
        for name, kind in PRODUCTS.items()
        for step in range(210, 300, 10)
    ]


def _aged() -> list[Cell]:
    return [long("long", name, 27 * HOURS) for name in ("image", "with data")]


def _busy() -> list[Cell]:
    return [Cell("busy", (name,), busy=5.0, passing=True) for name in ("image", "written back")]


def _with_data() -> list[Cell]:
    return [Cell("data", ("with data",) * builds) for builds in (1, 2)]


# How each is disabled


def _any_product() -> Disabled:
    return patch.object(Product, "of", lambda self, snapshot: True)


def _any_tags() -> Disabled:
    def yes(tags: object, wanted: object) -> bool:
        return True

    places = ("azure.disks", "azure.snapshots", "slots.leftovers")
    return both(*(patch(f"gilder.{place}.carries", yes) for place in places))


def _unmarked() -> Disabled:
    """What was there before is not known again."""
    marks = map(str, itertools.count())
    return patch.object(Product, "mark", property(lambda self: next(marks)))


async def _yes(*args: object) -> bool:
    return True


def _never_renewed() -> Disabled:
    async def run(self: Leases) -> None:
        await anyio.sleep_forever()

    return patch.object(Leases, "run", run)


@contextmanager
def _data_disks(
    change: Callable[[ImagePlan, list[models.ImageDataDisk]], list[models.ImageDataDisk]],
) -> Iterator[None]:
    """Images with other data disks than they should have."""
    body = images._body

    def changed(plan: ImagePlan) -> models.Image:
        image = body(plan)
        storage: Any = image.properties.storage_profile if image.properties else None
        storage.data_disks = change(plan, storage.data_disks)
        return image

    with patch.object(images, "_body", changed):
        yield


def _copies(plan: ImagePlan, disks: list[models.ImageDataDisk]) -> list[models.ImageDataDisk]:
    for disk in disks:
        disk.snapshot = models.SubResource(id=str(plan.snapshot))
    return disks


SAFEGUARDS = (
    Safeguard("an image of another source is somebody else's", _any_product, _products_made),
    Safeguard("a disk or snapshot is the build's by its tags", _any_tags, _temporaries_made),
    Safeguard(
        "recovery keeps the snapshots of what is still to be published",
        lambda: patch("gilder.engine.recovery.snapshots_of", lambda plan: ()),
        _refused_at_first,
    ),
    Safeguard(
        "recovery replaces an old image only when the snapshots are there",
        lambda: patch("gilder.engine.finishing._snapshots_there", _yes),
        _snapshots_gone,
    ),
    Safeguard(
        "recovery publishes as the build was told",
        lambda: patch("gilder.engine.recovery.plan_from", lambda text: replace(plan_from(text), tags={})),
        _published_later,
    ),
    Safeguard("what -force replaces is known again", _unmarked, _replaced),
    Safeguard(
        "operations are written down",
        lambda: patch.object(JournalLedger, "operation_begun", nothing),
        _stale(VERSIONS, times=4),
    ),
    Safeguard(
        "operations are followed",
        lambda: patch("gilder.engine.finishing._followed", nothing),
        _stale(VERSIONS, times=4),
    ),
    Safeguard(
        "that the VM does not have a disk is seen more than once",
        lambda: patch("gilder.slots.leftovers._LOOKS", 1),
        _stale(MACHINE),
    ),
    Safeguard(
        "what a look does not show is looked for again",
        lambda: both(patch("gilder.azure.settling.LOOK_AGAIN", ()), patch("gilder.engine.finishing.LOOK_AGAIN", ())),
        _unseen,
    ),
    Safeguard("leases are renewed", _never_renewed, _aged),
    Safeguard("a lease keeps what it is for", lambda: patch("gilder.engine.gc._lease_reason", lambda *_: ""), _aged),
    Safeguard(
        "a disk must be free before its snapshot and its detach",
        lambda: patch.object(PretendedDevices, "wait_free", nothing),
        _busy,
    ),
    Safeguard("an image has the data disks of its source", lambda: _data_disks(lambda plan, disks: []), _with_data),
    Safeguard("its data disks are not its system's", lambda: _data_disks(_copies), _with_data),
)
