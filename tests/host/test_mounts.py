"""Root filesystems and extra mounts: there while inside, strictly gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from tests.host.disks import disk_image, do, running, shown

from gilder.host.devices import BlockDevice, is_free
from gilder.host.guest import Guest
from gilder.host.mounts import VOLUMES, extra_mounted, mounted
from gilder.host.sandbox import FileRefused, Sandbox
from gilder.model.errors import CommandFailed, HostError, Refused, ReleaseFailed
from gilder.model.spec import DEFAULT_CHROOT_MOUNTS, ChrootMount
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


async def test_a_root_is_mounted_for_the_block_and_only_in_the_sandbox(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger
) -> None:
    at = VOLUMES / disk.name
    async with mounted(box, f"{disk.path}p1", at, ledger=ledger) as root:
        assert "ID=busybox" in await box.output(["cat", f"{root}/etc/os-release"])
        assert not at.exists()
        assert not is_free(disk)
        assert "mount" in [entry.kind for entry in ledger.held]
    assert box.mount_points(at) == []
    assert is_free(disk)


async def test_options_are_passed_on(box: Sandbox, disk: BlockDevice, ledger: MemoryLedger) -> None:
    async with mounted(box, f"{disk.path}p1", VOLUMES / "x", ["ro", "noatime,nodev"], ledger=ledger) as root:
        line = next(
            row for row in (await box.output(["cat", "/proc/self/mountinfo"])).splitlines() if f" {root} " in row
        )
        assert {"ro", "noatime", "nodev"} <= set(line.split()[5].split(","))


async def test_what_cannot_be_mounted_says_why(box: Sandbox, ledger: MemoryLedger) -> None:
    with pytest.raises(CommandFailed, match=r"mount /dev/no-such /mnt.*ended with status 32"):
        async with mounted(box, "/dev/no-such", VOLUMES / "x", ledger=ledger):
            raise AssertionError("not reached")


async def test_a_fixed_mount_path_is_made_and_never_removed(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger, tmp_path: Path
) -> None:
    at = tmp_path / "fixed" / "root"
    async with mounted(box, f"{disk.path}p1", at, ledger=ledger):
        assert list(at.iterdir()) == []
    assert at.is_dir()


async def test_a_mount_path_in_use_is_refused(box: Sandbox, disk: BlockDevice, ledger: MemoryLedger) -> None:
    with pytest.raises(Refused, match="is mounted already"):
        async with mounted(box, f"{disk.path}p1", Path("/dev"), ledger=ledger):
            raise AssertionError("not reached")
    assert box.mount_points(Path("/dev")) != []


async def test_a_manual_mount_command_gets_the_mount_path(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger
) -> None:
    manual = f"mount -o noatime {disk.path}p1"
    async with mounted(box, disk.path, VOLUMES / "m", ledger=ledger, manual=manual) as root:
        assert "ID=busybox" in await box.output(["cat", f"{root}/etc/os-release"])
    assert is_free(disk)


async def test_a_manual_mount_command_is_heard_and_has_the_environment_of_the_user(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the other commands of a template on this machine."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setenv("MOUNT_HELPER_OPTION", "noatime")
    manual = f"echo $MOUNT_HELPER_OPTION; echo odd >&2; mount -o $MOUNT_HELPER_OPTION {disk.path}p1"

    def on_line(text: str, stream: str) -> None:
        heard.append((text, stream))

    async with mounted(box, disk.path, VOLUMES / "m", ledger=ledger, manual=manual, on_line=on_line):
        assert "noatime" in await box.output(["grep", "/m ", "/proc/mounts"])
    assert sorted(heard) == [("noatime", "stdout"), ("odd", "stderr")]
    assert is_free(disk)


async def test_xfs_clones_are_mounted_side_by_side(
    box: Sandbox, ledger: MemoryLedger, tmp_path: Path, tree: Path
) -> None:
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("xfsprogs is not installed")
    image = disk_image(tmp_path / "xfs.raw", tree, system="xfs", megabytes=320)
    with shown(image) as one, shown(image) as two:
        async with (
            mounted(box, f"{one.path}p1", VOLUMES / "one", ledger=ledger),
            mounted(box, f"{two.path}p1", VOLUMES / "two", ["noatime"], ledger=ledger),
        ):
            assert (await box.output(["cat", "/proc/mounts"])).count(" xfs ") == 2


async def test_btrfs_is_mounted_and_given_back(box: Sandbox, ledger: MemoryLedger, tmp_path: Path, tree: Path) -> None:
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("btrfs-progs is not installed")
    image = disk_image(tmp_path / "btrfs.raw", tree, system="btrfs", megabytes=192)
    with shown(image) as device:
        async with mounted(box, f"{device.path}p1", VOLUMES / "b", ledger=ledger) as root:
            assert "ID=busybox" in await box.output(["cat", f"{root}/etc/os-release"])
        assert is_free(device)


async def test_everything_mounted_beneath_goes_too_also_when_stacked(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger
) -> None:
    async with mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root:
        nest = f"mount -t tmpfs a {root}/tmp; mkdir '{root}/tmp/b c'; mount -t tmpfs b '{root}/tmp/b c'"
        await box.run(["sh", "-ec", f"{nest}; mount -t tmpfs over {root}/tmp; mount -t tmpfs v {root}/var"])
    assert box.mount_points(VOLUMES / "x") == []


async def test_daemons_left_inside_are_ended_before_the_unmount(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger
) -> None:
    async with mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root:
        await Guest(box, root).run(
            "cd /root; trap '' TERM; setsid sleep 85001 & setsid sleep 85002 <bin/sh & sleep 0.1"
        )
    assert running("sleep 8500") == []
    assert is_free(disk)


async def test_a_foreign_process_that_holds_a_file_is_named_and_not_ended(box: Sandbox, disk: BlockDevice) -> None:
    ledger = MemoryLedger()
    at = VOLUMES / disk.name
    foreign: list[subprocess.Popen[bytes]] = []

    async def build() -> None:
        async with mounted(box, f"{disk.path}p1", at, ledger=ledger) as root:
            with box.seen_from_here(root / "etc/passwd").open("rb") as file:
                foreign.append(subprocess.Popen(["sleep", "85003"], stdin=file))

    with pytest.raises(ReleaseFailed, match=r"is still in use by sleep \(process \d+\)") as caught:
        await build()
    with foreign[0] as process:
        assert str(process.pid) in str(caught.value)
        assert process.poll() is None
        assert [residue.what.split()[0] for residue in ledger.residues] == ["mount"]
        assert not is_free(disk)
        process.kill()
    await box.run(["umount", str(at)])


async def test_writes_that_failed_are_an_error_although_umount_says_nothing(
    box: Sandbox, tree: Path, ledger: MemoryLedger, tmp_path: Path
) -> None:
    # The disk's file has no room for what is written, which the kernel notices long after the program has ended.
    at = VOLUMES / "failing"
    do("mount", "-t", "tmpfs", "-o", "size=20m", "none", tmp_path)
    try:
        loop = do("losetup", "--find", "--show", disk_image(tmp_path / "disk", tree)).strip()
        do("partx", "--add", loop)
        try:
            with pytest.raises(
                HostError, match=f"not everything was written to {loop}p1: (Input/output error|No space left)"
            ):
                async with mounted(box, f"{loop}p1", at, ledger=ledger) as root:
                    await box.run(["dd", "if=/dev/zero", f"of={root}/file", "bs=1M", "count=24"])
            assert box.mount_points(at) == []
        finally:
            do("partx", "--delete", loop)
            do("losetup", "--detach", loop)
    finally:
        do("umount", tmp_path)


async def test_an_unmount_that_fails_for_another_reason_says_which(
    box: Sandbox, disk: BlockDevice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The users of this machine's /dev, which the guest has too, were once named as holders.
    (tmp_path / "umount").write_text("#!/bin/sh\necho no such luck >&2; exit 32\n")
    (tmp_path / "umount").chmod(0o755)
    ledger, dev = MemoryLedger(), ChrootMount(type="bind", source="/dev", target="/dev")
    async with mounted(box, f"{disk.path}p1", VOLUMES / disk.name, ledger=ledger) as root:
        with pytest.raises(ReleaseFailed, match=r"ended with status 32\nno such luck"), monkeypatch.context() as patch:
            async with extra_mounted(box, root, [dev], ledger):
                patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


async def test_who_holds_this_machines_dev_is_no_holder_of_the_guests(box: Sandbox, disk: BlockDevice) -> None:
    ledger, dev = MemoryLedger(), ChrootMount(type="bind", source="/dev", target="/dev")
    async with mounted(box, f"{disk.path}p1", VOLUMES / disk.name, ledger=ledger) as root:
        with pytest.raises(ReleaseFailed) as caught:
            async with extra_mounted(box, root, [dev], ledger):
                held = os.open(box.seen_from_here(root / "dev"), os.O_RDONLY)
        os.close(held)
        await box.run(["umount", f"{root}/dev"])
    assert "is still in use" in str(caught.value)
    assert " by " not in str(caught.value), "nobody who is known to hold it"


async def test_a_mount_that_somebody_else_took_away_is_an_error(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger
) -> None:
    at = VOLUMES / disk.name
    with pytest.raises(HostError, match=r"is not mounted at .* any more"):
        async with mounted(box, f"{disk.path}p1", at, ledger=ledger):
            await box.run(["umount", "--lazy", str(at)])
    assert is_free(disk)


async def test_the_error_of_the_block_is_not_hidden_by_a_busy_mount(box: Sandbox, disk: BlockDevice) -> None:
    ledger = MemoryLedger()
    at = VOLUMES / disk.name

    async def build() -> None:
        async with mounted(box, f"{disk.path}p1", at, ledger=ledger) as root:
            with box.seen_from_here(root / "etc/passwd").open("rb") as held:
                os.dup2(held.fileno(), spare)
            await box.run(["false"])

    spare = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(CommandFailed) as caught:
        await build()
    os.close(spare)
    assert "could not be given back" in "".join(caught.value.__notes__)
    await box.run(["umount", str(at)])


async def test_cancellation_leaves_nothing(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gilder.host.run.TERM_GRACE", 0.3)
    with anyio.move_on_after(0.3) as scope:
        async with (
            mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root,
            extra_mounted(box, root, DEFAULT_CHROOT_MOUNTS, ledger),
        ):
            await Guest(box, root).run("trap '' TERM; while :; do sleep 85004; done")
    assert scope.cancelled_caught
    assert running("sleep 85004") == []
    assert box.mount_points(VOLUMES / "x") == []


async def test_cancellation_at_any_moment_leaves_nothing(box: Sandbox, disk: BlockDevice, ledger: MemoryLedger) -> None:
    for milliseconds in range(0, 60, 6):
        with anyio.move_on_after(milliseconds / 1000):
            async with (
                mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root,
                extra_mounted(box, root, DEFAULT_CHROOT_MOUNTS, ledger),
            ):
                await anyio.sleep(1)
        assert box.mount_points(VOLUMES / "x") == []
        assert ledger.held[1:] == ()
        assert is_free(disk)


async def test_the_default_mounts_are_there_and_show_the_sandbox(guest: Guest, ledger: MemoryLedger) -> None:
    said: list[str] = []
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS, ledger, say=said.append):
        assert said[:4] == ["Mounting: /proc", "Mounting: /sys", "Mounting: /dev", "Mounting: /dev/pts"]
        assert "keeper.py" in (await guest.run("cat /proc/1/cmdline")).tail[0]
        assert (await guest.run("ls /sys/block /dev/null /dev/pts/ptmx", check=False)).status == 0
        assert len(guest.box.mount_points(guest.root)) == 6
    assert guest.box.mount_points(guest.root) == [guest.root]
    assert not Path("/dev/pts/gilder").exists()


async def test_programs_can_tell_that_they_are_in_a_chroot(guest: Guest, ledger: MemoryLedger) -> None:
    """`ischroot` and systemctl compare /proc/1/root with /: process 1 keeps the host's root."""
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS, ledger):
        one, mine = (await guest.run("stat -Lc %d:%i /proc/1/root /")).tail
        assert one != mine


