"""From a LUN to a device on machines of every kind, and the proof that it is the right one."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from tests.virtual.loop import in_virtual_time

from gilder.host.devices import BlockDevice, is_free
from gilder.model.errors import DeviceMissing, HostError
from gilder.slots.devices import LunDevices, Scenery, wait_device

DATA = "{f8b3781b-1e82-4818-a1c3-63d806ec15bb}"
OS = "{f8b3781a-1e82-4818-a1c3-63d806ec15bb}"
REMOTE = "MSFT NVMe Accelerator v1.0"
LOCAL = "Microsoft NVMe Direct Disk v2"


class MachineFiles:
    """The parts of /dev and /sys that tell of disks, as Azure VMs have them."""

    def __init__(self, folder: Path) -> None:
        self.dev, self.sys = folder / "dev", folder / "sys"
        self.dev.mkdir()
        self.sys.mkdir()

    @property
    def devices(self) -> LunDevices:
        return LunDevices(self.dev, self.sys)

    def file(self, path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, path: Path, target: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def scsi(self, host: int, lun: int, name: str, controller: str) -> None:
        """A disk as hv_storvsc shows it; its controller is a device of the VMBus."""
        bus = self.sys / f"devices/vmbus/{controller.strip('{}')}"
        self.file(bus / "device_id", controller + "\n")
        self.file(bus / f"host{host}/scsi_host/host{host}/scan")
        device = bus / f"host{host}/target{host}:0:0/{host}:0:0:{lun}"
        (device / "block" / name).mkdir(parents=True)
        self.link(self.sys / f"bus/scsi/devices/{host}:0:0:{lun}", str(device))
        host_link = self.sys / f"class/scsi_host/host{host}"
        if not host_link.is_symlink():
            self.link(host_link, str(bus / f"host{host}/scsi_host/host{host}"))
        self.file(self.dev / name)

    def nvme(self, controller: str, namespace: str, nsid: int, model: str) -> None:
        self.file(self.sys / f"class/nvme/{controller}/model", f"{model}   \n")
        self.file(self.sys / f"class/nvme/{controller}/rescan_controller")
        self.file(self.sys / f"class/nvme/{controller}/{namespace}/nsid", f"{nsid}\n")

    def udev(self, name: str, target: str) -> None:
        """A name by udev's rules: WALinuxAgent's or azure-vm-utils'."""
        self.file(self.dev / target)
        self.link(self.dev / "disk/azure" / name, "../" * (name.count("/") + 2) + target)


def _walinuxagent(machine: MachineFiles) -> None:
    machine.udev("root", "sda")
    machine.udev("scsi0/lun1", "sdb")
    machine.udev("scsi1/lun1", "sdc")


def _azure_vm_utils(machine: MachineFiles) -> None:
    machine.udev("os", "nvme0n1")
    machine.udev("data/by-lun/1", "nvme0n3")


def _both_rules(machine: MachineFiles) -> None:
    machine.udev("scsi1/lun1", "sdc")
    machine.udev("data/by-lun/1", "sdc")


def _a_dead_name(machine: MachineFiles) -> None:
    machine.link(machine.dev / "disk/azure/scsi1/lun1", "../../../sdz")
    machine.scsi(3, 1, "sdd", DATA)


def _scsi_without_udev(machine: MachineFiles) -> None:
    machine.scsi(0, 1, "sda", OS)  # LUN 1 of the controller of the OS disk is the resource disk
    machine.scsi(3, 1, "sdc", DATA)
    machine.scsi(3, 11, "sdl", DATA)


def _nvme_without_udev(machine: MachineFiles) -> None:
    machine.nvme("nvme1", "nvme1n3", 3, LOCAL)
    for nsid in (1, 3, 4):
        machine.nvme("nvme0", f"nvme0n{nsid}", nsid, REMOTE)


def _nvme_with_paths(machine: MachineFiles) -> None:
    machine.nvme("nvme2", "nvme0c2n3", 3, REMOTE)


@pytest.mark.parametrize(
    ("lay_out", "name"),
    [
        (_walinuxagent, "sdc"),
        (_azure_vm_utils, "nvme0n3"),
        (_both_rules, "sdc"),
        (_a_dead_name, "sdd"),
        (_scsi_without_udev, "sdc"),
        (_nvme_without_udev, "nvme0n3"),
        (_nvme_with_paths, "nvme0n3"),
    ],
)
def test_the_device_of_lun_1(tmp_path: Path, lay_out: Callable[[MachineFiles], None], name: str) -> None:
    machine = MachineFiles(tmp_path)
    assert machine.devices.path(1) is None
    lay_out(machine)
    assert machine.devices.path(1) == machine.dev / name
    assert 1 in machine.devices.visible(4)
    assert not machine.devices.shows(0)


