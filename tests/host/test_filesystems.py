"""Filesystems beside their clones, grown, and a guest's own /dev."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import pytest
from tests.host.disks import disk_image, do, shown

from gilder.host.devices import BlockDevice, block_device, partition_numbers
from gilder.host.filesystems import Filesystem, btrfs_refuses_clones, filesystem, filesystems, options_for
from gilder.host.growing import grow_filesystem, grow_partition
from gilder.host.guest import Guest
from gilder.host.mounts import VOLUMES, extra_mounted, mounted
from gilder.host.sandbox import Sandbox
from gilder.model.errors import Refused
from gilder.model.spec import DEFAULT_CHROOT_MOUNTS
from gilder.runtime.locks import KeyedLocks, Turns
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("release", "refuses"),
    [
        ("5.10.0-28-amd64", True),
        ("6.6.99", True),
        ("6.7.0", False),
        ("6.18.44-fc", False),
        ("10.0", False),
        ("?", True),
    ],
)
def test_which_kernels_refuse_clones_of_btrfs(release: str, refuses: bool) -> None:
    assert btrfs_refuses_clones(release) is refuses


def test_options_that_clones_need() -> None:
    assert options_for(Filesystem("xfs", "1"), ["noatime"]) == ["noatime", "nouuid"]
    assert options_for(Filesystem("xfs", "1"), ["noatime,nouuid"]) == ["noatime,nouuid"]
    assert options_for(Filesystem("ext4", "1"), ["noatime"]) == ["noatime"]


async def test_what_is_on_a_device(disk: BlockDevice) -> None:
    found = await filesystem(f"{disk.path}p1")
    assert found.kind == "ext4"
    assert len(found.uuid) == 36
    do("wipefs", "--all", f"{disk.path}p1")
    assert await filesystem(f"{disk.path}p1") == Filesystem("", "")


async def test_what_is_on_each_of_some_devices(disk: BlockDevice) -> None:
    """One program for all of a disk, and each device gets its own answer, also beside one that cannot be read."""
    first = f"{disk.path}p1"
    assert await filesystems([disk.path, "/dev/none", first, "/dev/null"]) == {
        disk.path: Filesystem("", ""),
        "/dev/none": Filesystem("", ""),
        first: await filesystem(first),
        "/dev/null": Filesystem("", ""),
    }


@pytest.fixture(scope="session")
def btrfs(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disk_image(tmp_path_factory.mktemp("btrfs") / "btrfs.raw", tree, system="btrfs", megabytes=192)


@pytest.mark.parametrize("refuses", [True, False])
async def test_btrfs_clones_take_turns_where_the_kernel_refuses_them(
    box: Sandbox, ledger: MemoryLedger, btrfs: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    """With a kernel that mounts clones, that it does not matter here which of the two this is is the point."""
    monkeypatch.setattr("gilder.host.filesystems.btrfs_refuses_clones", lambda release: refuses)
    waited: list[str] = []
    turns = Turns(KeyedLocks(), waited.append)
    most = now = 0

    async def build(device: BlockDevice) -> None:
        nonlocal now, most
        at = VOLUMES / device.name
        async with mounted(box, f"{device.path}p1", at, ledger=ledger, turns=turns) as root:
            now += 1
            most = max(most, now)
            assert "ID=busybox" in await box.output(["cat", f"{root}/etc/os-release"])
            await anyio.sleep(0.2)
            now -= 1

    with shown(btrfs) as one, shown(btrfs) as two:
        async with anyio.create_task_group() as group:
            group.start_soon(build, one)
            group.start_soon(build, two)
        uuid = (await filesystem(f"{one.path}p1")).uuid
    if refuses:
        assert most == 1
        assert waited == [f"btrfs {uuid}", ""], "and then goes on"
    else:
        assert waited == []


def _enlarged(image: Path, megabytes: int) -> Path:
    with image.open("r+b") as file:
        file.truncate(megabytes * 2**20)
    return image


@pytest.mark.parametrize(("system", "first", "then"), [("ext4", 48, 200), ("xfs", 320, 500), ("btrfs", 192, 400)])
async def test_the_root_grows_with_the_disk(
    box: Sandbox, ledger: MemoryLedger, tree: Path, tmp_path: Path, system: str, first: int, then: int
) -> None:
    image = disk_image(tmp_path / "small.raw", tree, system=system, megabytes=first)
    with shown(image) as small:
        async with mounted(box, f"{small.path}p1", VOLUMES / "small", ledger=ledger) as root:
            before = int(await box.output(["stat", "-f", "-c", "%b", str(root)]))
    with shown(_enlarged(image, then)) as device:
        partition = f"{device.path}p1"
        assert await grow_partition(device, "1")
        assert not await grow_partition(device, "1")
        assert block_device(partition).size_bytes > (then - 3) * 2**20
        async with mounted(box, partition, VOLUMES / "g", ledger=ledger) as root:
            await grow_filesystem(box, partition, root, print)
            after = int(await box.output(["stat", "-f", "-c", "%b", str(root)]))
        assert after > before * 1.3
        do("sfdisk", "--verify", device.path)


async def test_a_partition_with_another_behind_it_is_not_grown(disk: BlockDevice) -> None:
    table = b"label: gpt\nstart=2048, size=20480, type=linux\nsize=20480, type=linux\n"
    subprocess.run(["sfdisk", "--quiet", "--no-reread", disk.path], input=table, check=True, capture_output=True)
    do("partx", "--update", disk.path)
    assert sorted(partition_numbers(disk)) == ["1", "2"]
    with pytest.raises(Refused, match="partition 2 is behind it"):
        await grow_partition(disk, "1")
    with pytest.raises(Refused, match="no partition 7"):
        await grow_partition(disk, "7")


async def test_a_guest_may_have_a_dev_of_its_own(guest: Guest, ledger: MemoryLedger) -> None:
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS, ledger, minimal_dev=True):
        assert (await guest.run("cd /dev; echo *")).tail == (
            "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
        )
        await guest.run(
            "echo x >/dev/null; cat /dev/zero | { read -r -n 1 x || true; }; echo y >/dev/stdout; test -c /dev/ptmx"
        )
        await guest.run("touch /dev/shm/file /dev/new")
        assert (await guest.run("stat -c %a /dev/null /dev/pts/ptmx /dev/shm")).tail == ("666", "666", "1777")
    assert not Path("/dev/new").exists()
    assert await guest.exists("/dev/null")
