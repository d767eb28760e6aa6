"""Files and programs in a guest: beneath its root, and as they were afterwards."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from tests.host.disks import files_of, running

from gilder.host.devices import BlockDevice
from gilder.host.guest import Guest, copied_in, occupied, secluded
from gilder.host.mounts import VOLUMES, extra_mounted, mounted
from gilder.host.sandbox import FileRefused, Sandbox
from gilder.model.errors import CommandFailed, HostError
from gilder.model.spec import DEFAULT_CHROOT_MOUNTS
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


async def test_programs_run_in_the_chroot_as_root_with_a_plain_environment(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "very-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert (await guest.run("cat /etc/os-release")).tail == ("ID=busybox",)
    assert (await guest.run(["id", "-u"])).tail == ("0",)
    seen = (await guest.run("env")).tail
    assert "HTTPS_PROXY=http://proxy:3128" in seen
    assert "HOME=/root" in seen
    assert not any("very-secret" in line for line in seen)


async def test_no_character_is_expanded_or_lost_on_the_way(guest: Guest) -> None:
    """Quoting for another shell on the way would expand $HOME on the host, or turn a newline into an n."""
    text = "a='one\ntwo\t$HOME `id` \\n \"quoted\" $(id)'\nprintf '%s' \"$a\""
    assert (await guest.run(text)).tail == ("one", 'two\t$HOME `id` \\n "quoted" $(id)')


async def test_failures_and_missing_programs_are_told(guest: Guest) -> None:
    with pytest.raises(CommandFailed, match=r"in the chroot.*ended with status 4\noh"):
        await guest.run("echo oh >&2; exit 4")
    with pytest.raises(CommandFailed, match=r"(?s)status 127.*no-such"):
        await guest.run(["no-such"])


async def test_what_a_script_leaves_running_lives_until_the_guest_is_left(guest: Guest, ledger: MemoryLedger) -> None:
    said: list[str] = []
    async with occupied(guest, ledger, say=said.append):
        began = time.monotonic()
        await guest.run("sleep 84001 & echo started")
        assert time.monotonic() - began < 3
        assert len(running("sleep 84001")) == 1
    assert running("sleep 84001") == []
    assert said == ["Ended what the provisioners left running: sleep"]


async def test_a_guest_left_by_cancellation_has_no_process(guest: Guest, ledger: MemoryLedger) -> None:
    with anyio.move_on_after(0.3):
        async with occupied(guest, ledger):
            await guest.run("setsid sleep 84002 & setsid sleep 84002 & sleep 84002")
    assert running("sleep 84002") == []


async def test_files_are_written_read_and_removed(guest: Guest) -> None:
    await guest.write("/root/new", b"\x00data\xff", 0o4750)
    assert await guest.read("/root/new") == b"\x00data\xff"
    assert (await guest.run("stat -c '%a %u:%g' /root/new")).tail == ("4750 0:0",)
    assert await guest.exists("/root/new")
    await guest.remove("/root/new")
    assert not await guest.exists("/root/new")
    await guest.remove("/root/new")
    await guest.remove("/no/such/folder/file")


async def test_writing_replaces_a_link_and_not_its_target(guest: Guest) -> None:
    await guest.run("ln -s passwd /etc/alias")
    await guest.write("/etc/alias", b"mine")
    assert await guest.read("/etc/passwd") == b"root:x:0:0:root:/root:/bin/sh\n"
    assert (await guest.run("ls -l /etc/alias")).tail[0].startswith("-rw-r--r--")


async def test_a_big_file_comes_through_whole(guest: Guest) -> None:
    data = os.urandom(5 * 2**20)
    await guest.write("/root/big", data)
    assert await guest.read("/root/big") == data


async def test_reading_what_is_no_file_is_refused_and_does_not_hang(guest: Guest) -> None:
    where = guest.box.seen_from_here(guest.root)
    os.mkfifo(where / "etc/fifo")
    with anyio.fail_after(5):
        for path in ("/etc/fifo", "/etc", "/dev", "/etc/passwd/x", "/nothing", "/"):
            with pytest.raises(FileRefused):
                await guest.read(path)


LINKS = ("/", "..", "../../../../../..", "/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/proc/self/fd/0", ".")


@pytest.mark.parametrize("link", LINKS)
async def test_a_link_for_a_directory_never_leads_to_the_host(guest: Guest, ledger: MemoryLedger, link: str) -> None:
    """With the guest's own /proc mounted, so that the links of /proc lead somewhere."""
    name = "gilder-escape-test"
    where = guest.box.seen_from_here(guest.root)
    (where / "etc").rename(where / "etc.real")
    (where / "etc").symlink_to(link)
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS[:1], ledger):
        for path in (f"/etc/{name}", f"/etc/etc/../../../{name}"):
            with suppress(FileRefused):
                await guest.write(path, b"x")
            assert not Path("/", name).exists()
            assert not Path("/etc", name).exists()
        with suppress(FileRefused):
            assert await guest.read("/etc/hostname") != Path("/etc/hostname").read_bytes()
        with suppress(FileRefused):
            await guest.remove("/etc/hostname")
        assert Path("/etc/hostname").exists()


