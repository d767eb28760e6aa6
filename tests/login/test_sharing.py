"""One token for all: asked for once for each expiry, by one of many, and again when Azure no longer takes it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import anyio
import pytest
from azure.core.credentials import AccessTokenInfo
from tests.login.service import CLIENT, SECRET, Place, served, settings
from tests.virtual.loop import in_virtual_time

from gilder.azure.arm import Arm
from gilder.azure.tokens import AGAIN, LINGER, PAUSE, SharedToken
from gilder.model.errors import Denied, Unreachable
from gilder.model.spec import Auth
from localarm.faults import Fault, What
from localarm.settings import SUBSCRIPTION, TENANT

LIFE = 3
"""Seconds that a token lives."""
LIVES = 3


async def read_for(seconds: float, arm: Arm, place: Place) -> int:
    """Read the VM over and over, as many builds do at once; how often."""
    count = 0
    end = time.monotonic() + seconds

    async def one(number: int) -> None:
        nonlocal count
        while time.monotonic() < end:
            # Another spelling of the subscription has a client of its own, with a token cache of its own.
            subscription = SUBSCRIPTION.upper() if number % 2 else SUBSCRIPTION
            await arm.read("reading the VM", subscription, place.vm, "2024-07-01")
            count += 1
            await anyio.sleep(0.05)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(one, number)
    return count


async def outlived(auth: Auth, keys: Path) -> None:
    async with served(keys, settings(token_lifetime=LIFE)) as place, place.logged_in(auth) as arm:
        reads = await read_for(LIFE * LIVES, arm, place)
        logins = place.logins()
    assert reads > len(logins) >= LIVES
    # Never two for one token, whoever asks: a load of the machine only draws them further apart.
    assert min(b - a for a, b in itertools.pairwise(logins)) > LIFE / 2


async def test_many_outlive_their_tokens_with_one_refresh_for_each(keys: Path) -> None:
    # With azure-identity's credentials as they are, the first token that ends on its way ends the run: a 401.
    async with anyio.create_task_group() as group:
        group.start_soon(outlived, Auth(), keys)
        group.start_soon(outlived, Auth(client_id=CLIENT, client_secret=SECRET), keys)


async def test_a_token_that_azure_refuses_is_replaced_once(keys: Path) -> None:
    async with served(keys, settings()) as place, place.logged_in(Auth()) as arm:
        await arm.read("reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
        place.application.tokens.revoke()
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(arm.read, "reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
        assert len(place.logins()) == 2


class Clock:
    """The time, a machine whose clock may be wrong, and a service that gives tokens of a hundred seconds or refuses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 0.0
        """Seconds by which the machine's clock is wrong."""
        self.told_by = "the service"
        """Whose clock the end of a token is told by; `the machine`: its service says only how long the token lives."""
        self.asked = 0
        self.refuses = False
        self.until = 100.0

    async def ask(self, scope: str) -> AccessTokenInfo:
        self.asked += 1
        await anyio.sleep(0)
        if self.refuses:
            raise Denied("the client secret has expired")
        wrong = self.ahead if self.told_by == "the machine" else 0.0
        return AccessTokenInfo(f"token {self.asked}", int(self.now + wrong + self.until))

    async def close(self) -> None:
        """Nothing to close."""

    def shared(self) -> SharedToken:
        """A token of this service, for this machine."""
        return SharedToken(self.ask, self.close, lambda: self.now + self.ahead, lambda: self.now)


async def many(shared: SharedToken) -> set[str]:
    found = set()

    async def one() -> None:
        found.add((await shared.get_token_info("scope")).token)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    return found


async def test_the_margin_is_a_fifth_of_a_short_life_and_five_minutes_of_a_long_one() -> None:
    for life, margin in ((100.0, 20.0), (3600.0, 300.0)):
        clock = Clock()
        clock.until = life
        shared = clock.shared()
        assert await many(shared) == {"token 1"}
        clock.now += life - margin - 1
        assert await many(shared) == {"token 1"}
        clock.now += 2
        assert await many(shared) == {"token 2"}


async def test_a_refused_renewal_uses_up_the_old_token_and_is_not_repeated_by_everybody() -> None:
    clock = Clock()
    shared = clock.shared()
    await many(shared)
    clock.refuses = True
    clock.now += 85
    assert await many(shared) == {"token 1"}
    assert clock.asked == 2
    clock.now += 16
    with pytest.raises(BaseExceptionGroup):
        await many(shared)
    assert clock.asked == 3
    clock.now += PAUSE + 1
    clock.refuses = False
    assert await many(shared) == {"token 4"}


async def test_a_token_is_thrown_away_once_for_all_that_met_its_refusal() -> None:
    clock = Clock()
    shared = clock.shared()
    await many(shared)
    clock.now += 10
    shared.forget(clock.now)
    clock.now += 1
    assert await many(shared) == {"token 2"}
    shared.forget(clock.now - 1)  # who began before the new one came
    assert await many(shared) == {"token 2"}


AHEAD = (-36_000.0, -600.0, 600.0, 36_000.0)
"""By how much the machine's clock is wrong, until it is put right."""


