"""Platform images: found by their names, made once, good to start from."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from localarm.blobs import BlobStore
from localarm.catalogue import Catalogue, CatalogueError, PlatformImage
from localarm.catalogue.debian import RELEASES, _finish, next_version
from localarm.catalogue.making import Making
from localarm.devices import LoopDevices

MIB = 1 << 20
DEFAULT_CACHE = Path("/var/lib/localarm/catalogue")

needs_loop_devices = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs loop devices"
)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def catalogue(tmp_path: Path, told: list[str]) -> Catalogue:
    return Catalogue(tmp_path / "catalogue", told.append)


def tiny(catalogue: Catalogue) -> PlatformImage:
    found = catalogue.find("localarm", "busybox", "1", "latest")
    assert found is not None
    return found


def table(disk: Path) -> dict[int, tuple[int, int, str]]:
    """Start and size in sectors, and type, of each partition."""
    text = subprocess.run(["sfdisk", "--json", disk], check=True, capture_output=True).stdout
    return {
        int(part["node"].removeprefix(str(disk))): (part["start"], part["size"], part["type"])
        for part in json.loads(text)["partitiontable"]["partitions"]
    }


@contextlib.contextmanager
def rooted(folder: Path, image: Path) -> Iterator[Path]:
    """The first partition of a private copy of the image, mounted."""
    blobs = BlobStore(folder / "state/blobs")
    blobs.copy(image, "disk")
    devices = LoopDevices(folder / "state", folder / "azure")
    try:
        devices.attach(0, blobs.path("disk"))
        with tempfile.TemporaryDirectory() as root:
            device = (folder / "azure/scsi1/lun0").resolve()
            subprocess.run(["mount", f"{device}p1", root], check=True)
            try:
                yield Path(root)
            finally:
                subprocess.run(["umount", root], check=True)
    finally:
        devices.close()


def in_chroot(root: Path, script: str) -> str:
    done = subprocess.run(["chroot", root, "/bin/sh", "-c", script], check=True, capture_output=True, text=True)
    return done.stdout


def test_images_are_found_by_their_names(catalogue: Catalogue) -> None:
    urns = [image.urn.rsplit(":", 1)[0] for image in catalogue.images()]
    assert urns[0] == "localarm:busybox:1"
    assert {"Debian:debian-13", "Debian:debian-12"} == {urn.rsplit(":", 1)[0] for urn in urns[1:]}
    image = tiny(catalogue)
    assert catalogue.find("LocalARM", "BusyBox", "1", image.version) == image
    assert catalogue.find("localarm", "busybox", "1", "9.9.9") is None
    assert catalogue.find("localarm", "busybox", "2", "latest") is None


def test_an_unknown_image_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    for wrong in (replace(tiny(catalogue), sku="2"), replace(tiny(catalogue), version="../../../escape")):
        with pytest.raises(CatalogueError, match="no platform image"):
            catalogue.blob(wrong)
    assert not list(tmp_path.rglob("*.raw"))


def test_the_tiny_image_is_small_and_quickly_made(catalogue: Catalogue) -> None:
    started = time.monotonic()
    disk = catalogue.blob(tiny(catalogue))
    assert time.monotonic() - started < 3
    assert disk.stat().st_size == 1 << 30
    assert disk.stat().st_blocks * 512 < 8 * MIB
    assert table(disk)[1][0] == 2048
    inode = disk.stat().st_ino
    assert catalogue.blob(tiny(catalogue)).stat().st_ino == inode  # from the cache


@pytest.mark.root
@needs_loop_devices
def test_the_tiny_image_runs_programs_in_a_chroot(catalogue: Catalogue, tmp_path: Path) -> None:
    with rooted(tmp_path, catalogue.blob(tiny(catalogue))) as root:
        assert in_chroot(root, "echo hi") == "hi\n"
        assert in_chroot(root, ". /etc/os-release; echo $ID; id -un; stat -c %a /tmp; ls -d /proc /sys /dev /run") == (
            "busybox\nroot\n1777\n/dev\n/proc\n/run\n/sys\n"
        )
        assert (root / "etc/resolv.conf").is_symlink()
        assert in_chroot(root, "touch /root/new && find / -xdev -name new") == "/root/new\n"


def test_the_file_system_is_sound(catalogue: Catalogue) -> None:
    inside = f"{catalogue.blob(tiny(catalogue))}?offset={MIB}"
    subprocess.run(["e2fsck", "-f", "-n", inside], check=True, capture_output=True)


def test_many_threads_make_it_once(catalogue: Catalogue) -> None:
    image = tiny(catalogue)
    with ThreadPoolExecutor(6) as pool:
        inodes = set(pool.map(lambda _: catalogue.blob(image).stat().st_ino, range(6)))
    assert len(inodes) == 1


def _blob_inode(cache: Path) -> int:
    catalogue = Catalogue(cache, print)
    return catalogue.blob(tiny(catalogue)).stat().st_ino


def test_many_processes_make_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        inodes = set(pool.map(_blob_inode, [tmp_path / "catalogue"] * 6))
        pool.close()
        pool.join()
    assert len(inodes) == 1


def test_what_a_killed_maker_left_is_removed(catalogue: Catalogue, tmp_path: Path) -> None:
    left = tmp_path / "catalogue/localarm-busybox-1/.part-dead"
    left.mkdir(parents=True)
    (left / "draft.raw").write_text("half")
    disk = catalogue.blob(tiny(catalogue))
    assert sorted(file.name for file in disk.parent.iterdir()) == ["1.0.0.raw", "lock"]


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(disk: Path, folder: str = "/") -> dict[str, str]:
    """The type and permissions of everything in the first partition."""
    asked = ["debugfs", "-R", f"ls -p {folder}", f"{disk}?offset={MIB}"]
    found: dict[str, str] = {}
    for line in subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines():
        _, _, mode, _, _, name, *_ = [*line.split("/"), *[""] * 6]
        if name not in ("", ".", ".."):
            path = f"{folder.rstrip('/')}/{name}"
            found[path] = mode
            if mode.startswith("04"):
                found |= modes(disk, path)
    return found


def test_the_umask_of_who_makes_an_image_does_not_matter(tmp_path: Path) -> None:
    made = []
    for mask in (0o022, 0o077):
        with umask(mask):
            there = Catalogue(tmp_path / f"{mask:o}", print)
            made.append(modes(there.blob(tiny(there))))
    assert made[0] == made[1]
    assert {"/etc/hosts": "100644", "/bin/busybox": "100755", "/tmp": "041777", "/var": "040755"}.items() <= made[
        0
    ].items()


def test_the_files_that_make_a_debian_an_image_can_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to("/run/nowhere")
    (tmp_path / "etc/hostname").touch(0o755)  # as this machine has it
    with umask(0o077):
        _finish(tmp_path)
    assert {file.name: file.lstat().st_mode & 0o777 for file in (tmp_path / "etc").iterdir()} == dict.fromkeys(
        ("hostname", "hosts", "resolv.conf", "fstab", "machine-id"), 0o644
    )


def test_refreshing_replaces_the_tiny_image(catalogue: Catalogue) -> None:
    first = catalogue.blob(tiny(catalogue)).stat().st_ino
    made = catalogue.refresh(tiny(catalogue))
    assert made == tiny(catalogue)
    assert catalogue.blob(made).stat().st_ino != first


def test_every_cached_version_is_listed_oldest_first(catalogue: Catalogue, tmp_path: Path) -> None:
    newest = catalogue.find("Debian", "debian-13", tiny_sku(catalogue), "latest")
    assert newest is not None
    folder = tmp_path / "catalogue" / f"debian-debian-13-{newest.sku}"
    folder.mkdir(parents=True)
    for version in ("0.20260101.10", "0.20260101.9", "0.20251231.0"):
        (folder / f"{version}.raw").touch()
    (folder / "draft.raw").touch()
    found = [image.version for image in catalogue.images() if image.offer == "debian-13"]
    assert found == ["0.20251231.0", "0.20260101.9", "0.20260101.10"]
    latest = catalogue.find("Debian", "debian-13", newest.sku, "latest")
    assert latest is not None
    assert latest.version == "0.20260101.10"
    assert catalogue.blob(latest).name == "0.20260101.10.raw"  # old as it is, it is not made anew


def tiny_sku(catalogue: Catalogue) -> str:
    return next(image.sku for image in catalogue.images() if image.offer == "debian-13")


def test_versions_count_up_within_a_day() -> None:
    first = next_version(())
    assert first.endswith(".0")
    assert next_version((first, "0.20200101.7")) == first[:-1] + "1"


def test_a_failing_or_missing_program_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "lock").open("w") as lock:
        making = Making(tmp_path, print, lock.fileno())
        with pytest.raises(CatalogueError, match=r"status 3; its last lines:\n  why$"):
            making.run("sh", "-c", "echo why; exit 3")
        monkeypatch.setattr("localarm.catalogue.making._PATH", str(tmp_path))
        with pytest.raises(CatalogueError, match="mke2fs is missing; it comes with the Debian package e2fsprogs"):
            making.run("mke2fs")


def test_programs_get_the_proxies_and_a_plain_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("ARM_CLIENT_SECRET", "very-secret")
    with (tmp_path / "lock").open("w") as lock, umask(0o077):
        said = Making(tmp_path, print, lock.fileno()).run("sh", "-c", "env; umask").splitlines()
    assert {"http_proxy=http://proxy:3128", "NO_PROXY=localhost", "0022"} <= set(said)
    assert not any("very-secret" in line for line in said)


@pytest.mark.root
@pytest.mark.parametrize("present", ["gpg", "pgp", ""])
def test_mmdebstrap_is_told_where_the_keys_are(present: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt trusts them by itself on a Debian only: on Ubuntu, its package puts them where apt does not look."""
    keyrings = tuple(tmp_path / f"debian-archive-keyring.{end}" for end in ("gpg", "pgp"))
    monkeypatch.setattr("localarm.catalogue.debian._KEYRINGS", keyrings)
    monkeypatch.setattr("localarm.catalogue.making._PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "mmdebstrap").write_text('#!/bin/sh\nprintf "%s\\n" "$@"; exit 1\n')
    (tmp_path / "mmdebstrap").chmod(0o755)
    if present:
        (tmp_path / f"debian-archive-keyring.{present}").touch()
    with (tmp_path / "lock").open("w") as lock, pytest.raises(CatalogueError) as failed:
        RELEASES[0].make(Making(tmp_path, lambda _: None, lock.fileno()), tmp_path / "disk", MIB)
    if present:
        assert f"--keyring={tmp_path}/debian-archive-keyring.{present}\n" in str(failed.value)
    else:
        assert "it comes with the Debian package debian-archive-keyring" in str(failed.value)


def slow_programs(folder: Path) -> str:
    """A PATH with a busybox that counts how often an image was begun, and takes a second for each."""
    folder.mkdir()
    (folder / "busybox").write_text(f'#!/bin/sh\necho >>{folder}/begun\nsleep 1 & wait\nexec /bin/busybox "$@"\n')
    (folder / "busybox").chmod(0o755)
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


def test_the_making_ends_when_nobody_wants_it_any_more(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localarm.catalogue.making._PATH", slow_programs(tmp_path / "programs"))
    (tmp_path / "programs/busybox").write_text(f"#!/bin/sh\necho >{tmp_path}/begun\nsleep 74001 & wait\n")
    started = time.monotonic()
    with pytest.raises(CatalogueError, match="nobody wants it"):
        catalogue.blob(tiny(catalogue), lambda: not (tmp_path / "begun").exists())
    assert time.monotonic() - started < 10
    assert sorted(file.name for file in (tmp_path / "catalogue/localarm-busybox-1").iterdir()) == ["lock"]
    assert not subprocess.run(["pgrep", "-f", "^sleep 74001"], capture_output=True, text=True, check=False).stdout


def test_the_making_goes_on_for_those_who_still_want_it(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localarm.catalogue.making._PATH", slow_programs(tmp_path / "programs"))
    begun = tmp_path / "programs/begun"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(catalogue.blob, tiny(catalogue), lambda: not begun.exists())
        second = pool.submit(catalogue.blob, tiny(catalogue), lambda: True)
        assert second.result().exists()
        with contextlib.suppress(CatalogueError):  # unless it was the one who made it for both
            assert first.result() == second.result()
    assert len(begun.read_text().splitlines()) == 1


@pytest.mark.root
def test_what_a_program_apart_mounts_and_starts_goes_with_it(tmp_path: Path) -> None:
    """mmdebstrap mounts this machine's devices into the tree that is removed afterwards."""
    script = f"mount -t tmpfs inside {tmp_path}; touch {tmp_path}/x; setsid sleep 74002 & echo $$; readlink /proc/self"
    with (tmp_path / "lock").open("w") as lock:
        said = Making(tmp_path, print, lock.fileno()).run("sh", "-c", script, apart=True).split()
    assert said[0] == "1"
    assert not (tmp_path / "x").exists()
    assert not subprocess.run(["pgrep", "-f", "^sleep 74002"], capture_output=True, text=True, check=False).stdout


def test_a_failure_leaves_nothing_in_the_cache(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "busybox").write_text("#!/bin/sh\necho /bin/sh\n")
    (programs / "busybox").chmod(0o755)
    (programs / "sfdisk").write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
    (programs / "sfdisk").chmod(0o755)
    monkeypatch.setattr("localarm.catalogue.making._PATH", f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin")
    with pytest.raises(CatalogueError, match="no space"):
        catalogue.blob(tiny(catalogue))
    assert sorted(file.name for file in (tmp_path / "catalogue/localarm-busybox-1").iterdir()) == ["lock"]


@pytest.mark.root
@pytest.mark.slow
@needs_loop_devices
@pytest.mark.timeout(600)
def test_debian_is_debian(tmp_path: Path) -> None:
    """Uses the cache of this machine; where it is empty, downloads packages and takes a minute."""
    catalogue = Catalogue(DEFAULT_CACHE, print)
    image = catalogue.find("Debian", "debian-13", tiny_sku(catalogue), "latest")
    assert image is not None
    disk = catalogue.blob(image)
    assert disk.stat().st_size == 30 << 30
    assert disk.stat().st_blocks * 512 < 400 * MIB
    shown = table(disk)
    assert {number: entry[:2] for number, entry in shown.items() if number != 1} == {
        14: (2048, 6144),
        15: (8192, 253952),
    }
    assert shown[1][0] == 262144
    assert shown[14][2] == "21686148-6449-6E6F-744E-656564454649"
    assert shown[15][2] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    with rooted(tmp_path, disk) as root:
        assert in_chroot(
            root, ". /etc/os-release; echo $VERSION_CODENAME; dpkg-query -W -f='${Package}\n' systemd apt"
        ) == ("trixie\napt\nsystemd\n")
        assert (root / "etc/machine-id").read_text() == ""
        assert not any((root / "boot").iterdir()), "README.md says that there is no kernel"
        assert (
            (root / "etc/apt/sources.list")
            .read_text()
            .split("\n\n")[2]
            .startswith("deb http://deb.debian.org/debian-s")
        )
        assert os.statvfs(root).f_blocks * os.statvfs(root).f_frsize > 28 << 30
