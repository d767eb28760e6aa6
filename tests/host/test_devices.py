"""Block devices as the kernel tells of them, on real loop devices."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.host.disks import START, do

from gilder.host import devices, holders
from gilder.host.devices import (
    BlockDevice,
    block_device,
    flush,
    is_free,
    partition,
    partition_numbers,
    reread_partitions,
    wait_free,
    wait_partition,
)
from gilder.host.run import run
from gilder.model.errors import Busy, DeviceMissing, HostError
from gilder.slots.devices import LunDevices

pytestmark = pytest.mark.root


def test_a_device_is_known_by_its_number(disk: BlockDevice) -> None:
    assert disk.path == f"/dev/{disk.kernel_name}"
    assert disk.number == f"7:{disk.kernel_name.removeprefix('loop')}"
    assert disk.size_bytes == 48 * 2**20
    assert disk.diskseq is None or disk.diskseq > 0


def test_a_new_disk_has_a_higher_sequence_number(disk: BlockDevice, image: Path) -> None:
    from tests.host.disks import shown

    with shown(image) as other:
        if disk.diskseq is None or other.diskseq is None:
            pytest.skip("this kernel does not number disks")
        assert other.diskseq > disk.diskseq


@pytest.mark.parametrize("path", ["/dev/no-such", "/dev/null", "/etc/passwd", "/dev"])
def test_what_is_no_block_device_is_refused(path: str) -> None:
    with pytest.raises(DeviceMissing, match=path):
        block_device(path)


def test_a_partition_is_found_by_its_number(disk: BlockDevice) -> None:
    assert partition(disk, "1") == f"{disk.path}p1"
    assert partition(disk, "") == disk.path
    with pytest.raises(DeviceMissing, match="has no partition 2") as caught:
        partition(disk, "2")
    assert "knows these partitions: 1" in str(caught.value.hint)


def test_the_name_that_the_user_knows_is_preferred_when_it_is_right(disk: BlockDevice, tmp_path: Path) -> None:
    alias = tmp_path / "sdc"
    alias.symlink_to(disk.path)
    device = block_device(str(alias))
    assert device.name == "sdc"
    assert partition(device, "1") == f"{disk.path}p1"
    (tmp_path / "sdc1").symlink_to(f"{disk.path}p1")
    assert partition(device, "1") == f"{alias}1"


def test_a_stale_name_is_not_believed(disk: BlockDevice, tmp_path: Path) -> None:
    """`sdc1` left over from the disk that was there before must not be mounted."""
    alias = tmp_path / "sdc"
    alias.symlink_to(disk.path)
    (tmp_path / "sdc1").symlink_to("/dev/null")
    assert partition(block_device(str(alias)), "1") == f"{disk.path}p1"
    (tmp_path / "sdc1").unlink()
    (tmp_path / "sdc1").symlink_to(disk.path)
    assert partition(block_device(str(alias)), "1") == f"{disk.path}p1"


def test_a_name_that_ends_in_a_digit_takes_a_p(disk: BlockDevice, tmp_path: Path) -> None:
    alias = tmp_path / "nvme0n2"
    alias.symlink_to(disk.path)
    (tmp_path / "nvme0n2p1").symlink_to(f"{disk.path}p1")
    assert partition(block_device(str(alias)), "1") == f"{alias}p1"


async def test_a_table_just_written_is_seen(disk: BlockDevice) -> None:
    table = "label: gpt\nstart=2048, size=20480, type=linux\nsize=20480, type=linux\ntype=linux\n"
    subprocess.run(
        ["sfdisk", "--quiet", "--no-reread", disk.path], input=table.encode(), check=True, capture_output=True
    )
    assert sorted(devices.partition_numbers(disk)) == ["1"]
    await reread_partitions(disk)
    assert sorted(devices.partition_numbers(disk)) == ["1", "2", "3"]
    assert await wait_partition(disk, "3") == f"{disk.path}p3"


async def test_numbers_after_a_gap_are_seen_and_go_again(disk: BlockDevice) -> None:
    layout = "label: gpt\nstart=2048,size=2048\n14: start=8192,size=2048\n15: start=12288,size=2048\n"
    await run(["sfdisk", "--quiet", "--no-reread", disk.path], stdin=layout.encode())
    await reread_partitions(disk)
    assert set(partition_numbers(disk)) == {"1", "14", "15"}
    await run(["sfdisk", "--quiet", "--no-reread", "--delete", disk.path, "14"])
    await reread_partitions(disk)
    assert set(partition_numbers(disk)) == {"1", "15"}


async def test_partitions_that_are_gone_from_the_disk_go(disk: BlockDevice) -> None:
    do("wipefs", "--all", "--force", disk.path)
    await reread_partitions(disk)
    assert devices.partition_numbers(disk) == {}
    await reread_partitions(disk)
    with pytest.raises(DeviceMissing, match="has no partition 1"):
        await wait_partition(disk, "1", within=0.05)


class LaidOut(BlockDevice):
    """A disk whose part of sysfs is a directory, named by `path`."""

    @property
    def sysfs(self) -> Path:
        return Path(self.path)


def test_partitions_that_the_kernel_takes_away_during_a_look_are_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error failed the build. Left out, the partition with LVM would make the disk one without."""
    for name, file in (("sdc1", "dev"), ("sdc1", "partition"), ("sdc2", "partition")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text({"dev": "8:33\n", "partition": f"{name[-1]}\n"}[file])
    laid_out = LaidOut(str(tmp_path), "sdc", "8:32", 2**20, None)
    with pytest.raises(DeviceMissing, match="change all the time"):
        partition_numbers(laid_out)
    assert devices.holders_of(laid_out) == []
    read, looks = Path.read_text, []

    def late(self: Path) -> str:
        looks.append(self)
        if len(looks) == 3:
            (tmp_path / "sdc2/dev").write_text("8:34\n")
        return read(self)

    monkeypatch.setattr(Path, "read_text", late)
    assert partition_numbers(laid_out) == {"1": "8:33", "2": "8:34"}


async def test_a_held_disk_is_not_free_and_its_holder_is_named(disk: BlockDevice, tmp_path: Path) -> None:
    assert is_free(disk)
    do("mount", f"{disk.path}p1", tmp_path)
    try:
        assert not is_free(disk)
        # It was "as seen by kthreadd".
        with pytest.raises(Busy, match=f"in use by the mount {tmp_path} of this machine(, the mount|$)"):
            await wait_free(disk, within=0.05)
    finally:
        do("umount", tmp_path)
    await wait_free(disk)


async def test_an_exclusive_opener_holds_it_too(disk: BlockDevice) -> None:
    handle = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
    try:
        assert not is_free(disk)
    finally:
        os.close(handle)
    assert is_free(disk)


async def test_a_flush_puts_what_was_written_on_the_disk(disk: BlockDevice) -> None:
    """Also when it goes through the devices of the slots, as before a snapshot: there it once did nothing."""
    file = Path((disk.sysfs / "loop/backing_file").read_text().strip())
    for number, way in enumerate((flush, LunDevices().flush)):
        written = bytes([number + 1]) * 4096
        # Open all the time: the kernel writes by itself when the last one closes a device.
        with Path(disk.path).open("r+b", buffering=0) as device, file.open("rb", buffering=0) as behind:
            os.pwrite(device.fileno(), written, START // 2)
            assert os.pread(behind.fileno(), 4096, START // 2) != written
            await way(disk)
            assert os.pread(behind.fileno(), 4096, START // 2) == written


async def test_a_flush_that_fails_says_that_the_disk_lacks_something(disk: BlockDevice) -> None:
    gone = replace(disk, path="/dev/no-such")
    with pytest.raises(HostError, match="not everything was written to /dev/no-such") as caught:
        await flush(gone)
    assert "dmesg" in str(caught.value.hint)


async def test_a_flush_that_the_kernel_does_not_end_counts_as_failed(disk: BlockDevice, tmp_path: Path) -> None:
    """Neither a deadline nor Ctrl-C ended it, and the thread in which it hung kept gilder from ending."""
    os.mkfifo(tmp_path / "sdc")  # to open it lasts until somebody writes
    hanging = replace(disk, path=str(tmp_path / "sdc"))
    with pytest.raises(HostError, match=r"not everything was written to .*: the flush did not end within 0.1 s"):
        await flush(hanging, within=0.1)
    with anyio.move_on_after(0.1) as scope:
        await flush(hanging)
    assert scope.cancelled_caught


async def test_holders_that_nobody_can_look_at_are_not_waited_for(
    disk: BlockDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, read = threading.Event(), os.readlink

    def hang(path: str) -> str:
        answered.wait(60)
        return read(path)

    monkeypatch.setattr(os, "readlink", hang)
    monkeypatch.setattr(holders, "_LONGEST_LOOK", 0.1)
    handle = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
    try:
        with anyio.fail_after(5), pytest.raises(Busy) as busy:
            await wait_free(disk, within=0)
    finally:
        os.close(handle)
        answered.set()
    assert str(busy.value) == f"{disk.path} is still in use"
