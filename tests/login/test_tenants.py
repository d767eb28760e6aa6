"""The tenant that goes with a subscription, as Resource Manager tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.login.service import served, settings
from tests.login.test_methods import NO_SUCH

from gilder.azure.tenants import tenant_of
from gilder.model.errors import NotFound, Throttled, Unreachable
from localarm.faults import Fault
from localarm.settings import SUBSCRIPTION, TENANT


async def test_the_tenant_of_a_subscription_is_asked_of_the_cloud(keys: Path) -> None:
    async with served(keys, settings()) as place:
        assert await tenant_of(SUBSCRIPTION, place.cloud) == TENANT
        with pytest.raises(NotFound, match=f"there is no subscription {NO_SUCH} in the cloud test"):
            await tenant_of(NO_SUCH, place.cloud)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("throttle", "GET", seconds=1, times=2),
        Fault("refuse", "GET", status=503, times=2),
        Fault("drop", "GET", times=2),
    ],
    ids=lambda fault: fault.what,
)
async def test_a_tenant_is_asked_for_again(keys: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    async with served(keys, settings()) as place:
        armed = place.application.faults.add(fault)
        assert await tenant_of(SUBSCRIPTION, place.cloud) == TENANT
        assert armed.fired == 2
        monkeypatch.setattr("gilder.azure.tenants.PATIENCE", 0.0)
        place.application.faults.add(fault)
        with pytest.raises((Unreachable, Throttled), match="while looking up the tenant"):
            await tenant_of(SUBSCRIPTION, place.cloud)
