"""When the next write goes and what it carries: the rules of the single writer, without a cloud."""

from __future__ import annotations

from dataclasses import replace

from gilder.model.ids import ArmId
from gilder.model.spec import Caching
from gilder.slots.wishes import GATHERING, LAZINESS, Attach, Detach, Situation, batch, due, halves, next_look

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Compute/disks/"


def attach(name: str, since: float = 0.0) -> Attach:
    return Attach(ArmId.parse(GROUP + name), Caching.READ_ONLY, since)


def detach(name: str, since: float = 0.0) -> Detach:
    return Detach(ArmId.parse(GROUP + name), 0, since)


IDLE = Situation(attaches=[], detaches=[], room=8, announced=0, working=0, now=0.0)


def test_nothing_to_do_is_not_due() -> None:
    assert not due(IDLE)
    assert next_look(IDLE) is None


def test_an_attach_alone_goes_at_once() -> None:
    assert due(replace(IDLE, attaches=[attach("a")]))


def test_the_first_attach_of_a_burst_waits_for_the_announced_ones_but_not_long() -> None:
    waiting = replace(IDLE, attaches=[attach("a")], announced=3)
    assert not due(waiting)
    assert next_look(waiting) == GATHERING
    assert due(replace(waiting, now=GATHERING))
    assert due(replace(waiting, announced=0))


def test_a_full_batch_does_not_wait_for_more_than_fits() -> None:
    assert due(replace(IDLE, attaches=[attach("a"), attach("b")], room=2, announced=5))


def test_a_detach_waits_while_others_work_and_goes_when_nobody_does() -> None:
    finished = replace(IDLE, detaches=[detach("a")], working=3)
    assert not due(finished)
    assert due(replace(finished, working=0))
    assert not due(replace(finished, working=0, announced=1)), "an attach is about to come: ride along with it"


def test_a_detach_does_not_wait_for_ever() -> None:
    finished = replace(IDLE, detaches=[detach("a")], working=3)
    assert next_look(finished) == LAZINESS
    assert due(replace(finished, now=LAZINESS))


def test_in_a_hurry_a_detach_waits_for_nobody() -> None:
    # A build hung in its work once kept the finished ones attached until a second Ctrl-C gave them up.
    assert due(replace(IDLE, detaches=[detach("a")], working=3, hurried=True))
    assert due(replace(IDLE, detaches=[detach("a")], attaches=[attach("b")], announced=1, hurried=True))
    assert not due(replace(IDLE, working=3, hurried=True))


def test_a_detach_goes_when_an_attach_needs_its_lun() -> None:
    full = replace(IDLE, attaches=[attach("b")], room=0, working=8)
    assert not due(full)
    assert due(replace(full, detaches=[detach("a")]))


def test_detaches_ride_along_and_attaches_come_first_come_first_served() -> None:
    first, second, third, leaving = attach("a"), attach("b"), attach("c"), detach("d")
    carried = batch(replace(IDLE, attaches=[third, first, second], detaches=[leaving], room=2, working=1))
    assert carried == ([first, second], [leaving])


def test_halving_reaches_every_single_disk() -> None:
    disks = [attach(str(n)) for n in range(5)]
    first, second = halves(disks)
    assert [*first, *second] == disks
    assert first
    assert second


def test_a_wait_that_rounding_ends_early_is_over() -> None:
    since = 1_234.5678
    for limit, situation in (
        (GATHERING, replace(IDLE, attaches=[attach("a", since)], announced=3)),
        (LAZINESS, replace(IDLE, detaches=[detach("a", since)], working=3)),
    ):
        assert due(replace(situation, now=since + limit - 1e-9)), "else the writer would spin until time moves"
        assert not due(replace(situation, now=since + limit - 0.01))
