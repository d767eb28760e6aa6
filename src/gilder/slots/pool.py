"""Which LUN may be used: a pure allocator, without clock, I/O or await."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


class NoFreeLun(Exception):
    """Every LUN is leased, quarantined or somebody else's."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """How many LUNs are in which state."""

    free: int
    leased: int
    quarantined: int
    foreign: int


class LunPool:
    """The LUNs 0..capacity-1 of one VM. Each is in exactly one state: free, leased, quarantined or foreign.

    *Foreign* LUNs carry a disk that is not ours. *Quarantined* ones were ours or are in doubt: the VM lists no lease
    of ours there, but an old device may still answer. A LUN handed out too early gives a build another disk's device.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._leased: dict[int, str] = {}
        self._quarantined: dict[int, str] = {}
        self._foreign: set[int] = set()
        self._beyond: set[int] = set()
        self._history: list[str] = []

    @property
    def free(self) -> frozenset[int]:
        """The LUNs that `take` may hand out."""
        return frozenset(range(self.capacity)) - self._leased.keys() - self._quarantined.keys() - self._foreign

    @property
    def leased(self) -> dict[int, str]:
        """The LUNs handed out, and to whom."""
        return dict(self._leased)

    @property
    def quarantined(self) -> dict[int, str]:
        """The LUNs in doubt, and why."""
        return dict(self._quarantined)

    @property
    def foreign(self) -> frozenset[int]:
        """The LUNs with a stranger's disk."""
        return frozenset(self._foreign)

    @property
    def room(self) -> int:
        """How many disks more the VM takes: a stranger's disk above the range counts against the size's limit too."""
        return max(0, len(self.free) - len(self._beyond))

    def take(self, owner: str) -> int:
        """Lease the lowest free LUN (low ones first: a SCSI scan may miss disks when LUN 0 is empty)."""
        if not self.room:
            raise NoFreeLun(self.story())
        lun = min(self.free)
        self._leased[lun] = owner
        self._note(f"{lun} leased to {owner}")
        return lun

    def give_back(self, lun: int) -> None:
        """End a lease whose disk is provably gone, from the VM and from this machine."""
        owner = self._leased.pop(lun, None)
        if owner is None:
            raise ValueError(f"LUN {lun} is not leased: {self.story()}")
        self._note(f"{lun} given back by {owner}")

    def quarantine(self, lun: int, why: str) -> None:
        """End a lease whose disk may still be there; `observe` frees the LUN when it is not."""
        owner = self._leased.pop(lun, None)
        if owner is None:
            raise ValueError(f"LUN {lun} is not leased: {self.story()}")
        self._quarantined[lun] = why
        self._note(f"{lun} quarantined: {why}")

    def observe(self, listed: Collection[int], visible: Collection[int]) -> None:
        """Take in the world: the LUNs that the VM lists, and those at which this machine shows a device."""
        for lun in range(self.capacity):
            if lun in self._leased:
                continue
            if lun in self._quarantined:
                if lun not in listed and lun not in visible:
                    del self._quarantined[lun]
                    self._note(f"{lun} out of quarantine")
            elif lun in listed:
                self._foreign.add(lun)
            else:
                self._foreign.discard(lun)
                if lun in visible:
                    self._quarantined[lun] = "a device is there that the VM does not list"
                    self._note(f"{lun} quarantined: a device is there that the VM does not list")
        self._beyond = {lun for lun in listed if lun >= self.capacity}

    def statistics(self) -> PoolStatistics:
        """Counts of each state."""
        return PoolStatistics(len(self.free), len(self._leased), len(self._quarantined), len(self._foreign))

    def story(self) -> str:
        """The present state and the last events, for messages."""
        return (
            f"{self.capacity} LUNs: free {sorted(self.free)}, leased {self._leased}, "
            f"quarantined {self._quarantined}, foreign {sorted(self._foreign)}; last: {'; '.join(self._history[-8:])}"
        )

    def _note(self, text: str) -> None:
        self._history.append(text)
        del self._history[:-32]
