"""Whose fault a refused write is: Azure refuses a batch as a whole and names one disk of it, or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import anyio

from gilder.azure.arm import Arm
from gilder.azure.disks import DiskFacts, disk_facts
from gilder.azure.machines import VmView
from gilder.model.errors import CloudError, GilderError, Refused
from gilder.model.ids import ArmId
from gilder.slots.calls import collided
from gilder.slots.wishes import Attach, Wish


async def blamed(
    arm: Arm, view: VmView, attaches: Sequence[Attach], error: CloudError
) -> list[tuple[Attach, GilderError]]:
    """The attaches that can never be part of a write, each with the reason.

    Those whose disk the refusal names, unless what it says may pass; and those whose disk itself shows why. All are looked
    at and not only the one that was named: a batch with twenty disks of another zone would else cost twenty writes, and the
    VM has twelve.
    """
    guilty = {wish.disk: error for wish in named(error, attaches)} if not collided(error) else {}
    explained = await _explained(arm, view, [wish.disk for wish in attaches])
    reasons: dict[ArmId, GilderError] = {**explained, **guilty}
    return [(wish, reasons[wish.disk]) for wish in attaches if wish.disk in reasons]


def named(error: CloudError, wishes: Iterable[Wish]) -> list[Wish]:
    """The wishes whose disk the refusal names: `os-1` is not named by `os-12`."""
    return [wish for wish in wishes if _names(error.message, wish.disk.name)]


def _names(text: str, name: str) -> bool:
    # A resource name has letters, digits and _.- in it; a dot may end the sentence, too.
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", text, re.IGNORECASE) is not None


async def _explained(arm: Arm, view: VmView, disks: Sequence[ArmId]) -> dict[ArmId, GilderError]:
    found: dict[ArmId, GilderError] = {}

    async def look(disk: ArmId) -> None:
        try:
            facts = await disk_facts(arm, disk)
        except CloudError:
            return  # what cannot be seen is no proof against it
        if reason := _unfit(view, disk, facts):
            found[disk] = Refused(reason)

    async with anyio.create_task_group() as group:
        for disk in disks:
            group.start_soon(look, disk)
    return found


def _unfit(view: VmView, disk: ArmId, facts: DiskFacts | None) -> str:
    """Why this VM can never have the disk, "" if nothing speaks against it."""
    if facts is None:
        return f"the disk {disk.name} does not exist any more"
    if facts.attached_to and ArmId.parse(facts.attached_to) != view.id:
        return f"the disk {disk.name} is attached to another VM, {facts.attached_to}"
    if facts.zone and facts.zone != view.zone:
        return f"the disk {disk.name} is in zone {facts.zone}, and the VM {view.id.name} in {view.zone or 'none'}"
    return ""
