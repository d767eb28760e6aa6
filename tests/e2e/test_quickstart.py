"""examples/quickstart.sh, as it is."""

from __future__ import annotations

import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.conftest import Program, builder, traces_soon

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples/quickstart.sh"
DEBIAN = Path("/var/lib/localarm/catalogue/debian-debian-13-13-gen2")
DOWNLOADS = bool(os.environ.get("CI") or os.environ.get("GILDER_DOWNLOADS"))

APART = """
mkdir -p /var/lib/localarm/catalogue /var/lib/gilder $FOLDER/localarm/catalogue $FOLDER/gilder
mount --bind /var/lib/localarm/catalogue $FOLDER/localarm/catalogue
mount --rbind $FOLDER/localarm /var/lib/localarm
mount --bind $FOLDER/gilder /var/lib/gilder
"""
"""What gives it, in a mount namespace, a cloud and a journal of its own; base images are those of this machine."""

RUN = """
sh examples/quickstart.sh >$FOLDER/first
sh examples/quickstart.sh >$FOLDER/told
sed -n '/^To look inside/,$ s/^  //p' $FOLDER/told | sh -eux
"""
"""Runs it twice, and then what it tells to do."""


def own_venv(folder: Path) -> Path:
    """A venv for the quickstart: the one that runs the tests, if it would be taken as it is, or else a new one."""
    notes = Path(sys.prefix) / ".made-from"
    stamp = subprocess.run(
        ["sh", "-c", '. examples/setup.sh; find_python; echo "$stamp"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    taken = notes.exists() and [*stamp, ".[test]"] == [each for each in notes.read_text().splitlines() if each != "."]
    return Path(sys.prefix) if taken else folder / "venv"


def this_machine(folder: Path) -> dict[str, object]:
    """What of this machine the quickstart may not have changed, and whatever still runs of it."""
    running = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder) in (process / "mountinfo").read_text(errors="replace"):
                running[process.name] = (process / "cmdline").read_bytes()
    return {
        "loop devices": subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True).stdout,
        "mounts": Path("/proc/mounts").read_text(),
        "names": sorted(map(str, [*Path("/dev/disk").rglob("*"), *Path("/dev").glob("sd*")])),
        "processes": running,
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not DOWNLOADS and not any(DEBIAN.glob("*.raw")), reason="makes a Debian; set GILDER_DOWNLOADS=1")
def test_the_quickstart_builds_images_that_one_can_look_into_and_leaves_nothing(tmp_path: Path) -> None:
    before = this_machine(tmp_path)
    environment = os.environ | {
        "FOLDER": str(tmp_path),
        "GILDER_VENV": str(own_venv(tmp_path)),
        "LOCALARM_ON_AZURE": "1",
    }
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=slave", "sh", "-euc", APART + RUN],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = (tmp_path / "told").read_text()
    assert "built      debian-13" in told
    first, both = (
        set(re.findall(r"/images/(MyDebianOSImage-\d+)", text)) for text in ((tmp_path / "first").read_text(), told)
    )
    assert len(first) == 1
    assert len(both - first) == 1, "a second run makes a new image"
    assert "making the venv" not in done.stderr.partition("building examples/quickstart.json")[2]
    assert "VERSION_CODENAME=trixie" in done.stdout
    assert "/mnt/usr/bin/hello" in done.stdout
    deadline = time.monotonic() + 10  # the embedded cloud ends a moment after its last client
    while (after := this_machine(tmp_path)) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert after == before


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


MMDEBSTRAP = """#!/bin/sh
for word; do case $word in */root) tree=$word;; esac; done
mkdir -p $tree/dev && mount --bind /dev $tree/dev && : >$tree/dev/null && sleep 74003
"""


def test_the_first_making_of_a_base_image_is_told_and_an_interrupt_ends_it(gilder: Program, tmp_path: Path) -> None:
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    (tmp_path / "mmdebstrap").chmod(0o755)
    catalogue = gilder.folder / "catalogue"
    lease = [sys.executable, "-m", "localarm", "lease", "--state", str(gilder.state), f"--catalogue={catalogue}"]
    script = f"mount --bind {tmp_path}/mmdebstrap /usr/bin/mmdebstrap; exec {shlex.join(lease)}"
    sku = "13-arm64" if platform.machine() == "aarch64" else "13-gen2"
    template = gilder.template([builder("base", source=f"Debian:debian-13:{sku}:latest")], [])
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation=slave", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        held.stdout.readline()
        began = time.monotonic()
        ended = gilder.build_until("making Debian 13 with mmdebstrap", signal.SIGINT, template)
        assert ended.status == 1
        assert time.monotonic() - began < 30
        assert "cancelled  base" in ended.out, ended.out + ended.err
        assert "Left behind" not in ended.out
        held.stdin.close()
        held.wait(20)
    assert traces_soon(gilder.folder) == []  # the server too is gone
    assert Path("/dev/null").is_char_device()
    assert gilder.inventory().get("disks", 0) == 1, "the build host's own"
    assert [file.name for file in (catalogue / f"debian-debian-13-{sku}").iterdir()] == ["lock"]


def test_no_cloud_of_its_own_beside_the_real_one_unless_it_is_wanted(tmp_path: Path) -> None:
    told = on_azure(["sh", str(QUICKSTART)], GILDER_VENV=str(tmp_path / "venv"))
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
