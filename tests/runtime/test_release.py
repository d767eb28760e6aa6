"""Releases are shielded, bounded and accounted for, whatever goes wrong in the block or in them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

import anyio
import pytest

from gilder.model.errors import HostError, ReleaseFailed
from gilder.runtime.release import MemoryLedger, Patience, Release, releasing, undone_on_failure


class World:
    """A thing that can be made and removed, with a removal that takes time or fails."""

    def __init__(self, *, takes: float = 0.0, fails: bool = False) -> None:
        self.there = False
        self._takes = takes
        self._fails = fails

    async def remove(self) -> None:
        await anyio.sleep(self._takes)
        if self._fails:
            raise HostError("the thing is stuck")
        self.there = False

    def release(self, *, within: float = 5.0, must: bool = False) -> Release:
        return Release("thing", "x", "rm thing", self.remove, within, must=must)


async def test_a_block_that_ends_well_gives_back() -> None:
    world, ledger = World(), MemoryLedger()
    async with releasing(ledger, world.release()):
        world.there = True
        assert [str(entry) for entry in ledger.held] == ["thing x"]
    assert not world.there
    assert not ledger.held
    assert not ledger.residues


@pytest.mark.parametrize("again", [False, True])
async def test_a_cancelled_block_still_gives_back_even_when_cancelled_again(again: bool) -> None:
    world, ledger = World(takes=0.05), MemoryLedger()
    with anyio.CancelScope() as outer:
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                async with releasing(ledger, world.release()):
                    world.there = True
                    group.cancel_scope.cancel()
                    await anyio.sleep_forever()

            group.start_soon(hold)
            if again:
                await anyio.sleep(0.01)
                outer.cancel()
    assert not world.there
    assert not ledger.residues


async def test_a_release_that_hangs_becomes_a_residue_in_time() -> None:
    world, ledger = World(takes=60), MemoryLedger()
    with anyio.fail_after(5):
        async with releasing(ledger, world.release(within=0.05)):
            world.there = True
    assert [residue.remedy for residue in ledger.residues] == ["rm thing"]
    assert not ledger.held


async def test_a_failed_release_does_not_hide_the_error_of_the_block() -> None:
    world, ledger = World(fails=True), MemoryLedger()
    with pytest.raises(ValueError, match="the cause") as caught:
        async with releasing(ledger, world.release(must=True)):
            raise ValueError("the cause")
    assert "could not be given back" in "".join(caught.value.__notes__)
    assert len(ledger.residues) == 1


async def test_what_must_be_released_stops_the_build_when_it_is_not() -> None:
    world, ledger = World(fails=True), MemoryLedger()
    with pytest.raises(ReleaseFailed, match="stuck"):
        async with releasing(ledger, world.release(must=True)):
            pass


@pytest.mark.parametrize("fails", [False, True])
async def test_what_goes_with_another_is_left_only_when_the_other_is(fails: bool) -> None:
    outer, inner, told = World(fails=fails), World(fails=True), list[str]()
    ledger = MemoryLedger(lambda residue: told.append(residue.what))
    mount = Release("mount", "m", "umount m", inner.remove, 5, goes_with="thing x", must=True)
    with pytest.raises(ReleaseFailed, match="mount m could not be given back: the thing is stuck") as caught:
        async with releasing(ledger, outer.release()), releasing(ledger, mount):
            pass
    assert caught.value.hint is None, "what removes the other removes it"
    stuck = ["mount m (the thing is stuck)", "thing x (the thing is stuck)"] if fails else []
    assert [residue.what for residue in ledger.residues] == told == stuck


async def test_the_time_told_is_the_one_it_had() -> None:
    patience = Patience()
    ledger = MemoryLedger(patience=patience)
    patience.shorten(0.02)
    async with releasing(ledger, World(takes=60).release(within=600)):
        pass
    assert [residue.what for residue in ledger.residues] == ["thing x (it did not end within 0 s)"]


async def test_a_finished_thing_stays_and_a_failed_one_is_undone() -> None:
    world, ledger = World(), MemoryLedger()
    async with undone_on_failure(ledger, world.release()):
        world.there = True
    assert world.there
    assert not ledger.held
    with pytest.raises(ValueError, match="no"):
        async with undone_on_failure(ledger, world.release()):
            raise ValueError("no")
    assert not world.there


async def test_shortened_patience_ends_releases_under_way_and_later_ones() -> None:
    patience = Patience()
    world, ledger = World(takes=60), MemoryLedger(patience=patience)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                async with releasing(ledger, world.release(within=600)):
                    pass
                async with releasing(ledger, world.release(within=600)):
                    pass

            group.start_soon(hold)
            await anyio.sleep(0.02)
            patience.shorten(0.05)
    assert len(ledger.residues) == 2


async def _keep(error: BaseException) -> bool:
    return True


@pytest.mark.parametrize(
    ("handle", "may_stay", "stays"), [("/id", True, True), ("", True, False), ("/id", False, False)]
)
@pytest.mark.parametrize("block", [releasing, undone_on_failure])
async def test_a_failed_build_may_keep_what_outlives_it(
    block: Callable[[MemoryLedger, Release], AbstractAsyncContextManager[None]],
    handle: str,
    may_stay: bool,
    stays: bool,
) -> None:
    world, ledger = World(), MemoryLedger(keeps=_keep)
    how = replace(world.release(), handle=handle, stays=lambda: " here" if may_stay else None)

    async def fail() -> None:
        async with block(ledger, how):
            world.there = True
            raise HostError("first")

    with pytest.raises(HostError, match="first"):
        await fail()
    assert world.there == stays
    assert [residue.what for residue in ledger.residues] == ["thing x (kept here, as it was asked for)"] * stays
    assert not ledger.held


async def test_a_cancellation_while_a_person_is_asked_gives_back() -> None:
    asked = anyio.Event()

    async def never_answered(error: BaseException) -> bool:
        asked.set()
        await anyio.sleep_forever()
        return True

    world, ledger = World(takes=0.02), MemoryLedger(keeps=never_answered)

    async def fail() -> None:
        with suppress(HostError):
            async with releasing(ledger, replace(world.release(), handle="/id")):
                world.there = True
                raise HostError("first")

    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        await asked.wait()
        group.cancel_scope.cancel()
    assert not world.there
    assert not ledger.held
    assert not ledger.residues


async def test_a_question_that_fails_gives_back_and_hides_no_error() -> None:
    async def terminal_is_gone(error: BaseException) -> bool:
        raise OSError(5, "Input/output error")

    world, ledger = World(), MemoryLedger(keeps=terminal_is_gone)

    async def fail() -> None:
        async with releasing(ledger, replace(world.release(), handle="/id")):
            world.there = True
            raise HostError("first")

    with pytest.raises(HostError, match="first") as caught:
        await fail()
    assert "Input/output error" in "".join(caught.value.__notes__)
    assert not world.there
    assert not ledger.held
    assert not ledger.residues