async def test_resolv_conf_that_leads_to_the_hosts_passwd_is_harmless(guest: Guest, ledger: MemoryLedger) -> None:
    before = Path("/etc/passwd").read_bytes()
    where = guest.box.seen_from_here(guest.root)
    (where / "etc/resolv.conf").unlink()
    (where / "etc/resolv.conf").symlink_to("/proc/1/root/etc/passwd")
    async with (
        extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS[:1], ledger),
        copied_in(guest, ["/etc/resolv.conf"], ledger),
    ):
        assert await guest.read("/etc/resolv.conf") == Path("/etc/resolv.conf").read_bytes()
    assert (where / "etc/resolv.conf").readlink() == Path("/proc/1/root/etc/passwd")
    assert Path("/etc/passwd").read_bytes() == before


@pytest.fixture
def host_file() -> Path:
    """A file of this machine whose directory the guest has too."""
    file = Path("/tmp") / f"gilder-host-file-{os.getpid()}"
    file.write_text("from the host\n")
    file.chmod(0o640)
    return file


@pytest.mark.parametrize(
    "prepare",
    [
        "true",
        "rm /etc/resolv.conf",
        "cd /etc; rm resolv.conf; echo own >resolv.conf; chmod 604 resolv.conf; touch -d 2001-02-03 resolv.conf",
        "mkdir -p /run/resolve; echo stub >/run/resolve/stub-resolv.conf",
    ],
    ids=["dangling link", "absent", "file", "link"],
)
async def test_the_image_is_afterwards_exactly_as_it_was(
    box: Sandbox, disk: BlockDevice, ledger: MemoryLedger, tmp_path: Path, prepare: str
) -> None:
    async with mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root:
        await Guest(box, root).run(f"{prepare}; touch -d 2002-03-04 /etc")
    before = files_of(disk, tmp_path / "before")
    async with mounted(box, f"{disk.path}p1", VOLUMES / "x", ledger=ledger) as root:
        guest = Guest(box, root)
        async with (
            extra_mounted(box, root, DEFAULT_CHROOT_MOUNTS, ledger),
            copied_in(guest, ["/etc/resolv.conf"], ledger),
            secluded(guest, ledger),
        ):
            assert await guest.read("/etc/resolv.conf") == Path("/etc/resolv.conf").read_bytes()
            await guest.run("cat /etc/resolv.conf; ps")
    assert files_of(disk, tmp_path / "after") == before


