"""Many cells over several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.sweeps.cells import Cell, Found, examined
from tests.sweeps.frame import Effort, Tally


def results(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, Found]]:
    """Examine the cells; in this process when there is one job."""
    if jobs <= 1:
        yield from ((cell, examined(cell)) for cell in cells)
        return
    # Spawned: a forked child would share the journal's and the SDK's threads and locks.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from zip(cells, pool.map(examined, cells, chunksize=4), strict=True)


def tallied(cells: Sequence[Cell], effort: Effort) -> Tally:
    """Examine the cells and count what they show."""
    tally = Tally()
    unfired, failed, longest = 0, 0, 0.0
    for cell, found in results(cells, effort.jobs if effort.everything else 1):
        unfired += not found.fired
        failed += found.failed
        longest = max(longest, found.seconds)
        tally.cells[cell.kind] += found.fired
        tally.violations += [f"{cell}: {what}" for what in found.violations]
        effort.say(f"{cell}: {'; '.join(found.violations) or ('ok' if found.fired else 'not fired')}")
    tally.remarks.append(
        f"{len(cells)} cells tried, {unfired} in which nothing fired; {failed} builds were not built; "
        f"the longest took {longest:.0f} virtual seconds"
    )
    return tally
