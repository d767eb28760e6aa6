"""Attached disks as devices of this machine: names, partitions, leftovers, busy and captured disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localarm.blobs import BlobStore
from localarm.devices import DeviceBusy, DeviceError, LoopDevices, NoDevices

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs loop devices"),
]

MIB = 1 << 20
CRASH = """
import os, sys
from pathlib import Path
from localarm.devices import LoopDevices
state, links = Path(sys.argv[1]), Path(sys.argv[2])
devices = LoopDevices(state, links)
for lun, name in enumerate(sys.argv[3:]):
    devices.attach(lun, state / "blobs" / name)
print("ready", flush=True)
sys.stdin.read()
"""


class World:
    """A state directory with blobs, and a directory of links of its own so that tests need not take turns."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.links = folder / "azure"
        self.blobs = BlobStore(self.state / "blobs")

    def disk(self, name: str, size: int = 64 * MIB) -> Path:
        if not self.blobs.exists(name):
            self.blobs.create(name, size)
        return self.blobs.path(name)

    def open(self) -> LoopDevices:
        return LoopDevices(self.state, self.links)

    def link(self, lun: int) -> Path:
        return self.links / f"scsi1/lun{lun}"

    def device(self, lun: int) -> Path:
        """``/dev/sdX``."""
        link = self.link(lun)
        return Path(os.path.normpath(link.parent / link.readlink()))

    def loops(self) -> list[str]:
        """Backing files below this world that loop devices of the machine still have."""
        files = (file.read_text().strip() for file in Path("/sys/block").glob("loop*/loop/backing_file"))
        return sorted(Path(file.removesuffix(" (deleted)")).name for file in files if str(self.state) in file)

    def names(self) -> list[str]:
        """Links ``/dev/sd*``, of any world, that lead to a loop device without a file."""
        links = (path for path in Path("/dev").glob("sd*[a-z]") if path.is_symlink())
        return [link.name for link in links if not Path("/sys/block", link.readlink().name, "loop").exists()]


def run(*argv: str | Path, text: str | None = None) -> str:
    done = subprocess.run(argv, check=True, capture_output=True, text=True, input=text)
    return done.stdout


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    before = World(tmp_path).names()
    made = World(tmp_path)
    yield made
    assert made.loops() == []
    assert not made.links.exists()
    assert set(made.names()) <= set(before)
    assert not list(Path("/run/localarm").glob(f"*{str(tmp_path).replace('/', '-')}*"))


@pytest.fixture
def devices(world: World) -> Iterator[LoopDevices]:
    opened = world.open()
    yield opened
    opened.close()