async def test_a_refusal_is_believed_no_longer_when_the_clock_is_put_right() -> None:
    for ahead in AHEAD:
        clock = Clock()
        clock.ahead, clock.refuses = ahead, True
        shared = clock.shared()
        with pytest.raises(Denied):
            await shared.get_token_info("scope")
        clock.ahead, clock.refuses = 0.0, False
        with pytest.raises(Denied):
            await shared.get_token_info("scope")
        clock.now += PAUSE + 1
        assert await many(shared) == {"token 2"}


@pytest.mark.parametrize("told_by", ["the service", "the machine"])
async def test_a_token_that_azure_refuses_is_replaced_when_the_clock_is_put_right(told_by: str) -> None:
    for ahead in AHEAD:
        clock = Clock()
        clock.ahead, clock.told_by, clock.until = ahead, told_by, 86_400.0
        shared = clock.shared()
        await many(shared)
        clock.now += 10
        clock.ahead = 0.0
        shared.forget(clock.now)
        assert await many(shared) == {"token 2"}


@pytest.mark.parametrize("told_by", ["the service", "the machine"])
async def test_a_clock_that_is_put_right_leaves_no_dead_token_in_use(told_by: str) -> None:
    for ahead, right in itertools.product(AHEAD, (0.0, 36_000.0)):
        clock = Clock()
        clock.ahead, clock.told_by, clock.until = ahead, told_by, 86_400.0
        shared = clock.shared()
        await many(shared)
        clock.now += right
        clock.ahead = 0.0
        await many(shared)
        clock.now += 86_400.0
        before = clock.asked
        await many(shared)
        assert clock.asked == before + 1, (ahead, right)


async def test_a_renewal_that_failed_is_tried_again_soon_when_the_clock_is_put_right() -> None:
    clock = Clock()
    clock.until, clock.ahead, clock.told_by = 3600.0, 36_000.0, "the machine"
    shared = clock.shared()
    await many(shared)
    clock.refuses = True
    clock.now += 3400
    assert await many(shared) == {"token 1"}
    clock.refuses, clock.ahead = False, 0.0
    clock.now += AGAIN + 1
    assert await many(shared) == {"token 3"}


def test_a_service_that_hangs_holds_up_nobody_while_the_old_token_counts() -> None:
    asked = 0
    ends = 1000.0

    async def ask(scope: str) -> AccessTokenInfo:
        nonlocal asked
        asked += 1
        if asked > 1:
            with anyio.move_on_after(60):
                await anyio.sleep_forever()
            raise Unreachable("no answer within 60 s")
        return AccessTokenInfo("old", int(ends))

    async def close() -> None:
        """Nothing to close."""

    async def main() -> None:
        shared = SharedToken(ask, close, anyio.current_time)
        await shared.get_token_info("scope")
        waited: list[float] = []

        async def one(at: float) -> None:
            await anyio.sleep(at)
            began = anyio.current_time()
            assert (await shared.get_token_info("scope")).token == "old"
            waited.append(anyio.current_time() - began)

        async with anyio.create_task_group() as group:
            for number in range(40):  # from its margin on, to shortly before its end
                group.start_soon(one, ends - 198 + number * 4.9)
        assert max(waited) <= LINGER
        assert asked < 2 + 200 / AGAIN

    in_virtual_time(main)


def test_a_renewal_that_failed_is_made_up_for() -> None:
    asked: list[float] = []

    async def ask(scope: str) -> AccessTokenInfo:
        asked.append(anyio.current_time())
        if len(asked) == 2:
            await anyio.sleep(50)
            raise Unreachable("no answer")
        return AccessTokenInfo(f"token {len(asked)}", int(anyio.current_time() + 3600))

    async def close() -> None:
        """Nothing to close."""

    async def main() -> None:
        shared = SharedToken(ask, close, anyio.current_time)
        found = []
        async with anyio.create_task_group() as group:

            async def use() -> None:
                while len(asked) < 3:
                    found.append((await shared.get_token_info("scope")).token)
                    await anyio.sleep(1)

            for _ in range(5):
                group.start_soon(use)
        assert set(found) == {"token 1", "token 3"}
        assert asked[2] - asked[1] == pytest.approx(LINGER + AGAIN, abs=2)

    in_virtual_time(main)


async def asked_again(auth: Auth, what: What, keys: Path) -> None:
    async with served(keys, settings()) as place, place.logged_in(auth) as arm:
        for path in ("metadata/identity/oauth2/token", f"{TENANT}/oauth2/v2.0/token"):
            place.application.faults.add(Fault(what, "", path))
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(arm.read, "reading the VM", SUBSCRIPTION, place.vm, "2024-07-01")
        assert len(place.logins()) == 2


async def test_a_token_service_that_has_no_time_is_asked_again_by_one(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gilder.azure.identity.PATIENCE", 3.0)
    faults: tuple[What, ...] = ("throttle", "refuse", "drop", "hang")
    async with anyio.create_task_group() as group:
        for auth in (Auth(), Auth(client_id=CLIENT, client_secret=SECRET)):
            for what in faults:
                group.start_soon(asked_again, auth, what, keys)
