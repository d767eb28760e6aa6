"""The LUN allocator: free, leased, quarantined and foreign partition the LUNs, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gilder.slots.pool import LunPool, NoFreeLun

CAPACITY = 6


class PoolMachine(RuleBasedStateMachine):
    """Drives a pool beside a plain model of the VM and of the devices that this machine shows."""

    luns = Bundle("luns")

    def __init__(self) -> None:
        super().__init__()
        self.pool = LunPool(CAPACITY)
        self.listed: set[int] = set()
        self.visible: set[int] = set()

    @rule(target=luns, owner=st.sampled_from("abc"))
    def take(self, owner: str) -> int:
        self.pool.observe(self.listed, self.visible)
        free = (
            set(range(CAPACITY)) - self.listed - self.visible - self.pool.leased.keys() - self.pool.quarantined.keys()
        )
        beyond = {lun for lun in self.listed if lun >= CAPACITY}
        if len(free) <= len(beyond):
            with pytest.raises(NoFreeLun):
                self.pool.take(owner)
            return -1
        lun = self.pool.take(owner)
        assert lun == min(free), self.pool.story()
        self.listed.add(lun)
        self.visible.add(lun)
        return lun

    @rule(lun=consumes(luns))
    def detach_cleanly(self, lun: int) -> None:
        if lun < 0:
            return
        self.listed.discard(lun)
        self.visible.discard(lun)
        self.pool.give_back(lun)

    @rule(lun=consumes(luns), gone_from_vm=st.booleans())
    def detach_badly(self, lun: int, gone_from_vm: bool) -> None:
        if lun < 0:
            return
        if gone_from_vm:
            self.listed.discard(lun)
        self.pool.quarantine(lun, "its detach failed")
        self.pool.observe(self.listed, self.visible)
        assert lun in self.pool.quarantined, "a LUN whose old device answers must not be handed out"

    @rule(lun=st.integers(0, CAPACITY + 1))
    def stranger_attaches(self, lun: int) -> None:
        if lun not in self.pool.leased and lun not in self.listed:
            self.listed.add(lun)
            self.visible.add(lun)

    @rule(lun=st.integers(0, CAPACITY + 1))
    def world_clears(self, lun: int) -> None:
        if lun not in self.pool.leased:
            self.listed.discard(lun)
            self.visible.discard(lun)
            self.pool.observe(self.listed, self.visible)
            assert lun >= CAPACITY or lun in self.pool.free, self.pool.story()

    @invariant()
    def states_partition_the_luns(self) -> None:
        parts = [self.pool.free, self.pool.leased.keys(), self.pool.quarantined.keys(), self.pool.foreign]
        assert sum(len(part) for part in parts) == CAPACITY, self.pool.story()
        assert set().union(*parts) == set(range(CAPACITY)), self.pool.story()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_strangers_beyond_the_range_count_against_the_size_limit() -> None:
    pool = LunPool(2)
    pool.observe(listed={40}, visible=set())
    pool.take("a")
    with pytest.raises(NoFreeLun):
        pool.take("b")


def test_giving_back_what_is_not_leased_is_refused() -> None:
    with pytest.raises(ValueError, match="not leased"):
        LunPool(4).give_back(0)


def test_statistics_and_story_tell_the_state() -> None:
    pool = LunPool(4)
    pool.observe(listed={3}, visible={2})
    pool.take("debian")
    assert (pool.statistics().free, pool.statistics().leased) == (1, 1)
    assert (pool.statistics().quarantined, pool.statistics().foreign) == (1, 1)
    assert "debian" in pool.story()
