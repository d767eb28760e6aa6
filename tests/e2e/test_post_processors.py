"""Post-processors of whole builds."""

from __future__ import annotations

import json

import pytest
from tests.e2e.conftest import Program, builder

pytestmark = pytest.mark.root

MANIFEST = {"type": "manifest", "output": "{{pwd}}/m.json", "custom_data": {"from": "{{build `SourceImageName`}}"}}
TELL = {"type": "shell-local", "name": "tell", "inline": ["echo $PACKER_BUILD_NAME has $GILDER_ARTIFACT_ID"]}
SLOW = {"type": "shell-local", "name": "slow", "inline": ["sleep 60"], "only": ["slow"]}
FAIL = {"type": "shell-local", "name": "fail", "inline": ["exit 4"]}


def test_several_builds_share_a_manifest_and_a_failed_chain_spares_the_others(
    gilder: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(gilder.folder)
    after = {
        "post-processors": [
            [FAIL | {"only": ["bad"]}, MANIFEST | {"except": ["slow"]}],
            [TELL],
            [MANIFEST | {"only": ["bad"]}],
            [SLOW],
        ]
    }
    names = ["bad", "good", "late"]
    template = gilder.template(
        [*map(builder, names), builder("slow", stage_deadlines={"post-process": "500ms"})], [], **after
    )
    ended = gilder.run(gilder.build_command(template))
    assert ended.status == 1
    assert "Post-processor failed: fail: inline script ended with status 4" in ended.out
    assert "running post-processors took longer than 0.5s" in ended.out
    assert "the build itself ended well: /subscriptions/" in ended.out
    assert "==> good: Running post-processor: tell (type shell-local)" in ended.err
    assert "good: good has /subscriptions/" in ended.err
    manifest = json.loads((gilder.folder / "m.json").read_text())
    builds = {build["name"]: build for build in manifest["builds"]}
    assert sorted(builds) == names
    assert builds["good"]["artifact_id"].endswith("/microsoft.compute/images/good-image")
    assert "busybox" in builds["good"]["custom_data"]["from"].lower()
    assert {build["packer_run_uuid"] for build in builds.values()} == {manifest["last_run_uuid"]}
