"""What the options for this machine do, in one run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.cloud import held
from tests.e2e.conftest import Ended, Program, builder, shell

pytestmark = pytest.mark.root

MOUNTS = [["proc", "proc", "/proc"], ["bind", "/dev", "/dev"]]


class Made:
    """One run of three builds, what it said, and the files that it wrote on this machine."""

    def __init__(self, gilder: Program) -> None:
        self.gilder = gilder
        self.folder = gilder.folder / "here"
        (self.folder / "lent").mkdir(parents=True)
        (self.folder / "lent/file").write_text("lent\n")
        (self.folder / "copied").write_text("copied\n")
        self.ended = self._built()

    def _built(self) -> Ended:
        here = self.folder
        everything: dict[str, Any] = {
            "command_wrapper": "export WRAPPED=yes; {{.Command}}",
            "pre_mount_commands": [f"echo $WRAPPED {{{{.Device}}}} > {here}/pre"],
            "mount_options": ["noatime", "nodev"],
            "mount_partition": 1,
            "mount_path": f"{here}/root-{{{{.Device}}}}",
            "post_mount_commands": [
                f"grep {{{{.MountPath}}}} /proc/mounts > {here}/post",
                f"mkdir -p {{{{.MountPath}}}}/made {{{{.MountPath}}}}{here}",
            ],
            "pre_unmount_commands": [f"cp {{{{.MountPath}}}}/etc/mark {here}/before", "touch {{.MountPath}}/last"],
            "chroot_mounts": [*MOUNTS, ["bind", f"{here}/lent", "/lent"]],
            "copy_files": [f"{here}/copied"],
        }
        manual = {"manual_mount_command": "mount -o noatime {{.Device}}1", "chroot_mounts": [], "copy_files": []}
        grown = {"os_disk_size_gb": 2, "grow_root": True, "skip_cleanup": True}
        look = ["echo seen > /etc/mark", f"cat /lent/file {here}/copied >> /etc/mark"]
        provisioners = [
            shell(*look, only=["everything"]),
            shell("ls /proc | wc -l > /etc/mark", "grep -c . /etc/resolv.conf >> /etc/mark || true", only=["manual"]),
            shell("df -m / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2 > /etc/mark", only=["grown"]),
        ]
        builders = [builder("everything", **everything), builder("manual", **manual), builder("grown", **grown)]
        ended = self.gilder.build(builders, provisioners)
        assert ended.status == 0, ended.out + ended.err
        return ended

    def written(self, name: str) -> str:
        return (self.folder / name).read_text()


def test_what_the_options_for_this_machine_do(gilder: Program) -> None:
    made = Made(gilder)
    wrapped, device = made.written("pre").split()
    assert wrapped == "yes"
    _, where, system, options, *_ = made.written("post").split()
    assert where.startswith(f"{made.folder}/root-")
    assert system == "ext4"
    assert {"noatime", "nodev"} <= set(options.split(","))
    assert device.startswith("/dev/")
    assert made.written("before") == "seen\nlent\ncopied\n"
    with gilder.mounted("everything-image") as root:
        assert (root / "etc/mark").read_text() == "seen\nlent\ncopied\n"
        assert (root / "made").is_dir()
        assert (root / "last").exists()
        assert list((root / "lent").iterdir()) == [], "a mount point stays, as with mkdir -p"
        assert not (root / str(made.folder).lstrip("/") / "copied").exists(), "copied files are taken away again"
    with gilder.mounted("manual-image") as root:
        assert (root / "etc/mark").read_text() == "0\n", "an empty list of mounts means none, of files none"
    with gilder.mounted("grown-image") as root:
        assert int((root / "etc/mark").read_text()) > 1900
    _nothing_kept_but_what_was_asked_for(gilder)


def _nothing_kept_but_what_was_asked_for(gilder: Program) -> None:
    """`skip_cleanup` keeps one disk and one snapshot; they are deleted here, as the fixture wants the cloud clean."""
    assert gilder.inventory()["disks"] == 2
    assert gilder.inventory()["snapshots"] == 1
    with held(gilder.state) as cloud:
        for kind in ("disks", "snapshots"):
            for found in cloud.get(kind)["value"]:
                if found["name"].startswith("gilder-"):
                    cloud.delete(f"{kind}/{found['name']}")
