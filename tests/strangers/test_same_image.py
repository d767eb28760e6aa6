"""The same template, run by Packer 1.6.6 and by gilder, makes images with the same files."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.strangers.conftest import VM, Place, opened

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces and loop devices"),
]

DIFFERENT = {
    "etc/resolv.conf": "Packer copies over it and removes the copy, so that the image loses its own; gilder puts it back",
}
"""Paths that differ, and why that is meant."""

SCRIPT = """#!/bin/sh
set -e
echo "script $PACKER_BUILD_NAME $GREETING" > /etc/script
umask 027
mkdir -p /srv/made/deep
echo content > /srv/made/deep/file
"""
INLINE = [
    "echo made by $PACKER_BUILD_NAME of type $PACKER_BUILDER_TYPE > /etc/mark",
    "printf '%s\\n' \"$QUOTED\" 'a  b' \"it's\" > /etc/quoted",
    "ln -s /etc/mark /etc/alias; ln /etc/mark /etc/hard",
    "mkdir -m 1777 /shared; mkdir -m 700 /private; touch /private/empty; chmod 4755 /private/empty",
    "chown 12:34 /etc/quoted; mkfifo -m 600 /private/pipe; mknod /private/null c 1 3",
    "rm -rf /home; cd /; pwd > /etc/where; id -u > /etc/who; test -d /proc/1 && echo proc > /etc/proc",
]


def template(place: Place) -> str:
    """A template with what most templates do."""
    upload = place.folder / "upload"
    (upload / "sub").mkdir(parents=True)
    (upload / "sub/one").write_text("one\n")
    (upload / "two").write_text("two\n")
    (upload / "two").chmod(0o640)
    script = place.folder / "script.sh"
    script.write_text(SCRIPT)
    builder: dict[str, Any] = {
        "type": "azure-chroot",
        "name": "same",
        "source": "localarm:busybox:1:latest",
        "image_hyperv_generation": "V2",
        "image_resource_id": f"{VM}/images/{{{{build_name}}}}-image",
        "pre_mount_commands": ["true"],
        "mount_options": ["noatime"],
        "post_mount_commands": [
            "mkdir {{.MountPath}}/post && echo {{.Device}} | grep -c dev > {{.MountPath}}/post/device"
        ],
        "chroot_mounts": [["proc", "proc", "/proc"], ["bind", "/dev", "/dev"], ["tmpfs", "tmpfs", "/run/made/here"]],
        "copy_files": ["/etc/resolv.conf", "/etc/debian_version"],
    }
    provisioners: list[dict[str, Any]] = [
        {"type": "shell", "inline": INLINE, "environment_vars": ["QUOTED=a 'b' c"]},
        {"type": "shell", "script": str(script), "environment_vars": ["GREETING=hello"]},
        {"type": "file", "source": str(upload / "two"), "destination": "/etc/two"},
        {"type": "file", "source": f"{upload}", "destination": "/opt"},
        {"type": "file", "source": f"{upload}/", "destination": "/srv/made/"},
        {"type": "shell", "inline": ["test -s /etc/resolv.conf", "cat /etc/debian_version | wc -l > /etc/copied"]},
        {"type": "shell", "inline": ["cat /etc/two >> /etc/mark"], "execute_command": "{{.Vars}} /bin/sh -e {{.Path}}"},
        {"type": "shell-local", "inline": ["echo outside"]},
    ]
    file = place.folder / "template.json"
    file.write_text(json.dumps({"builders": [builder], "provisioners": provisioners}))
    return str(file)


@contextmanager
def mounted(place: Place, image: str) -> Iterator[Path]:
    """An image's root filesystem, read-only."""
    raw = place.folder / "image.raw"
    place.localarm("export", image, str(raw))
    with tempfile.TemporaryDirectory(dir=place.folder) as at:
        subprocess.run(["mount", "-o", f"ro,noload,loop,offset={1 << 20}", str(raw), at], check=True)
        try:
            yield Path(at)
        finally:
            subprocess.run(["umount", at], check=True)
            raw.unlink()


def tree(root: Path) -> dict[str, str]:
    """Every path: type and mode, owner, number of links, and content or target."""
    return {str(path.relative_to(root)): _described(path) for path in sorted(root.rglob("*"))}


def _described(path: Path) -> str:
    found = path.lstat()
    more = ""
    if stat.S_ISLNK(found.st_mode):
        more = str(path.readlink())
    elif stat.S_ISREG(found.st_mode):
        more = f"{found.st_nlink} {path.read_bytes()!r}" if found.st_size < 10_000 else str(hash(path.read_bytes()))
    elif stat.S_ISCHR(found.st_mode):
        more = str(found.st_rdev)
    return f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {more}"


def test_packer_and_gilder_make_the_same_files(packer: str, folder: Path) -> None:
    trees = []
    for name in ("packer", "gilder"):
        (folder / name).mkdir()
        with opened(folder / name) as place:
            ended = place.packer(template(place)) if name == "packer" else place.gilder(template(place))
            assert ended.status == 0, ended.out
        with mounted(place, "same-image") as root:
            trees.append(tree(root))
    theirs, ours = trees
    assert len(theirs) > 300
    differing = {path: (theirs.get(path), ours.get(path)) for path in theirs.keys() | ours.keys()}
    differing = {path: both for path, both in differing.items() if both[0] != both[1]}
    assert differing.keys() == DIFFERENT.keys(), differing
