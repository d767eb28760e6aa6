"""Looks at the VM, and which of them are believed: one may be stale, and what it shows may be changing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from gilder.azure.arm import Arm
from gilder.azure.machines import VmView, vm_view
from gilder.azure.operations import Usual, looks
from gilder.azure.settling import LOOK_AGAIN
from gilder.model.errors import CloudError, Denied, Throttled, Unreachable, Untold
from gilder.model.ids import ArmId
from gilder.slots.calls import collided

_SETTLED_WITHIN = 900.0
"""Seconds for a change of the VM that goes on: a stranger's, a dead process's, or one of ours of which nothing is heard."""

_FRESH = 3.0
"""Seconds for which a look at the VM serves the next write. Who changes the VM meanwhile is met as one who does so between
look and write: the write is refused, and tried again after another look."""


_UNKNOWN = (Unreachable, Untold, Denied)
"""Errors of a write that may have had, or yet have, its effect: an operation that is not to be looked at may go on."""


async def settled_view(arm: Arm, vm: ArmId) -> VmView:
    """The VM when nothing changes it any more, or after a long wait as it is; raises CloudError."""
    deadline = anyio.current_time() + _SETTLED_WITHIN
    for wait in looks(Usual.CHANGE_DISKS):
        view = await vm_view(arm, vm)
        if view.state != "Updating" or anyio.current_time() > deadline:
            return view
        await anyio.sleep(wait)
    raise AssertionError("looks never end")


class Sight:
    """The VM, as the single writer looks at it before and after a write."""

    def __init__(self, arm: Arm, vm: ArmId) -> None:
        self._arm = arm
        self._vm = vm
        self._kept: tuple[VmView, float] | None = None

    async def now(self) -> VmView:
        """One look; raises CloudError."""
        return await vm_view(self._arm, self._vm)

    def keep(self, view: VmView, began: float) -> None:
        """Let a look that found all as it should be, begun then, serve the next write as well."""
        self._kept = view, began

    async def before(self, here: Callable[[], Sequence[ArmId]]) -> VmView:
        """The VM as it is, or was seconds ago; no look serves two writes.

        It is looked at again while it does not list a disk that is to be detached and whose device is still `here`: who
        believes a stale look takes the disk for detached, and sends nothing.
        """
        kept, self._kept = self._kept, None
        fresh = kept is not None and anyio.current_time() - kept[1] <= _FRESH
        view = kept[0] if kept is not None and fresh else await self.now()
        for pause in LOOK_AGAIN:
            if all(view.lists(disk) for disk in here()):
                break
            await anyio.sleep(pause)
            view = await self.now()
        return view

    async def after(self, error: CloudError | None, attached: Sequence[ArmId]) -> VmView:
        """The VM as it is after a write that may have `attached` these.

        After one that met another change, or whose end is not known, it is the VM once nothing changes it any more: a
        stranger's write may take minutes, longer than the next tries would last. Where the write may have had its effect, no
        single look is believed that does not show what may be attached: the next write would ask for it again, and be refused
        with all that goes along, or its disk be deleted while it is being attached.
        """
        if error is None or isinstance(error, Throttled) or not (collided(error) or isinstance(error, Denied)):
            return await self.now()
        view = await settled_view(self._arm, self._vm)
        for pause in LOOK_AGAIN if isinstance(error, _UNKNOWN) else ():
            if all(view.lists(disk) for disk in attached):
                break
            await anyio.sleep(pause)
            view = await settled_view(self._arm, self._vm)
        return view