async def test_what_a_provisioner_does_beside_a_lent_file_stays(guest: Guest, ledger: MemoryLedger) -> None:
    said: list[str] = []
    async with copied_in(guest, ["/etc/resolv.conf"], ledger, say=said.append):
        await guest.run("chmod 600 /etc/resolv.conf; echo new >/etc/other; touch -d '2003-04-05 00:00:00' /etc")
    assert (await guest.run("readlink /etc/resolv.conf; cat /etc/other; stat -c %y /etc")).tail == (
        "../run/resolve/stub-resolv.conf",
        "new",
        "2003-04-05 00:00:00.000000000 +0000",
    )
    assert said == ["/etc/resolv.conf"]


DEEDS = {
    "a link": ("ln -sf other /etc/resolv.conf", "changed"),
    "another file": ("echo own >/etc/new; mv /etc/new /etc/resolv.conf", "changed"),
    "rewritten": ("echo own >/etc/resolv.conf", "changed"),
    "rewritten as it was": ("cat /etc/resolv.conf >/x; cat /x >/etc/resolv.conf", "changed"),
    "appended to": ("echo own >>/etc/resolv.conf", "changed"),
    "a directory": ("rm /etc/resolv.conf; mkdir /etc/resolv.conf", "changed"),
    "removed": ("rm /etc/resolv.conf", "removed"),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("had", ["a link", "nothing"])
async def test_what_a_provisioner_does_to_a_lent_file_stays_and_is_told(
    guest: Guest, ledger: MemoryLedger, deed: str, had: str
) -> None:
    """Setting the resolver of the image is a usual step; what a package brings must not be undone either."""
    commands, told = DEEDS[deed]
    shown = "exec 2>&1; cd /etc; ls -a; ls -ln resolv.conf; [ -d resolv.conf ] || cat resolv.conf; :"
    await guest.run("echo another >/etc/other" + ("; rm /etc/resolv.conf" if had == "nothing" else ""))
    said: list[str] = []
    async with copied_in(guest, ["/etc/resolv.conf"], ledger, say=said.append):
        await guest.run(commands)
        left = [line for line in (await guest.run(shown)).tail if "gilder" not in line]
    assert list((await guest.run(shown)).tail) == left
    silent = had == "nothing" and deed == "removed"  # the image is as it was
    assert said[1:] == ([] if silent else [f"/etc/resolv.conf was {told} during provisioning, and stays so"])


async def test_a_file_that_cannot_be_lent_is_named_and_others_go_back(guest: Guest, ledger: MemoryLedger) -> None:
    with pytest.raises(HostError, match=r"copy_files: /opt/nowhere/x cannot be copied into the image: .*No such file"):
        async with copied_in(guest, ["/etc/resolv.conf", "/opt/nowhere/x"], ledger):
            raise AssertionError("not reached")
    assert (await guest.run("readlink /etc/resolv.conf")).tail == ("../run/resolve/stub-resolv.conf",)


async def test_modes_of_copied_files_are_the_hosts(guest: Guest, ledger: MemoryLedger, host_file: Path) -> None:
    try:
        async with copied_in(guest, [str(host_file)], ledger):
            assert (await guest.run(f"stat -c %a {host_file}; cat {host_file}")).tail == ("640", "from the host")
    finally:
        host_file.unlink()
    assert not await guest.exists(str(host_file))


async def test_services_are_denied_for_the_block(guest: Guest, ledger: MemoryLedger) -> None:
    await guest.run("echo own >/usr/sbin/policy-rc.d")
    async with secluded(guest, ledger):
        assert (await guest.run("/usr/sbin/policy-rc.d ssh start", check=False)).status == 101
    assert await guest.read("/usr/sbin/policy-rc.d") == b"own\n"


GRUB = "/etc/default/grub.d"
PROBER = "/usr/bin/os-prober"


async def test_no_package_looks_for_systems_on_the_disks_of_this_machine(guest: Guest, ledger: MemoryLedger) -> None:
    """With the order in which Debian's grub-mkconfig reads its files, and a setting of the image that wants os-prober."""
    mkconfig = (
        f". /etc/default/grub; for each in {GRUB}/*.cfg; do . $each; done; echo $GRUB_DISABLE_OS_PROBER; {PROBER}"
    )
    await guest.run(
        f"mkdir -p {GRUB} /usr/bin; echo GRUB_DISABLE_OS_PROBER=false | tee /etc/default/grub >{GRUB}/50.cfg"
    )
    await guest.run(
        f"printf '#!/bin/sh\necho every disk\n' >{PROBER}; chmod 751 {PROBER}; touch -d 2001-02-03 {PROBER}"
    )
    state = f"cd {GRUB}; ls -a; ls -ln --full-time {PROBER} {GRUB}/; {PROBER}"
    before = await guest.run(state)
    async with secluded(guest, ledger):
        assert (await guest.run(mkconfig)).tail == ("true",)
        assert (await guest.run("echo $GRUB_DISABLE_OS_PROBER")).tail == ("true",)
    assert await guest.run(state) == before
    assert (await guest.run(mkconfig)).tail == ("false", "every disk")


async def test_a_guest_without_os_prober_and_grub_gets_neither(guest: Guest, ledger: MemoryLedger) -> None:
    async with secluded(guest, ledger):
        assert not await guest.exists(PROBER)
        assert not await guest.exists(GRUB)


PACKAGING = {
    "upgraded": (f"echo new >{PROBER}.dpkg-new; ln {PROBER} {PROBER}.dpkg-tmp; mv {PROBER}.dpkg-new {PROBER}", "new"),
    "not upgraded": (f"ln {PROBER} {PROBER}.dpkg-tmp; mv {PROBER}.dpkg-tmp {PROBER}", "old"),
    "purged": (f"rm {PROBER}", None),
    "purged and installed again": (f"rm {PROBER}; echo new >{PROBER}.dpkg-new; mv {PROBER}.dpkg-new {PROBER}", "new"),
}
"""What dpkg does to a file of a package; it keeps the old one as another link until all is well."""


@pytest.mark.parametrize("deed", PACKAGING)
async def test_a_package_that_comes_or_goes_meanwhile_is_as_it_wants_to_be(
    guest: Guest, ledger: MemoryLedger, deed: str
) -> None:
    commands, left = PACKAGING[deed]
    await guest.run(f"mkdir -p /usr/bin; echo old >{PROBER}")
    async with secluded(guest, ledger):
        await guest.run(f"{commands}; rm -f {PROBER}.dpkg-tmp")
    found = (await guest.run("cd /usr/bin; ls -a; cat os-prober 2>&1 || true")).tail
    assert found == ((".", "..", "os-prober", left) if left else (".", "..", found[-1]))


async def test_a_guest_without_usr_sbin_gets_no_policy(guest: Guest, ledger: MemoryLedger) -> None:
    await guest.run("rm -r /usr/sbin")
    async with secluded(guest, ledger):
        assert not await guest.exists("/usr/sbin")


async def test_a_full_disk_still_gets_its_files_back(guest: Guest, ledger: MemoryLedger) -> None:
    await guest.box.run(["dd", "if=/dev/zero", f"of={guest.root}/full"], check=False)
    with pytest.raises(HostError, match=r"copy_files: .*No space left"):
        async with copied_in(guest, ["/etc/resolv.conf"], ledger):
            raise AssertionError("not reached")
    assert (await guest.run("readlink /etc/resolv.conf")).tail == ("../run/resolve/stub-resolv.conf",)


async def test_nothing_of_ours_keeps_the_disk_busy(guest: Guest, ledger: MemoryLedger) -> None:
    async with copied_in(guest, ["/etc/resolv.conf"], ledger):
        await guest.write("/root/x", b"x")
        await guest.read("/root/x")
        links = [str(link.readlink()) for link in Path(f"/proc/{guest.box.pid}/fd").iterdir()]
    # But for the one by which failed writes are heard of: it is closed before the unmount.
    assert [link for link in links if str(guest.root) in link] == [str(guest.root)]
