"""What a run has left of what its builds share, at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauges:
    """Of the VM and the subscription.

    Attributes:
        slots_used: data disks of this run that the VM has.
        slots: data disks of this run that it can have; None while that is not known.
        places: builds that can work on this machine at a time; None while that is not known.
        crowded: whether this machine's CPUs had no time to spare lately.
        builds: builds of this run that may run at a time; None: any number.
        requests: what Azure still allows, by its last answers and what has come back since; by what the requests are for:
            `VM writes`, `images`, `versions`.
    """

    slots_used: int = 0
    slots: int | None = None
    requests: tuple[tuple[str, int], ...] = ()
    places: int | None = None
    builds: int | None = None
    crowded: bool = False
