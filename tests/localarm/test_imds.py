"""Instance metadata: what each version shows."""

from __future__ import annotations

import itertools

from tests.localarm.conftest import Local

from localarm.messages import Request


def compute(local: Local, version: str) -> dict[str, object]:
    asked = Request("GET", "/metadata/instance/compute", {"api-version": version}, {"metadata": "true"}, b"")
    answer = local.application.handle(asked)
    assert answer.status == 200, answer.payload
    assert isinstance(answer.payload, dict)
    return answer.payload


def test_the_version_that_packer_reads_is_flat(local: Local) -> None:
    shown = compute(local, "2017-08-01")
    assert all(isinstance(value, str) for value in shown.values())
    assert {"location", "name", "osType", "resourceGroupName", "subscriptionId", "vmId", "vmSize"} <= set(shown)


def test_later_versions_show_more(local: Local) -> None:
    versions = ("2017-08-01", "2018-02-01", "2019-03-11", "2020-06-01", "2021-02-01", "2021-12-13", "2025-04-07")
    shown = [set(compute(local, version)) for version in versions]
    assert all(earlier < later or earlier == later for earlier, later in itertools.pairwise(shown))
    assert "resourceId" not in shown[1]
    assert "resourceId" in shown[2]
    assert "storageProfile" in shown[3]
