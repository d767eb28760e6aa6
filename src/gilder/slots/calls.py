"""The two calls that change which data disks a VM has, and which of them may be sent now."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anyio

from gilder.azure.api_versions import REFUSALS
from gilder.azure.arm import PASSING, Arm
from gilder.azure.machines import Attachment, VmView, attach_and_detach, update_disks
from gilder.azure.operations import Operation
from gilder.model.errors import CloudError, Conflict, Denied, OperationFailed, Throttled, Unreachable, Untold
from gilder.model.ids import ArmId

_UNKNOWN_CALL = {*REFUSALS, "NotImplemented"}
"""Codes by which a service says that it does not know attachDetachDataDisks."""

ABOUT_A_DISK = {"AttachDiskWhileBeingDetached", "ConflictingUserInput"}
"""Codes that tell of one disk of a write. It may be free in a moment, or never: another VM may own it (issue reports)."""

_OURS_TO_REPEAT = {*PASSING, *ABOUT_A_DISK, "Conflict", "OperationPreempted"}
"""Codes of a write that collided with another's: read again and choose again (issue reports, see docs/architecture.md)."""

_REFILL = 15.0
"""Seconds until a throttled call may be sent again where Azure does not say: 4 a minute for one VM (its page on limits)."""


class DiskCalls:
    """attachDetachDataDisks, and a VM update with `If-Match` where that is unknown or has no request left.

    Each has a budget of its own: 12 requests at once, then about 4 a minute for one VM (`x-ms-ratelimit-remaining-resource`
    names AttachDetachVMDisksResource and PutVMResource). In a long run the first alone would leave CPUs idle; see
    docs/decisions/0003-two-budgets.md.
    """

    def __init__(self, arm: Arm, vm: ArmId) -> None:
        self._arm = arm
        self._vm = vm
        self._disks_from = -math.inf
        self._update_from = -math.inf
        self._denied: Denied | None = None
        """Why the VM may not be updated."""

    def wait(self) -> float:
        """Seconds until a call may be sent; 0 for now. A batch is put together only then, so that nobody misses it."""
        return max(0.0, min(self._disks_from, self._update_from) - anyio.current_time())

    async def send(self, seen: VmView, attach: Sequence[Attachment], detach: Sequence[ArmId]) -> Operation | None:
        """Start one change; raises CloudError, Throttled when neither call has a request left."""
        refusal: CloudError = Throttled(f"too many changes of the data disks of the VM {self._vm.name}")
        if self._disks_from <= anyio.current_time():
            try:
                return await attach_and_detach(self._arm, self._vm, attach, detach, patient=False)
            except Throttled as throttled:
                self._disks_from = _again_at(throttled)
                refusal = throttled
            except CloudError as error:
                self._do_without(error)
        # Without an etag nothing would guard a stranger's disk against the whole list being written back.
        only_choice = self._disks_from == math.inf
        if self._update_from <= anyio.current_time() and (seen.etag or only_choice):
            try:
                return await update_disks(self._arm, seen, attach, detach, patient=False)
            except Throttled as throttled:
                self._update_from = _again_at(throttled)
                refusal = throttled
            except Denied as denied:
                if only_choice:
                    raise
                self._denied, self._update_from = denied, math.inf  # a role that grants only the disks
        elif not seen.etag and not only_choice:
            self._update_from = max(self._update_from, self._disks_from)
        raise refusal

    def _do_without(self, error: CloudError) -> None:
        """Use attachDetachDataDisks no more, which was refused as unknown; raises what was refused for another reason."""
        if error.code not in _UNKNOWN_CALL and error.status not in (405, 501):
            raise error
        if self._denied is not None:  # with neither call left, whoever waits for one waits for ever
            neither = error.adding(f"; nor may the VM be updated instead: {self._denied.message}")
            neither.hint = self._denied.hint
            raise neither from error
        self._disks_from = math.inf

    async def send_in_time(
        self, seen: VmView, attach: Sequence[Attachment], detach: Sequence[ArmId]
    ) -> Operation | None:
        """The same, waiting for as long as neither call has a request left; raises CloudError."""
        while True:
            await anyio.sleep(self.wait())
            try:
                return await self.send(seen, attach, detach)
            except Throttled:
                continue


def _again_at(throttled: Throttled) -> float:
    return anyio.current_time() + (_REFILL if throttled.retry_after is None else throttled.retry_after)


def collided(error: CloudError) -> bool:
    """Whether the write met somebody else's, or its fate is unknown: read the VM and try again."""
    if isinstance(error, Unreachable | Throttled | Untold) or error.status == 412:
        return True
    return isinstance(error, Conflict | OperationFailed) and error.code in _OURS_TO_REPEAT
