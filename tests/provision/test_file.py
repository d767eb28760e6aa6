"""The file provisioner, in and out of a real guest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.host.disks import running
from tests.provision.conftest import Heard, Text

from gilder.host.guest import Guest
from gilder.host.mounts import extra_mounted
from gilder.model.errors import HostError, UserError
from gilder.model.provisioners import FileProvisioner
from gilder.model.spec import DEFAULT_CHROOT_MOUNTS
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root


def copy(source: object, destination: object, **more: Any) -> FileProvisioner:
    return FileProvisioner(sources=(Text(str(source)),), destination=Text(str(destination)), **more)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a file, a script, a link and a folder."""
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/file").write_text("text\n")
    (tmp_path / "src/deep/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "src/deep/run.sh").chmod(0o755)
    (tmp_path / "src/link").symlink_to("/etc/passwd")
    return tmp_path


async def _listed(guest: Guest, path: str) -> list[str]:
    script = f"cd {path}; for f in $(find . | sort); do stat -c '%A %u %n' $f; done"
    return list(
        (
            await guest.run(
                ["/bin/busybox", "sh", "-c", script.replace("find", "busybox find").replace("| sort", "| busybox sort")]
            )
        ).tail
    )


async def test_a_file_goes_up(guest: Guest, context: ProvisionContext, heard: Heard, here: Path) -> None:
    await provision(guest, [copy(here / "src/file", "/root/copy"), copy(here / "src/file", "/root/")], context)
    assert await guest.read("/root/copy") == await guest.read("/root/file") == b"text\n"
    assert (await guest.run("stat -c '%a %u' /root/copy")).tail == ("600 0",)
    assert heard.said[0] == f"Uploading {here}/src/file => /root/copy"


async def test_a_file_goes_into_a_directory_and_over_a_file_whose_mode_stays(
    guest: Guest, context: ProvisionContext, here: Path
) -> None:
    await guest.write("/root/file", b"a longer text", 0o644)
    await provision(guest, [copy(here / "src/file", "/root")], context)
    assert await guest.read("/root/file") == b"text\n"
    assert (await guest.run("stat -c %a /root/file")).tail == ("644",)


async def test_a_relative_source_starts_at_the_working_directory(
    guest: Guest, context: ProvisionContext, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    await provision(guest, [copy("src/file", "/root/x"), copy("src/deep/", "/root")], context)
    assert await guest.read("/root/x") == b"text\n"
    assert await guest.exists("/root/run.sh")


async def test_content_is_rendered_and_written(guest: Guest, context: ProvisionContext) -> None:
    spec = FileProvisioner(content=Text("on {{.Device}}\n"), destination=Text("/root/{{.BuildName}}"))
    await provision(guest, [spec], context)
    assert await guest.read("/root/bookworm") == b"on /dev/sdc\n"
    with pytest.raises(UserError, match="must name a file"):
        await provision(guest, [FileProvisioner(content=Text("x"), destination=Text("/root/"))], context)


@pytest.mark.parametrize(
    ("source", "destination", "top"),
    [
        ("src", "/opt", "/opt"),
        ("src", "/root", "/root/src"),
        ("src", "/root/", "/root/src"),
        ("src/", "/root/new", "/root/new"),
    ],
)
async def test_directories_follow_the_rules_of_rsync(
    guest: Guest, context: ProvisionContext, here: Path, source: str, destination: str, top: str
) -> None:
    await provision(guest, [copy(f"{here}/{source}", destination)], context)
    assert await _listed(guest, top) == [
        "drwxr-xr-x 0 .",
        "drwxr-xr-x 0 ./deep",
        "-rwxr-xr-x 0 ./deep/run.sh",
        "-rw-r--r-- 0 ./file",
        "lrwxrwxrwx 0 ./link",
    ]
    assert (await guest.run(f"readlink {top}/link")).tail == ("/etc/passwd",)


async def test_a_missing_parent_is_an_error_and_not_silence(
    guest: Guest, context: ProvisionContext, here: Path
) -> None:
    with pytest.raises(HostError, match=r"cannot copy .*/src to /no/such/place: .*No such file"):
        await provision(guest, [copy(here / "src", "/no/such/place")], context)
    with pytest.raises(HostError, match=r"cannot copy /no/source to /root: .*No such file"):
        await provision(guest, [copy("/no/source", "/root")], context)


async def test_links_in_the_guest_lead_nowhere_else(
    guest: Guest, context: ProvisionContext, here: Path, ledger: MemoryLedger
) -> None:
    outside = here / "outside"
    outside.write_text("of the host")
    await guest.run(
        f"mkdir -p /real{here}; ln -s {outside} /root/away; ln -s /proc/1/root{here} /root/dir; mkdir -p {here}"
    )
    async with extra_mounted(guest.box, guest.root, DEFAULT_CHROOT_MOUNTS[:1], ledger):
        await provision(guest, [copy(here / "src/file", "/root/away")], context)
        with pytest.raises(HostError):
            await provision(guest, [copy(here / "src/file", "/root/dir/outside")], context)
        with pytest.raises(HostError):
            await provision(guest, [copy("/root/dir/outside", here / "stolen", direction="download")], context)
    assert outside.read_text() == "of the host"
    assert await guest.read(str(outside)) == b"text\n"
    assert not (here / "stolen").exists()


async def test_files_and_directories_come_down(guest: Guest, context: ProvisionContext, tmp_path: Path) -> None:
    await guest.run(
        "mkdir -p /opt/a/b; echo 1 >/opt/a/one; echo 2 >/opt/a/b/two; ln -s /etc/shadow /opt/a/link; chmod 4755 /opt/a/one"
    )
    down = {"direction": "download"}
    await provision(
        guest,
        [
            copy("/opt/a/one", tmp_path / "x/y/one", **down),
            copy("/opt/a/one", f"{tmp_path}/z/", **down),
            copy("/opt/a", tmp_path / "whole", **down),
            copy("/opt/a/", tmp_path / "inner", **down),
            copy("/opt/a/[ob]*", tmp_path / "some", **down),
        ],
        context,
    )
    assert (tmp_path / "x/y/one").read_text() == (tmp_path / "z/one").read_text() == "1\n"
    for top in ("whole", "inner"):
        assert (tmp_path / top / "b/two").read_text() == "2\n"
        assert (tmp_path / top / "link").readlink() == Path("/etc/shadow")
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["b", "one"]
    assert (tmp_path / "whole/one").stat().st_mode & 0o7777 == 0o755
    with pytest.raises(HostError, match="matches nothing in the image"):
        await provision(guest, [copy("/opt/none*", tmp_path, **down)], context)


async def test_a_second_download_does_not_write_through_a_link_of_the_first(
    guest: Guest, context: ProvisionContext, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    await guest.run(f"mkdir -p /one /two/x; ln -s {victim} /one/x; echo evil >/two/x/file")
    await provision(guest, [copy("/one/", tmp_path / "d", direction="download")], context)
    with pytest.raises(HostError, match="is a link on this machine"):
        await provision(guest, [copy("/two/", tmp_path / "d", direction="download")], context)
    assert list(victim.iterdir()) == []


async def test_special_files_are_refused(guest: Guest, context: ProvisionContext, tmp_path: Path) -> None:
    os.mkfifo(guest.box.seen_from_here(guest.root) / "root/fifo")
    for source in ("/root/fifo", "/root/"):
        with pytest.raises(HostError, match=r"is not a regular file|is neither file"), anyio.fail_after(5):
            await provision(guest, [copy(source, tmp_path / "d", direction="download")], context)


async def test_a_cancelled_copy_stops(guest: Guest, context: ProvisionContext, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    with anyio.move_on_after(0.3) as scope:
        await provision(guest, [copy(tmp_path / "endless", "/root/x")], context)
    assert scope.cancelled_caught
    assert running("keeper.py carry") == []
