"""Real disks for tests: a small GPT disk image with a busybox system, shown by a loop device."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gilder.host.devices import BlockDevice, block_device, holders_of, is_free, partition_numbers

START = 2**20
"""Where the first partition begins, in bytes."""

_APPLETS = (
    "sh cat ls echo sleep rm mkdir ps chmod env id mv ln setsid seq stat touch readlink true false printf grep kill tee"
)


def do(*argv: str | Path) -> str:
    """Run a program; its output."""
    done = subprocess.run([str(word) for word in argv], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def busybox_tree(tree: Path) -> Path:
    """A small system: busybox, /etc with a resolv.conf link, /usr/sbin."""
    for folder in ("bin", "etc", "tmp", "root", "usr/sbin", "var", "run", "proc", "sys", "dev"):
        (tree / folder).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    os.mknod(tree / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # its shell wants it for `&`
    shutil.copy2("/bin/busybox", tree / "bin/busybox")
    for applet in _APPLETS.split():
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tree / "etc/os-release").write_text("ID=busybox\n")
    (tree / "etc/resolv.conf").symlink_to("../run/resolve/stub-resolv.conf")
    return tree


def disk_image(file: Path, tree: Path, *, system: str = "ext4", megabytes: int = 48) -> Path:
    """A GPT disk with one partition that has the tree's files."""
    with file.open("wb") as raw:
        raw.truncate(megabytes * 2**20)
    subprocess.run(
        ["sfdisk", "--quiet", str(file)], input=b"label: gpt\nstart=2048, type=linux\n", check=True, capture_output=True
    )
    inner = (megabytes - 2) * 2**20
    if system == "ext4":
        do("mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", f"offset={START}", file, f"{inner // 1024}k")
        return file
    part = file.with_suffix(".part")
    with part.open("wb") as raw:
        raw.truncate(inner)
    if system == "btrfs":
        do("mkfs.btrfs", "-q", "--rootdir", tree, part)
    else:
        do("mkfs.xfs", "-q", part)
    do("dd", f"if={part}", f"of={file}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    part.unlink()
    return file


@contextmanager
def shown(image: Path) -> Iterator[BlockDevice]:
    """A copy of the image as a loop device with its partitions known; proves at the end that nothing holds it."""
    copy = Path(tempfile.mkdtemp(prefix="gilder-test-")) / "disk.raw"
    do("cp", "--sparse=always", image, copy)
    loop = do("losetup", "--find", "--show", copy).strip()
    try:
        do("partx", "--add", loop)
        device = block_device(loop)
        yield device
        assert eventually(lambda: is_free(device)), holders_of(device)
    finally:
        subprocess.run(["partx", "--delete", loop], check=False, capture_output=True)
        do("losetup", "--detach", loop)
        shutil.rmtree(copy.parent)
    assert eventually(lambda: str(copy) not in do("losetup", "--list", "--output=BACK-FILE"))


def eventually(true: Callable[[], bool], within: float = 5.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def running(words: str) -> list[int]:
    """The processes, here and in all PID namespaces below, whose command line contains the words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def files_of(device: BlockDevice, where: Path) -> dict[str, str]:
    """Every file of partition 1: its path, and type, mode, owner, content or target, and times of change."""
    partition = f"/dev/{device.kernel_name}p1"
    assert "1" in partition_numbers(device)
    where.mkdir()
    do("mount", "-o", "ro,noatime", partition, where)
    try:
        return {str(path.relative_to(where)): _described(path) for path in sorted(where.rglob("*"))}
    finally:
        do("umount", where)
        where.rmdir()


def _described(path: Path) -> str:
    found = path.lstat()
    more = ""
    if path.is_symlink():
        more = str(path.readlink())
    elif path.is_file():
        more = str(hash(path.read_bytes()))
    return f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {found.st_mtime_ns} {more}"