@contextlib.contextmanager
def mounted(device: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        run("mount", device, folder)
        try:
            yield Path(folder)
        finally:
            run("umount", folder)


def one_partition(device: Path) -> Path:
    run("sfdisk", "--quiet", "--no-reread", device, text="label: gpt\nstart=2048, type=linux\n")
    run("partx", "--update", device.resolve())
    return Path(f"{device}1")


def test_the_names_are_those_of_azure(world: World, devices: LoopDevices) -> None:
    devices.attach(3, world.disk("disk"))
    device = world.device(3)
    assert device.name >= "sdc"
    assert device.is_symlink()
    assert device.resolve().name.startswith("loop")
    assert str(world.link(3).readlink()).startswith("../")  # relative, as udev makes it
    assert [os.path.lexists(f"{device}{n}") for n in (1, 15)] == [True, True]
    assert not Path(f"{device}1").exists()  # dangles
    assert devices.attached() == {3: world.disk("disk")}
    assert run("blockdev", "--getsize64", device).strip() == str(64 * MIB)
    assert devices.detach(3) == 0
    assert devices.attached() == {}
    assert not os.path.lexists(device)
    assert not os.path.lexists(f"{device}15")


def test_partitions_on_the_disk_are_there_at_once(world: World, devices: LoopDevices) -> None:
    file = world.disk("disk")
    table = f"label: gpt\n{file}14 : start=2048,size=8192\n{file}15 : start=16384,size=8192\n"
    run("sfdisk", "--quiet", file, text=table)
    devices.attach(0, file)
    assert Path(f"{world.device(0)}14").is_block_device()
    assert Path(f"{world.device(0)}15").is_block_device()
    assert not Path(f"{world.device(0)}1").exists()


def test_partitions_made_later_are_seen_and_do_not_come_back(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("first"))
    device = world.device(0)
    loop = device.resolve()
    assert one_partition(device).is_block_device()
    devices.detach(0)
    assert list(Path("/sys/block", loop.name).glob(f"{loop.name}p*")) == []
    devices.attach(0, world.disk("second"))
    assert not Path(f"{world.device(0)}1").exists()
    devices.detach(0)
    devices.attach(0, world.disk("first"))
    assert Path(f"{world.device(0)}1").is_block_device()


def test_a_name_in_use_is_never_taken(world: World, devices: LoopDevices, tmp_path: Path) -> None:
    devices.attach(0, world.disk("probe"))
    free = world.device(0)
    devices.detach(0)
    free.symlink_to("/dev/null")
    try:
        devices.attach(0, world.disk("disk"))
        assert world.device(0) != free
        assert free.readlink() == Path("/dev/null")
        devices.detach(0)
        assert free.readlink() == Path("/dev/null")
    finally:
        free.unlink()
    other = World(tmp_path / "other")
    others = other.open()
    try:
        devices.attach(0, world.disk("disk"))
        others.attach(0, other.disk("disk"))
        assert world.device(0) != other.device(0)
    finally:
        others.close()


def test_a_foreign_name_by_lun_is_refused_and_kept(world: World, devices: LoopDevices) -> None:
    world.link(2).parent.mkdir(parents=True)
    world.link(2).symlink_to("/dev/null")
    with pytest.raises(DeviceError, match="not ours"):
        devices.attach(2, world.disk("disk"))
    assert world.loops() == []
    shutil.rmtree(world.links)


def test_a_lun_holds_one_disk(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    with pytest.raises(DeviceError, match="has a disk"):
        devices.attach(0, world.disk("other"))
    with pytest.raises(DeviceError, match="has no disk"):
        devices.detach(1)
    with pytest.raises(DeviceError, match="absent"):
        devices.attach(1, world.state / "absent")
    assert world.loops() == ["disk"]


def test_sixty_four_disks_at_once(world: World, devices: LoopDevices) -> None:
    files = [world.disk(f"disk{n}", 30 << 30) for n in range(64)]
    started = time.monotonic()
    for lun, file in enumerate(files):
        devices.attach(lun, file)
    took = time.monotonic() - started
    assert len({world.device(lun).resolve() for lun in range(64)}) == 64
    assert took / 64 < 0.05
    for lun in reversed(range(64)):
        assert world.device(lun).resolve().is_block_device()
        devices.detach(lun)


def test_data_goes_to_the_blob_and_unflushed_writes_are_told(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    with world.device(0).open("r+b", buffering=0) as device:
        device.write(b"flushed" + bytes(505))
        os.fsync(device.fileno())
        written = devices.sectors_written(0)
        assert written > 0
        device.seek(MIB)
        device.write(b"late" + bytes(508))
        assert devices.detach(0) > 0  # someone had it open, with data not yet written
    with world.disk("disk").open("rb") as blob:
        assert blob.read(7) == b"flushed"
        blob.seek(MIB)
        assert blob.read(4) == b"late"


def test_in_use_while_mounted_in_any_namespace(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    partition = one_partition(world.device(0))
    run("mke2fs", "-q", "-t", "ext4", partition)
    assert not devices.in_use(0)
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", 'mount "$0" /mnt && echo mounted && read line', partition],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as elsewhere:
        assert elsewhere.stdin is not None
        assert elsewhere.stdout is not None
        assert elsewhere.stdout.readline() == b"mounted\n"
        assert devices.in_use(0)
        elsewhere.stdin.close()
    assert not devices.in_use(0)


def test_a_busy_disk_goes_when_its_last_user_does(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    partition = one_partition(world.device(0))
    run("mke2fs", "-q", "-t", "ext4", partition)
    with mounted(partition) as root:
        with pytest.raises(DeviceBusy, match="LUN 0"):
            devices.detach(0)
        assert devices.attached() == {}
        assert not os.path.lexists(world.link(0))
        (root / "still").write_text("works")
        assert world.loops() == ["disk"]
    deadline = time.monotonic() + 5
    while world.loops() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.loops() == []
    devices.attach(0, world.disk("empty"))
    assert not Path(f"{world.device(0)}1").exists()


def test_a_captured_disk_refuses_writes(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    partition = one_partition(world.device(0))
    run("mke2fs", "-q", "-t", "ext4", partition)
    world.blobs.share("disk", "snapshot")
    assert devices.make_read_only(0) == 0
    before = world.blobs.path("snapshot").read_bytes()
    with pytest.raises(PermissionError), partition.open("r+b", buffering=0) as device:
        device.write(bytes(512))
    with mounted(partition) as root, pytest.raises(OSError, match="Read-only"):  # mount fell back to read-only
        (root / "new").write_text("text")
    assert world.blobs.path("snapshot").read_bytes() == before
    devices.detach(0)
    world.blobs.thaw("disk")
    devices.attach(0, world.disk("disk"))
    with mounted(Path(f"{world.device(0)}1")) as root:  # can be written again
        (root / "new").write_text("text")
    assert world.blobs.path("snapshot").read_bytes() == before


def test_a_writer_that_did_not_flush_before_capture_is_told(world: World, devices: LoopDevices) -> None:
    devices.attach(0, world.disk("disk"))
    with world.device(0).open("r+b", buffering=0) as device:
        device.write(b"x" * 4096)
        world.blobs.share("disk", "snapshot")
        assert devices.make_read_only(0) == 8
        with pytest.raises(PermissionError):
            device.write(b"y" * 4096)


@contextlib.contextmanager
def killed_with(world: World, *disks: str) -> Iterator[None]:
    """Another process attached these disks at LUN 0, 1, … and was killed."""
    argv = [sys.executable, "-c", CRASH, str(world.state), str(world.links), *disks]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    yield


def test_a_restart_adopts_what_is_wanted_and_removes_the_rest(world: World) -> None:
    for name in ("kept", "replaced", "dropped"):
        world.disk(name)
    with killed_with(world, "kept", "replaced", "dropped"):
        assert world.loops() == ["dropped", "kept", "replaced"]
    loop = world.device(0).resolve()
    with mounted_anew(world, loop):
        devices = world.open()
        devices.attach(0, world.disk("kept"))
        assert world.device(0).resolve() == loop
        assert devices.in_use(0)  # still mounted by whoever did so before the crash
    world.disk("changed")
    devices.attach(1, world.disk("changed"))
    devices.sweep()
    assert world.loops() == ["changed", "kept"]
    assert not os.path.lexists(world.link(2))
    devices.close()


@contextlib.contextmanager
def mounted_anew(world: World, device: Path) -> Iterator[None]:
    run("mke2fs", "-q", "-t", "ext4", device)
    with mounted(device):
        yield


def test_a_thawed_disk_is_not_mistaken_for_its_snapshot(world: World) -> None:
    world.disk("disk")
    with killed_with(world, "disk"):
        world.blobs.share("disk", "snapshot")
        world.blobs.thaw("disk")
    devices = world.open()
    devices.attach(0, world.disk("disk"))
    with world.device(0).open("r+b", buffering=0) as device:
        device.write(b"new" + bytes(509))
    devices.detach(0)
    assert world.blobs.path("snapshot").read_bytes()[:3] == bytes(3)
    assert world.blobs.path("disk").read_bytes()[:3] == b"new"
    devices.close()


def test_a_kill_between_device_and_note_leaves_nothing(world: World) -> None:
    world.disk("disk")
    with killed_with(world, "disk"):
        (world.state / "devices.json").unlink()
    world.open().close()
    assert world.loops() == []
    world.open().close()  # names whose device is gone are known to be dead
    shutil.rmtree(world.links, ignore_errors=True)


def test_two_worlds_never_own_the_names(world: World, devices: LoopDevices, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=rf"pid {os.getpid()}, state {world.state}"):
        LoopDevices(tmp_path, world.links)


def test_lock_files_of_killed_processes_go(world: World, devices: LoopDevices, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    with killed_with(other):
        pass
    assert len(list(Path("/run/localarm").glob("*-other-azure.lock"))) == 1
    World(tmp_path / "third").open().close()
    assert not list(Path("/run/localarm").glob("*-other-azure.lock"))
    with pytest.raises(DeviceError, match="owns"):  # the living keep theirs
        world.open()


def test_a_dead_world_does_not_block_the_next(world: World, tmp_path: Path) -> None:
    world.disk("disk")
    with killed_with(world, "disk"):
        pass
    other = World(tmp_path / "other")
    other.links = world.links
    others = other.open()
    others.attach(0, other.disk("disk"))
    assert world.loops() == ["disk"]  # not theirs to touch
    theirs = other.device(0)
    others.detach(0)
    others.close()
    others = other.open()
    others.attach(0, other.disk("disk"))
    others.close()
    assert not os.path.lexists(theirs)
    world.open().close()


def test_bookkeeping_only() -> None:
    devices = NoDevices()
    devices.attach(1, Path("a"))
    with pytest.raises(DeviceError):
        devices.attach(1, Path("b"))
    assert devices.attached() == {1: Path("a")}
    assert not devices.in_use(1)
    devices.detach(1)
    with pytest.raises(DeviceError):
        devices.detach(1)
