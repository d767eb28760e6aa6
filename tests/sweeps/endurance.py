"""Safeguards against trouble that lasts, answers that do not come or do not tell, and things that are still in use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import anyio
from tests.sweeps.afterwards import PRODUCTS
from tests.sweeps.cells import Cell
from tests.sweeps.cloud import BATCH, FOR_EVER, MACHINE, PATIENCE, POLL
from tests.sweeps.safeguard import Disabled, Safeguard, nothing

from gilder.azure.arm import Arm
from gilder.azure.machines import vm_view
from gilder.model.errors import Conflict, NotFound, Untold
from gilder.runtime.release import Patience, Release
from gilder.slots.writer import SlotWriter
from localarm.faults import Fault


def _lost_writes() -> list[Cell]:
    """Nobody hears that a request was accepted."""
    kinds = ("disks", "images", "snapshots")
    return [Cell("lost", ("image",), (Fault("lose", "PUT", kind),), passing=True) for kind in kinds]


def _strangers_writes() -> list[Cell]:
    """Somebody else changes the VM for minutes when disks are to be attached, and to be detached."""
    faults = [Fault("stranger-writes", "POST", BATCH, nth=nth, seconds=300) for nth in (1, 2)]
    return [Cell("stranger's write", ("image",) * 3, (fault,), passing=True) for fault in faults]


def _unseen_attaches() -> list[Cell]:
    """Nobody hears that disks were attached, and the looks after that do not show it."""
    looks = [Fault("stale", "GET", MACHINE, nth=nth, times=times) for nth in (2, 3) for times in (1, 2)]
    return [Cell("unseen", ("image",) * 3, (Fault("lose", "POST", BATCH), look), passing=True) for look in looks]


def _refused_looks() -> list[Cell]:
    faults = [Fault("refuse", "GET", POLL, status=409, code="Conflict", nth=nth) for nth in (1, 13, 25, 37, 43)]
    return [Cell("refused look", ("image",), (fault,), passing=True) for fault in faults]


def _silence() -> list[Cell]:
    silent = Fault("drop", "GET", POLL, nth=2, times=FOR_EVER)
    return [Cell("silence", ("image",), (silent,), within=PATIENCE)]


def _endless() -> list[Cell]:
    """The operations of the clean-up run for ever."""
    return [Cell("endless", ("image",), (Fault("stale", "GET", POLL, nth=38, times=FOR_EVER),))]


def _hurried() -> list[Cell]:
    """The same while a person has pressed Ctrl-C twice."""
    faults = [Fault("stale", "GET", POLL, nth=nth, times=FOR_EVER) for nth in (10, 20)]
    return [Cell("hurried", ("image",), (fault,), cancelled=(150, 180), within=400.0) for fault in faults]


def _not_found() -> list[Cell]:
    """What is there is said to be missing when it is to be deleted."""
    kinds = ("disks", "snapshots")
    faults = [Fault("refuse", "DELETE", kind, status=404, code="ResourceNotFound") for kind in kinds]
    return [Cell("not found", ("image",), (fault,), passing=True) for fault in faults]


def _undetached() -> list[Cell]:
    return [Cell("detach", ("image",) * 3, (Fault("cancel", "POST", BATCH, times=times),)) for times in (5, 12)]


def _unwritten_back() -> list[Cell]:
    refused = [Fault("refuse", "POST", BATCH, nth=2, status=status) for status in (400, 403)]
    return [Cell("detach", ("written back",), (fault,)) for fault in refused]


def _following() -> list[Cell]:
    """A disk goes on saying that the VM has it when that does not list it any more."""
    return [
        Cell("following", ("named",), (Fault("stale", "GET", "disks", nth=4, times=n),), passing=True) for n in (1, 2)
    ]


def _killed_at_work() -> list[Cell]:
    """The kernel takes seconds to take down what a killed build had mounted."""
    return [
        Cell("busy", (name,), killed=step, busy=5.0) for name in ("image", "written back") for step in (150, 160, 170)
    ]


def _killed_between() -> list[Cell]:
    """Killed when one of two destinations is in the journal and the other is not yet."""
    return [Cell("between", ("both",), killed=step, seed=2) for step in range(326, 346, 2)]


def _replaced_in_vain() -> list[Cell]:
    return [Cell("in vain", (name,), (Fault("fail", "PUT", kind),), old="disk") for name, kind in PRODUCTS.items()]


def _refused_to_recovery() -> list[Cell]:
    unheard = Fault("drop", "PUT", "images", times=99)
    refused = Fault("refuse", "PUT", "images", status=403, code="AuthorizationFailed")
    return [Cell("refused", ("image",), (unheard,), killed=step, recovering=(refused,)) for step in (240, 260)]


# How each is disabled


def _impatient_writer() -> Disabled:
    """After a collision the VM is looked at once, and the write is tried again."""
    return patch("gilder.slots.sight.settled_view", vm_view)


def _repeated_blindly() -> Disabled:
    change = Arm.change

    async def changed(self: Arm, *args: Any, **options: Any) -> Any:
        return await change(self, *args, **{**options, "repeatable": True})

    return patch.object(Arm, "change", changed)


def _looks_believed() -> Disabled:
    """The refusal of a look at an operation is taken for one of the request that began it."""
    look = Arm._look

    async def looked(self: Arm, *args: Any) -> Any:
        try:
            return await look(self, *args)
        except Untold as error:
            raise Conflict(error.message, code=error.code, status=error.status) from error

    return patch.object(Arm, "_look", looked)


def _unbounded() -> Disabled:
    @contextmanager
    def bounded(self: Patience, within: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope(shield=True) as scope:
            yield scope

    return patch.object(Patience, "bounded", bounded)


def _nothing_must() -> Disabled:
    made = Release.__init__

    def lenient(self: Release, *args: Any, **options: Any) -> None:
        made(self, *args, **{**options, "must": False})

    return patch.object(Release, "__init__", lenient)


def _missing_believed() -> Disabled:
    """A deletion that is answered by 404 counts, whatever there is."""
    change = Arm.change

    async def changed(self: Arm, *args: Any, **options: Any) -> Any:
        try:
            return await change(self, *args, **options)
        except NotFound:
            return None

    return patch.object(Arm, "change", changed)


def _silent_losses() -> Disabled:
    @contextmanager
    def silent(story: object, loss: str) -> Iterator[None]:
        yield

    return patch("gilder.build.publish._owning_up", silent)


def _alone() -> Disabled:
    """Of two destinations, none names the other."""
    return patch("gilder.build.publish._wanted", lambda plan: [one for one in (plan.image, plan.version) if one])


SAFEGUARDS = (
    Safeguard("what creates something is not sent again unseen", _repeated_blindly, _lost_writes),
    Safeguard("a stranger's write to the VM is waited for", _impatient_writer, _strangers_writes),
    Safeguard(
        "no single look is believed after a lost answer",
        lambda: patch("gilder.slots.sight.LOOK_AGAIN", ()),
        _unseen_attaches,
    ),
    Safeguard("a refused look at an operation is no failure of it", _looks_believed, _refused_looks),
    Safeguard(
        "an operation of which nothing is heard is given up",
        lambda: patch("gilder.azure.arm.SILENCE", math.inf),
        _silence,
    ),
    Safeguard("releases are bounded in time", _unbounded, _endless),
    Safeguard(
        "a second signal shortens releases", lambda: patch.object(Patience, "shorten", lambda *_: None), _hurried
    ),
    Safeguard("a 404 is no proof that a thing is gone", _missing_believed, _not_found),
    Safeguard(
        "no disk is deleted whose detach has not ended",
        lambda: patch.object(SlotWriter, "must_be_gone", nothing),
        _undetached,
    ),
    Safeguard("a release that must succeed ends the build", _nothing_must, _unwritten_back),
    Safeguard(
        "a disk that says that it is attached is waited for",
        lambda: patch("gilder.azure.disks._MANAGED_BY_LAGS", ()),
        _following,
    ),
    Safeguard(
        "recovery detaches no disk that is in use",
        lambda: patch("gilder.slots.leftovers._in_use", nothing),
        _killed_at_work,
    ),
    Safeguard("two destinations of a build name each other", _alone, _killed_between),
    Safeguard("what -force has lost is told", _silent_losses, _replaced_in_vain),
    Safeguard(
        "what is refused to a recovery may be finished by another",
        lambda: patch("gilder.engine.finishing._MAY_PASS", ()),
        _refused_to_recovery,
    ),
)
