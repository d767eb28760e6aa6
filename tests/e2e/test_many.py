"""Many images at once on one VM: each carries its own mark, strangers are left alone, nothing stays."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import anyio
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ManagedIdentityCredential
from tests.e2e.conftest import Program, builder, shell

from gilder.azure.arm import Arm, connected
from gilder.azure.cloud import discovered_cloud
from gilder.azure.disks import DiskPlan, Empty, create_disk, delete_disk, disk_facts
from gilder.azure.machines import Attachment, attach_and_detach, vm_view
from gilder.azure.metadata import this_machine
from gilder.azure.operations import Usual, looks
from gilder.model.errors import CloudError
from gilder.model.ids import ArmId
from gilder.model.spec import Caching, DiskSku

pytestmark = [pytest.mark.root, pytest.mark.slow]

MARK = shell("echo $PACKER_BUILD_NAME >> /etc/mark")


def marks(gilder: Program) -> dict[str, str]:
    """The mark in each image on the cloud, read without mounting."""
    found = {}
    for image in gilder.images():
        raw = gilder.folder / "image.raw"
        gilder.localarm("export", image, str(raw))
        command = ["debugfs", "-R", "cat /etc/mark", f"{raw}?offset={2048 * 512}"]
        found[image] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        raw.unlink()
    return found


@contextmanager
def world(gilder: Program, *options: str) -> Iterator[dict[str, str]]:
    """The embedded cloud with options of its own, for as long as the block lasts; yields its addresses."""
    command = [sys.executable, "-m", "localarm", "lease", "--state", str(gilder.state), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lease:
        assert lease.stdin is not None
        assert lease.stdout is not None
        try:
            yield json.loads(lease.stdout.readline())
        finally:
            lease.stdin.close()
            lease.wait(30)


@pytest.mark.timeout(240)
def test_64_images_on_64_luns_each_carry_their_own_mark(gilder: Program) -> None:
    names = [f"image{number:02}" for number in range(64)]
    with world(gilder, "--vm-size", "Standard_D32s_v6"):
        ended = gilder.build([builder(name) for name in names], [MARK])
    assert ended.status == 0, ended.out
    assert marks(gilder) == {f"{name}-image": name for name in names}


@pytest.mark.timeout(240)
def test_more_images_than_luns_take_turns(gilder: Program) -> None:
    names = [f"image{number:02}" for number in range(24)]
    with world(gilder, "--vm-size", "Standard_D2s_v5"):  # 4 data disks
        ended = gilder.build([builder(name) for name in names], [MARK])
    assert ended.status == 0, ended.out
    assert marks(gilder) == {f"{name}-image": name for name in names}


class Stranger(threading.Thread):
    """Somebody else on the same VM, who attaches and detaches a disk of their own without asking anyone."""

    def __init__(self, addresses: dict[str, str]) -> None:
        super().__init__()
        self._addresses = addresses
        self.stop = threading.Event()
        self.moves = 0
        self.complaint = ""

    def run(self) -> None:
        anyio.run(self._move_about)

    async def _move_about(self) -> None:
        ca_file = Path(self._addresses["ca_file"])
        cloud = await discovered_cloud(
            self._addresses["metadata_host"], instance_metadata=self._addresses["metadata_url"], ca_file=ca_file
        )
        machine = await this_machine(cloud)
        transport = AioHttpTransport(connection_verify=str(ca_file))
        async with connected(cloud, ManagedIdentityCredential(), transport) as arm:
            disk = machine.id.sibling("disks", "strangers-disk")
            await create_disk(
                arm,
                DiskPlan(
                    id=disk, location=machine.location, zone="", source=Empty(), sku=DiskSku.STANDARD_LRS, size_gb=1
                ),
            )
            random = Random(7)
            while not self.stop.is_set():
                await self._once(arm, machine.id, disk, random)
            await delete_disk(arm, disk)

    async def _once(self, arm: Arm, vm: ArmId, disk: ArmId, random: Random) -> None:
        taken = (await vm_view(arm, vm)).luns
        free = [lun for lun in range(32) if lun not in taken]  # as many as the size of this VM has
        if not free or not await self._write(arm, vm, [Attachment(disk, random.choice(free), Caching.NONE)], []):
            return
        await anyio.sleep(random.random() / 5)
        facts = await disk_facts(arm, disk)
        if facts is None or not facts.attached_to:
            self.complaint = "somebody detached or deleted the stranger's disk"
        while not await self._write(arm, vm, [], [disk]):
            pass
        self.moves += 1

    async def _write(self, arm: Arm, vm: ArmId, attach: list[Attachment], detach: list[ArmId]) -> bool:
        try:
            operation = await attach_and_detach(arm, vm, attach, detach)
            await arm.finished(vm.subscription, operation, looks(Usual.CHANGE_DISKS))
        except CloudError:
            await anyio.sleep(0.05)
            return False
        return True


@pytest.mark.timeout(240)
def test_two_gilders_and_a_stranger_share_a_vm(gilder: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with world(gilder, "--vm-size", "Standard_D16s_v5") as addresses:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", addresses["metadata_url"])  # for the stranger's login
        commands = []
        for half in ("one", "two"):
            names = [f"{half}{number}" for number in range(8)]
            template = gilder.folder / f"{half}.json"
            template.write_text(json.dumps({"builders": [builder(name) for name in names], "provisioners": [MARK]}))
            commands.append(gilder.build_command(str(template)))
        stranger = Stranger(addresses)
        stranger.start()
        try:
            runs = [
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for command in commands
            ]
            told = [run.communicate(timeout=180)[0] for run in runs]
        finally:
            stranger.stop.set()
            stranger.join(60)
        assert [run.returncode for run in runs] == [0, 0], "\n".join(told)[-4000:]
        assert stranger.moves > 0
        assert stranger.complaint == ""
    assert marks(gilder) == {f"{half}{n}-image": f"{half}{n}" for half in ("one", "two") for n in range(8)}
