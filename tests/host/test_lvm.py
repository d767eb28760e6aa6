"""Root filesystems on LVM, with stand-ins for LVM's programs: few kernels of test machines have device mapper.

What the stand-ins print is what lvm2 2.03.16 prints for an image laid out as Azure's RHEL images are.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.host.disks import do

from gilder.host.devices import BlockDevice, is_free, reread_partitions
from gilder.host.filesystems import filesystem
from gilder.host.lvm import activated, deactivated, volume_paths
from gilder.model.errors import CommandFailed, Refused, ReleaseFailed
from gilder.runtime.locks import KeyedLocks, Turns
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root

_PVS = "  {pv},rootvg\n"
_LVS = (
    "  homelv,rootvg,/dev/rootvg/homelv,-wi-a-----\n"
    "  swaplv,rootvg,/dev/rootvg/swaplv,-wi-a-----\n"
    "  rootlv,rootvg,/dev/rootvg/rootlv,-wi-a-----\n"
    "  rootsnap,rootvg,/dev/rootvg/rootsnap,swi-a-s---\n"
    "  pool,rootvg,,twi-aotz--\n"
)


class Lvm:
    """Programs on $PATH that answer from files and note how they were called."""

    def __init__(self, folder: Path, device: BlockDevice) -> None:
        self.folder = folder
        self.device = device
        self.calls = folder / "calls"
        self.mapper = folder / "sys"
        self.mapper.mkdir()
        for name in ("pvs", "lvs", "vgchange"):
            program = folder / name
            program.write_text(
                f'#!/bin/sh\necho "{name} $*" >>{self.calls}\ncat {folder}/{name}.out\n. {folder}/{name}.sh\n'
            )
            program.chmod(0o755)
            (folder / f"{name}.out").touch()
            (folder / f"{name}.sh").touch()
        self.say("pvs", _PVS.format(pv=f"{device.path}p2"))
        self.say("lvs", _LVS.replace("/dev/rootvg", f"{folder}/rootvg"))
        for volume in ("homelv", "swaplv", "rootlv", "rootsnap"):
            (folder / "rootvg").mkdir(exist_ok=True)
            (folder / "rootvg" / volume).touch()

    def say(self, program: str, text: str) -> None:
        (self.folder / f"{program}.out").write_text(text)

    def fail(self, program: str, when: str) -> None:
        (self.folder / f"{program}.sh").write_text(f'case "$*" in *{when}*) echo no luck >&2; exit 5;; esac\n')

    def active_on_host(self, name: str) -> None:
        (self.mapper / "dm-0/dm").mkdir(parents=True)
        (self.mapper / "dm-0/dm/name").write_text(f"{name}\n")
        (self.mapper / "dm-0/dm/uuid").write_text("LVM-abc\n")

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
async def lvm(disk: BlockDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lvm:
    """A disk whose partition 2 carries the signature of a physical volume."""
    table = b"label: gpt\nstart=2048, size=20480, type=linux\nsize=20480, type=lvm\n"
    subprocess.run(["sfdisk", "--quiet", "--no-reread", disk.path], input=table, check=True, capture_output=True)
    await reread_partitions(disk)
    _write_physical_volume(f"{disk.path}p2")
    stand_in = Lvm(tmp_path, disk)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    return stand_in


def _write_physical_volume(path: str) -> None:
    """An LVM2 label in sector 1, as blkid looks for it (the CRC covers what follows it in the sector)."""
    body = (
        (32).to_bytes(4, "little")
        + b"LVM2 001"
        + b"AbCdEfGhIjKlMnOpQrStUvWxYz012345"
        + (10 * 2**20).to_bytes(8, "little")
    )
    body += bytes(512 - 20 - len(body))
    crc = 0xF597A6CF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    sector = b"LABELONE" + (1).to_bytes(8, "little") + crc.to_bytes(4, "little") + body
    with Path(path).open("r+b") as partition:
        partition.seek(512)
        partition.write(sector)


async def test_a_disk_without_lvm_needs_no_program_of_it(disk: BlockDevice, ledger: MemoryLedger) -> None:
    async with activated(disk, ledger, Turns(KeyedLocks())) as root:
        assert root is None
    with pytest.raises(Refused, match="has no LVM physical volume"):
        async with activated(disk, ledger, Turns(KeyedLocks()), root_device="rootlv"):
            raise AssertionError("not reached")


async def test_the_root_volume_is_found_by_its_name(lvm: Lvm, ledger: MemoryLedger) -> None:
    assert (await filesystem(f"{lvm.device.path}p2")).kind == "LVM2_member"
    assert await volume_paths(lvm.device) == [f"{lvm.device.path}p2"]
    async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper) as root:
        assert root == f"{lvm.folder}/rootvg/rootlv"
        assert [entry.kind for entry in ledger.held] == ["volume group"]
    own = f"--devices {lvm.device.path}p2"
    assert lvm.called == [
        f"pvs {own} --noheadings --separator , -o pv_name,vg_name",
        f"vgchange {own} -ay rootvg",
        f"lvs {own} --noheadings --separator , -o lv_name,vg_name,lv_path,lv_attr",
        f"vgchange {own} -an rootvg",
    ]


@pytest.mark.parametrize("wanted", ["homelv", "rootvg/homelv", "PATH"])
async def test_the_root_volume_may_be_named(lvm: Lvm, ledger: MemoryLedger, wanted: str) -> None:
    path = f"{lvm.folder}/rootvg/homelv"
    wanted = path if wanted == "PATH" else wanted
    async with activated(lvm.device, ledger, Turns(KeyedLocks()), root_device=wanted, mapper=lvm.mapper) as root:
        assert root == path


async def test_a_name_that_is_not_there_lists_what_is_and_gives_the_group_back(lvm: Lvm, ledger: MemoryLedger) -> None:
    with pytest.raises(Refused, match="there is no logical volume nolv") as caught:
        async with activated(lvm.device, ledger, Turns(KeyedLocks()), root_device="nolv", mapper=lvm.mapper):
            raise AssertionError("not reached")
    assert "homelv" in str(caught.value.hint)
    assert "rootsnap" not in str(caught.value.hint)
    assert "-an rootvg" in lvm.called[-1]


async def test_swap_is_never_the_root(lvm: Lvm, ledger: MemoryLedger) -> None:
    swap = lvm.folder / "rootvg/swaplv"
    with swap.open("wb") as file:
        file.truncate(2**20)
    do("mkswap", swap)
    lvm.say("lvs", f"  swaplv,rootvg,{swap},-wi-a-----\n  other,rootvg,{lvm.folder}/rootvg/homelv,-wi-a-----\n")
    async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper) as root:
        assert root == f"{lvm.folder}/rootvg/homelv"


async def test_a_group_of_this_machine_is_refused_before_anything_is_activated(lvm: Lvm, ledger: MemoryLedger) -> None:
    lvm.active_on_host("rootvg-homelv")
    with pytest.raises(Refused, match=r"the volume group rootvg .* active on this machine"):
        async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper):
            raise AssertionError("not reached")
    assert not any("vgchange" in call for call in lvm.called)


async def test_a_dash_in_a_name_is_no_border(lvm: Lvm, ledger: MemoryLedger) -> None:
    lvm.active_on_host("rootvg--two-rootlv")
    async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper) as root:
        assert root is not None


async def test_builds_with_the_same_group_take_turns(lvm: Lvm) -> None:
    waited: list[str] = []
    turns = Turns(KeyedLocks(), waited.append)
    ledger = MemoryLedger()
    inside = 0

    async def build() -> None:
        nonlocal inside
        async with activated(lvm.device, ledger, turns, mapper=lvm.mapper):
            inside += 1
            assert inside == 1
            await anyio.sleep(0.05)
            inside -= 1

    async with anyio.create_task_group() as group:
        group.start_soon(build)
        group.start_soon(build)
    assert waited == ["volume group rootvg", ""]
    assert ledger.held == ()


async def test_failures_are_told_and_what_was_activated_goes(lvm: Lvm, ledger: MemoryLedger) -> None:
    lvm.fail("vgchange", "-ay")
    with pytest.raises(CommandFailed, match=r"(?s)vgchange.*no luck"):
        async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper):
            raise AssertionError("not reached")
    assert "-an rootvg" in lvm.called[-1]


async def test_a_group_that_stays_active_is_left_behind_and_told(lvm: Lvm) -> None:
    lvm.fail("vgchange", "-an")
    ledger = MemoryLedger()
    with pytest.raises(ReleaseFailed, match=r"volume group rootvg on .* could not be given back") as caught:
        async with activated(lvm.device, ledger, Turns(KeyedLocks()), mapper=lvm.mapper):
            pass
    assert caught.value.remedy == f"vgchange --devices {lvm.device.path}p2 -an rootvg"


async def test_what_a_killed_build_left_active_is_deactivated(disk: BlockDevice, lvm: Lvm) -> None:
    """Nobody else may be asked to: volume groups outlive the sandbox, and recovery could never detach the disk."""
    await deactivated(disk)
    assert lvm.called == [], "nothing holds the disk"
    hold = f"import os, time; os.open({disk.path!r}, os.O_RDONLY | os.O_EXCL); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as volume_group:
        assert volume_group.stdout is not None
        volume_group.stdout.readline()
        lvm.fail("vgchange", "-an")
        await deactivated(disk)
        assert not is_free(disk), "it is somebody else's, and stays"
        (lvm.folder / "vgchange.sh").write_text(f"kill {volume_group.pid}\n")
        await deactivated(disk)
        volume_group.wait()
    assert is_free(disk)
    assert lvm.called == [f"vgchange --devices {disk.path}p2 -an"] * 2
