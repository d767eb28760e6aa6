"""examples/quickstart.sh, as it is."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples/quickstart.sh"
AS_AZURE = """
mount -t tmpfs none /sys/class
mkdir -p /sys/class/dmi/id
echo 7783-7084-3265-9085-8269-3286-77 >/sys/class/dmi/id/chassis_asset_tag
"""
"""What makes a machine look like an Azure VM, in a mount namespace."""


def on_azure(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command on what it takes for an Azure VM."""
    environment = {name: value for name, value in os.environ.items() if name != "LOCALARM_ON_AZURE"} | more
    script = f"set -e\n{AS_AZURE}\nexec {shlex.join(command)}"
    return subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_no_cloud_of_its_own_beside_the_real_one_unless_it_is_wanted(tmp_path: Path) -> None:
    told = on_azure(["sh", str(QUICKSTART)])
    assert (told.returncode, told.stdout) == (1, ""), told.stderr
    assert "error: this is an Azure VM" in told.stderr
    assert "LOCALARM_ON_AZURE=1 sh examples/quickstart.sh" in told.stderr
    assert "installing" not in told.stderr
    state = ["--cloud-state", str(tmp_path / "cloud"), "--journal", str(tmp_path / "j"), "--log-dir", str(tmp_path)]
    build = [
        sys.executable,
        "-m",
        "gilder",
        "build",
        "--cloud",
        "local",
        *state,
        str(ROOT / "examples/quickstart.json"),
    ]
    told = on_azure(build)
    assert told.returncode == 1
    assert "this is an Azure VM" in told.stderr
    assert "LOCALARM_ON_AZURE=1 allows it" in told.stderr
    lease = [sys.executable, "-m", "localarm", "lease", "--state", str(tmp_path / "cloud"), "--devices", "none"]
    assert on_azure(lease).returncode == 1
    allowed = on_azure(lease, LOCALARM_ON_AZURE="1")
    assert allowed.returncode == 0, allowed.stderr
    asked = [sys.executable, "-c", "from gilder.cli.embedded import on_azure; print(on_azure())"]
    assert (on_azure(asked).stdout, on_azure(asked, LOCALARM_ON_AZURE="1").stdout) == ("True\n", "False\n")
