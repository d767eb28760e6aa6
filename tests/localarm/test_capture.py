"""Capture and detach of real devices, mounted or not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.localarm.conftest import Local
from tests.localarm.test_invariants import loops, world_in
from tests.localarm.test_operations import snapshot

from localarm.devices import LoopDevices

pytestmark = pytest.mark.root


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Local]:
    """A world whose machine shows a disk with a file system at LUN 0."""
    local = world_in(tmp_path, LoopDevices(tmp_path, tmp_path / "links"))
    disk = local.disk("d")
    local.done(
        local.ask("POST", f"{local.machine}/attachDetachDataDisks", {"dataDisksToAttach": [{"diskId": disk, "lun": 0}]})
    )
    subprocess.run(["mke2fs", "-q", "-F", str(device(tmp_path))], check=True)
    yield local
    local.world.close()
    assert loops(tmp_path) == ""


def device(folder: Path) -> Path:
    return (folder / "links" / "scsi1" / "lun0").resolve()


def mounted(folder: Path, at: Path) -> None:
    at.mkdir()
    subprocess.run(["mount", str(device(folder)), str(at)], check=True)


def laws(local: Local) -> list[str]:
    return [each["law"] for each in local.world.violations]


def test_capturing_an_unmounted_disk_shares_its_blob_and_stops_writes(real: Local, tmp_path: Path) -> None:
    subprocess.run(["sync", str(device(tmp_path))], check=True)
    taken = snapshot(real, "s", f"{real.compute}/disks/d")
    blobs = [real.world.find(*each).blob for each in (("snapshots", taken), ("disks", f"{real.compute}/disks/d"))]
    assert len({real.world.blobs.path(each).stat().st_ino for each in blobs}) == 1
    written = subprocess.run(
        ["dd", "if=/dev/zero", f"of={device(tmp_path)}", "count=1", "conv=fsync"], capture_output=True, check=False
    )
    assert written.returncode != 0, "a snapshot may not change"
    assert "captured-while-mounted" not in laws(real)


def test_capturing_a_mounted_disk_is_a_violation_and_a_copy(real: Local, tmp_path: Path) -> None:
    mounted(tmp_path, tmp_path / "at")
    try:
        taken = snapshot(real, "s", f"{real.compute}/disks/d")
        (tmp_path / "at" / "later").write_text("not in the snapshot")
    finally:
        subprocess.run(["umount", str(tmp_path / "at")], check=True)
    assert "captured-while-mounted" in laws(real)
    found = real.world.blobs.path(real.world.find("snapshots", taken).blob)
    assert found.stat().st_nlink == 1
    names = subprocess.run(["debugfs", "-R", "ls", str(found)], capture_output=True, text=True, check=True).stdout
    assert "later" not in names


def test_detaching_a_mounted_disk_goes_ahead_and_is_a_violation(real: Local, tmp_path: Path) -> None:
    mounted(tmp_path, tmp_path / "at")
    try:
        gone = {"dataDisksToDetach": [{"diskId": f"{real.compute}/disks/d"}]}
        assert real.done(real.ask("POST", f"{real.machine}/attachDetachDataDisks", gone))["status"] == "Succeeded"
        assert not (tmp_path / "links" / "scsi1" / "lun0").is_symlink()
    finally:
        subprocess.run(["umount", str(tmp_path / "at")], check=True)
    assert "detached-while-in-use" in laws(real)


def test_a_captured_disk_can_be_attached_and_written_again(real: Local, tmp_path: Path) -> None:
    disk = f"{real.compute}/disks/d"
    taken = real.world.find("snapshots", snapshot(real, "s", disk)).blob
    before = beginning(real, taken)
    real.done(real.ask("POST", f"{real.machine}/attachDetachDataDisks", {"dataDisksToDetach": [{"diskId": disk}]}))
    wish = {"dataDisksToAttach": [{"diskId": disk, "lun": 0}]}
    real.done(real.ask("POST", f"{real.machine}/attachDetachDataDisks", wish))
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={device(tmp_path)}", "count=8", "conv=fsync"], capture_output=True, check=True
    )
    assert beginning(real, taken) == before


def beginning(local: Local, blob: str) -> bytes:
    with local.world.blobs.path(blob).open("rb") as file:
        data: bytes = file.read(4096)
    return data
