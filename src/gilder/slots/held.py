"""Data disks of gilder on the VM for which this run has no slot: of others that work, or left by those that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gilder.azure.arm import Arm
from gilder.azure.disks import runs_on
from gilder.azure.machines import VmView


@dataclass(frozen=True, slots=True)
class Held:
    """What there is: `shared` with another gilder that works and will detach its disks some day, `left` by one or another."""

    shared: bool
    left: bool

    @property
    def advice(self) -> str:
        """What to do about those that nobody will detach; "" without any. Who waited for them waited for ever."""
        return "gilder recover, or gilder gc --yes, detaches disks that builds left there" if self.left else ""


async def held(arm: Arm, vm: VmView, lives: Callable[[str], bool]) -> Held:
    """Look at whose the data disks of the VM are; `lives` tells of a run whether it is another one that works."""
    runs = await runs_on(arm, vm)
    return Held(any(map(lives, runs)), not all(map(lives, runs)))