def test_a_disk_that_goes_while_it_is_looked_for_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that came of it failed every build that waited for the VM."""
    machine = MachineFiles(tmp_path)
    machine.udev("scsi1/lun1", "sdc")
    machine.scsi(3, 1, "sdc", DATA)
    monkeypatch.setattr(Path, "readlink", _goes)
    assert machine.devices.path(1) == machine.dev / "sdc", "sysfs still has it"
    looked_into = Path.glob

    def glob(self: Path, pattern: str) -> Iterator[Path]:
        return _goes(self) if self.name == "block" else looked_into(self, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    assert not machine.devices.shows(1)


def _goes(path: Path) -> Iterator[Path]:
    raise FileNotFoundError(errno.ENOENT, "was removed meanwhile", str(path))


def test_only_controllers_with_data_disks_are_made_to_look_again(tmp_path: Path) -> None:
    machine = MachineFiles(tmp_path)
    machine.scsi(0, 0, "sda", OS)
    machine.scsi(3, 0, "sdc", DATA)
    machine.nvme("nvme0", "nvme0n1", 1, REMOTE)
    machine.nvme("nvme1", "nvme1n1", 1, LOCAL)
    anyio.run(machine.devices.rescan)
    told = {path.name: (path / "scan").read_text() for path in machine.sys.glob("class/scsi_host/host*")}
    assert told == {"host0": "", "host3": "- - -"}
    told = {path.name: (path / "rescan_controller").read_text() for path in machine.sys.glob("class/nvme/*")}
    assert told == {"nvme0": "1", "nvme1": ""}


async def test_a_look_that_the_kernel_does_not_end_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known one of Azure's kernels: whoever waited for a disk then waited for ever, and Ctrl-C did nothing."""
    machine = MachineFiles(tmp_path)
    machine.scsi(3, 0, "sdc", DATA)
    (scan,) = machine.sys.glob("class/scsi_host/host3/scan")
    scan.unlink()
    os.mkfifo(scan)  # to open it lasts until somebody reads
    devices, threads = machine.devices, threading.active_count()
    with anyio.move_on_after(0.1) as scope:
        await devices.rescan()
    assert scope.cancelled_caught
    monkeypatch.setattr("gilder.slots.devices._LONGEST_SCAN", 0.1)
    with anyio.fail_after(5):
        for _ in range(3):
            await devices.rescan()
        while threading.active_count() > threads + 1:  # each that hangs would keep a thread
            await anyio.sleep(0.01)
        reader = os.open(scan, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while threading.active_count() > threads:
                await anyio.sleep(0.01)
            assert os.read(reader, 99) == b"- - -"
            await devices.rescan()
            assert os.read(reader, 99) == b"- - -"
        finally:
            os.close(reader)


GIB = 2**30


class Late(LunDevices):
    """A machine whose device shows after some seconds, or only once it was made to look."""

    def __init__(self, device: BlockDevice, after: float, rescans: int = 0) -> None:
        super().__init__()
        self._device, self._after, self._wanted = device, after, rescans
        self.rescans = 0

    def device(self, lun: int) -> BlockDevice | None:
        there = anyio.current_time() >= self._after and self.rescans >= self._wanted
        return self._device if there else None

    async def rescan(self) -> None:
        self.rescans += 1


def shown(size: int = GIB, diskseq: int | None = 7) -> BlockDevice:
    return BlockDevice("/dev/sdc", "sdc", "8:32", size, diskseq)


@pytest.mark.parametrize(
    ("device", "after", "wanted", "rescans"),
    [
        (shown(), 0.0, 0, 0),
        (shown(), 4.0, 0, 0),
        (shown(), 30.0, 0, 2),
        (shown(), 0.0, 1, 1),
        (shown(), 0.0, 3, 3),
        (shown(GIB + 512), 0.0, 0, 0),
        (shown(diskseq=None), 0.0, 0, 0),
    ],
)
def test_a_device_is_waited_for_and_looked_for(device: BlockDevice, after: float, wanted: int, rescans: int) -> None:
    late = Late(device, after, wanted)
    found, _ = in_virtual_time(lambda: wait_device(late, 1, GIB, Scenery(frozenset(), 6), 180))
    assert found == device
    assert late.rescans == rescans


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (shown(2 * GIB), "has 2147483648 bytes and the disk 1073741824"),
        (shown(diskseq=6), "was there before the attach"),
    ],
)
def test_another_disk_is_never_taken_for_it(device: BlockDevice, why: str) -> None:
    with pytest.raises(DeviceMissing, match=why):
        in_virtual_time(lambda: wait_device(Late(device, 0), 1, GIB, Scenery(frozenset(), 6), 180))


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENXIO, DeviceMissing), (errno.ENOENT, DeviceMissing), (errno.EPERM, HostError), (errno.EMFILE, HostError)],
)
def test_a_device_that_may_not_be_asked_is_not_taken_for_gone(
    monkeypatch: pytest.MonkeyPatch, number: int, error: type[HostError]
) -> None:
    """In a container without the devices of its machine, recovery took a mounted disk for one that is gone."""

    def refuse(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(error) as caught:
        is_free(shown())
    assert isinstance(caught.value, DeviceMissing) == (error is DeviceMissing)


def test_a_device_that_never_shows_is_looked_for_at_growing_intervals() -> None:
    late = Late(shown(), 1000)
    with pytest.raises(DeviceMissing, match="no device appeared within 180 s"):
        in_virtual_time(lambda: wait_device(late, 1, GIB, Scenery(frozenset(), 6), 180))
    assert 3 <= late.rescans <= 6
