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
    (upload / "sub/one").chmod(0o755)
    (upload / "sub/link").symlink_to("/etc/shadow")
    (upload / "sub").chmod(0o750)
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
        *({"type": "shell"} | options for options in _shell_options(place)),
        {"type": "file", "source": str(upload / "sub/one"), "destination": "/etc/passwd"},
        {"type": "file", "source": str(upload / "two"), "destination": "/srv/made/"},
        {"type": "file", "sources": [str(upload / "two"), str(upload / "sub")], "destination": "/srv/"},
        {
            "type": "file",
            "source": "/srv/made/deep/file",
            "destination": str(place.folder / "out/"),
            "direction": "download",
        },
        {"type": "shell-local", "inline": [f'test "$(cat {place.folder}/out)" = content']},
    ]
    file = place.folder / "template.json"
    file.write_text(json.dumps({"builders": [builder], "provisioners": provisioners}))
    return str(file)


def _shell_options(place: Place) -> list[dict[str, Any]]:
    """What the shell provisioner can be told, each time with a trace in the image."""
    windows = place.folder / "windows.sh"
    windows.write_bytes(b"#!/bin/sh\r\necho 'windows lines' > /etc/windows\r\necho end >> /etc/windows")
    raw = place.folder / "raw.sh"
    raw.write_bytes(b"#!/bin/sh\nprintf 'a\r' > /etc/raw\n# \r\n")
    order = ["Z=1", "PACKER_BUILD_NAME=mine", "A=it's", "Z=2", "E=", "B=x=y"]
    return [
        {"script": str(windows), "remote_file": "windows.sh", "skip_clean": True},
        {"script": str(raw), "binary": True, "remote_path": "/etc/raw.sh", "skip_clean": True},
        {"scripts": [str(raw), str(windows)], "remote_folder": "/root", "skip_clean": False},
        {"inline": ["true", "echo {{build_name}}"], "remote_path": "/etc/inline.sh", "skip_clean": True},
        {"inline": ["false", "echo past > /etc/past"], "inline_shebang": "/bin/sh", "remote_path": "/etc/sh.sh"},
        {"inline": ["#!/x", "true"], "inline_shebang": "/bin/sh -x", "remote_path": "/etc/x.sh", "skip_clean": True},
        {"inline": ["exit 9"], "valid_exit_codes": [3, 9]},
        {"inline": ["umask > /etc/umask", "pwd > /etc/pwd", "echo $0 $# > /etc/called"], "remote_path": "/root/called"},
        {
            "inline": [
                "cat /tmp/varfile_*.sh > /etc/variables",
                "ls -l /tmp/varfile_*.sh | cut -c1-10 >> /etc/variables",
            ],
            "environment_vars": order,
            "use_env_var_file": True,
        },
        {
            "inline": ["true"],
            "environment_vars": order,
            "execute_command": "echo {{.Vars}} {{.Path}} > /etc/order",
            "remote_path": "/tmp/order",
        },
        {"inline": ["echo $A > /etc/format"], "environment_vars": ["A=1"], "env_var_format": "%s='<%s>' "},
        {"inline": "echo one > /etc/commas, echo two >> /etc/commas"},
        {"inline": ["test -e /etc/again || { touch /etc/again; exit 1; }"], "max_retries": "1"},
    ]


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
