"""gilder as on a VM of a cloud that it has never heard of: no embedded cloud, no tenant, an authority of the cloud's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.strangers.conftest import opened

from localarm.settings import APPLICATION, APPLICATION_SECRET, TENANT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces and loop devices"),
]

FROM_PYTHON = """
import sys
import anyio
from gilder.api import Auth, connected

async def main():
    auth = Auth(metadata_host="localhost", client_id=sys.argv[1], client_secret=sys.argv[2])
    async with connected(auth) as vm:
        print(vm.facts.name, "at", vm.arm.cloud.resource_manager)

anyio.run(main)
"""

BUILD_FROM_PYTHON = """
import sys
import anyio
from gilder.api import build

print(anyio.run(build, sys.argv[1]))
"""


def test_a_described_cloud_is_logged_in_to_with_a_secret(folder: Path) -> None:
    variables = {
        "ARM_METADATA_HOSTNAME": "localhost",
        "ARM_CLIENT_ID": APPLICATION,
        "ARM_CLIENT_SECRET": APPLICATION_SECRET,
    }
    with opened(folder) as place:
        ended = place.gilder(place.template("described"), **variables)
        assert ended.status == 0, ended.out
        logins = [entry["path"] for entry in place.asked("audit") if entry["path"].endswith("/token")]
        assert logins == [f"/{TENANT}/oauth2/v2.0/token"]
        assert place.asked("violations") == []
        ended = place.run(sys.executable, "-c", FROM_PYTHON, APPLICATION, APPLICATION_SECRET)
        assert ended.out == "build-host at https://localhost\n"
    assert place.file_in("described-image", "/root/mark") == "made by described\n"


def test_a_login_may_ask_the_vm_for_its_subscription(folder: Path) -> None:
    secret = {"client_id": APPLICATION, "client_secret": APPLICATION_SECRET}
    with opened(folder) as place:
        template = place.template("asked", subscription_id="{{vm `subscription_id`}}", **secret)
        doctor = [sys.executable, "-m", "gilder", "doctor", "--log-dir", str(folder / "logs"), "--journal"]
        ended = place.run(*doctor, str(folder / "journal.sqlite"), template)
        assert "good     build asked:" in ended.out, ended.out
        ended = place.run(sys.executable, "-c", BUILD_FROM_PYTHON, template)
        assert "Built(" in ended.out, ended.out
        (folder / "template.json").write_text((folder / "template.json").read_text().replace("asked", "again"))
        ended = place.gilder(template)
        assert ended.status == 0, ended.out
        logins = {entry["path"] for entry in place.asked("audit") if entry["path"].endswith("/token")}
        assert logins == {f"/{TENANT}/oauth2/v2.0/token"}