async def test_missing_targets_are_made_and_files_can_be_bound(
    guest: Guest, ledger: MemoryLedger, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret")
    mounts = [
        ChrootMount(type="tmpfs", source="scratch", target="/srv/deep/scratch"),
        ChrootMount(type="bind", source=str(tmp_path / "token"), target="/run/new/token"),
    ]
    async with extra_mounted(guest.box, guest.root, mounts, ledger):
        assert (await guest.run("cat /run/new/token")).tail == ("secret",)
        await guest.run("touch /srv/deep/scratch/file")
    assert await guest.read("/run/new/token") == b""
    assert not await guest.exists("/srv/deep/scratch/file")


class Env:
    """A `command_wrapper` that changes nothing."""

    text = "env {{.Command}}"

    def render(self, data: Mapping[str, str]) -> str:
        return f"env {data['Command']}"


async def test_the_default_mounts_are_as_mount_makes_them(guest: Guest, ledger: MemoryLedger) -> None:
    """They are made without that program, whose start takes longer than the mounts."""

    def seen() -> list[list[str]]:
        lines = (Path(f"/proc/{guest.box.pid}/mountinfo").read_text()).splitlines()
        words = [line.split(" ") for line in lines if str(guest.root) in line]
        return [[*each[3:6], *each[each.index("-") + 1 :]] for each in words]

    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS, ledger):
        without = seen()
    guest.box.wrapper = Env()
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS, ledger):
        assert seen() == without
    assert len(without) > 4


