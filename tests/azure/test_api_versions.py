"""Which api-version is asked for after a refusal, over real HTTPS; the wordings are those that users report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.azure.manager import SUBSCRIPTION, VM, Manager, managed

from gilder.azure.machines import attach_and_detach, vm_view
from gilder.model.errors import CloudError, NotFound


def no_provider(version: str, *known: str) -> tuple[int, str, str]:
    return 400, "NoRegisteredProviderFound", (
        f"No registered resource provider found for location 'chinanorth3' and API version '{version}' for type "
        f"'virtualMachines'. The supported api-versions are '{', '.join(known)}'. The supported locations are 'chinaeast2'."
    )  # fmt: skip


def no_type(version: str, *known: str) -> tuple[int, str, str]:
    listed = f" The supported api-versions are '{', '.join(known)}'." if known else ""
    where = f"could not be found in the namespace 'Microsoft.Compute' for api version '{version}'."
    return 404, "InvalidResourceType", f"The resource type 'virtualMachines' {where}{listed}"


def no_version(version: str, *known: str) -> tuple[int, str, str]:
    message = f"The api-version '{version}' is invalid. The supported versions are '{','.join(known)}'."
    return 400, "InvalidApiVersionParameter", message


OLD = ("2021-07-01", "2022-03-01", "2023-09-01", "2024-07-01", "2024-11-01-preview")
WAYS: dict[str, tuple[Manager, list[str]]] = {
    "by type": (Manager({}, no_provider("OURS", *OLD)), ["2024-07-01"]),
    "with another code": (Manager({}, no_type("OURS", *OLD)), ["2024-07-01"]),
    "newer ones than ours": (Manager({}, no_provider("OURS", "2023-09-01", "2027-01-01")), ["2023-09-01"]),
    "Resource Manager's own first": (
        Manager({"2025-04-01": no_provider("OURS", *OLD)}, no_version("OURS", "2025-04-01", "2023-07-01", "2014-04")),
        ["2025-04-01", "2024-07-01"],
    ),
    "one of several lists": (
        Manager({"2025-04-01": no_type("OURS", *OLD)}, no_version("OURS", "2025-04-01", "2025-04-01")),
        ["2025-04-01", "2024-07-01"],
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_the_newest_that_both_know_is_asked_for_and_remembered(tmp_path: Path, way: str) -> None:
    template, expected = WAYS[way]
    manager = Manager(template.refusals, template.default)
    async with managed(tmp_path, manager) as arm:
        assert (await vm_view(arm, VM)).location == "chinanorth3"
        assert manager.asked[1:] == expected
        manager.asked.clear()
        await vm_view(arm, replace(VM, subscription=SUBSCRIPTION.replace("5", "6")))
        assert manager.asked == expected[-1:]


async def test_an_action_is_asked_for_as_its_type_is_known_and_keeps_its_body(tmp_path: Path) -> None:
    manager = Manager({}, no_provider("OURS", *OLD))
    async with managed(tmp_path, manager) as arm:
        assert await attach_and_detach(arm, VM, [], [VM]) is not None
        await attach_and_detach(arm, VM, [], [VM])
        await vm_view(arm, VM)
    assert manager.asked[1:] == ["2024-07-01"] * 3


async def test_an_action_that_came_later_is_not_asked_for_in_an_older_version(tmp_path: Path) -> None:
    manager = Manager({}, no_provider("OURS", "2023-09-01"))
    async with managed(tmp_path, manager) as arm:
        await vm_view(arm, VM)
        manager.asked.clear()
        with pytest.raises(CloudError) as caught:
            await attach_and_detach(arm, VM, [], [VM])
        assert caught.value.code == "NoRegisteredProviderFound"
        assert len(manager.asked) == 1
        await vm_view(arm, VM)
        assert manager.asked[1:] == ["2023-09-01"]


NOTHING: dict[str, tuple[int, str, str]] = {
    "none new enough": no_provider("OURS", "2019-07-01", "2021-11-01"),
    "previews alone": no_provider("OURS", "2023-09-01-preview"),
    "no list": no_type("OURS"),
    "another region": no_provider("OURS", "2026-04-01"),
    "Resource Manager has none": no_version("OURS", "2018-09-01"),
}


@pytest.mark.parametrize("why", NOTHING)
async def test_where_none_will_do_the_refusal_stays_and_says_what_gilder_needs(tmp_path: Path, why: str) -> None:
    manager = Manager({}, NOTHING[why])
    async with managed(tmp_path, manager) as arm:
        with pytest.raises(CloudError) as caught:
            await vm_view(arm, VM)
    assert len(manager.asked) == 1
    assert not isinstance(caught.value, NotFound), "what cannot be asked for may well be there"
    assert "The supported" not in caught.value.message
    assert "gilder needs api-version" in str(caught.value.hint)


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidParameter"), (404, "ResourceNotFound")])
async def test_other_refusals_are_none_of_this(tmp_path: Path, status: int, code: str) -> None:
    manager = Manager({}, (status, code, "The supported api-versions are '2024-07-01'."))
    async with managed(tmp_path, manager) as arm:
        with pytest.raises(CloudError) as caught:
            await vm_view(arm, VM)
    assert caught.value.code == code
    assert len(manager.asked) == 1