async def test_what_the_kernel_does_not_mount_is_told_in_the_words_of_mount(guest: Guest, ledger: MemoryLedger) -> None:
    mount = ChrootMount(type="bind", source="/not/there", target="/srv")
    with pytest.raises(CommandFailed, match=r"mount: .*/not/there"):
        async with extra_mounted(guest.box, guest.root, [mount], ledger):
            raise AssertionError("not reached")


async def test_no_mounts_are_no_mounts(guest: Guest, ledger: MemoryLedger) -> None:
    async with extra_mounted(guest.box, guest.root, (), ledger):
        assert guest.box.mount_points(guest.root) == [guest.root]


@pytest.mark.parametrize("link", ["/", "..", "../../../..", "/proc/1/root", "."])
async def test_a_target_that_leads_to_the_root_is_refused(guest: Guest, ledger: MemoryLedger, link: str) -> None:
    where = guest.box.seen_from_here(guest.root)
    (where / "sys").rmdir()
    (where / "sys").symlink_to(link)
    before = guest.box.mount_points(Path("/"))
    with pytest.raises((Refused, FileRefused), match=r"leads to its root|leads nowhere"):
        async with extra_mounted(
            guest.box, guest.root, [ChrootMount(type="sysfs", source="sysfs", target="/sys")], ledger
        ):
            raise AssertionError("not reached")
    assert guest.box.mount_points(Path("/")) == before
