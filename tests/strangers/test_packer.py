"""Real Packer, made for the real Azure, builds against localarm; side by side with itself it does not, and gilder does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.strangers.conftest import opened

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces and loop devices"),
]

LEFT = {"disks": 1, "resourcegroups": 1, "virtualmachines": 1}
"""What there is before a build and, apart from images, after it: the disk is the build host's own."""


def test_packer_builds_an_image(packer: str, folder: Path) -> None:
    with opened(folder) as place:
        ended = place.packer(place.template("alone"))
        assert ended.status == 0, ended.out
        assert "Builds finished. The artifacts of successful builds are:" in ended.out
        assert [request for request in place.asked("audit") if request["status"] == 501] == []
        assert place.asked("violations") == []
    assert place.inventory() == {**LEFT, "images": 1}
    assert place.file_in("alone-image", "/root/mark") == "made by alone\n"


def test_two_builds_at_once_defeat_packer_but_not_gilder(packer: str, folder: Path) -> None:
    """Why gilder exists: each of Packer's builds reads the VM and writes all of it back, unaware of the other.

    Attaching takes a moment here (15 % of what it takes on Azure), else the two would hardly meet.
    """
    with opened(folder, "--latency=median", "--scale=0.15") as place:
        template = place.template("left", "right")
        ended = place.packer(template)
        assert ended.status == 1, ended.out
        assert "error attaching disk" in ended.out
        assert "CreateOrUpdate: Failure sending request: StatusCode=4" in ended.out
        refused = [
            request for request in place.asked("audit") if request["method"] == "PUT" and request["status"] >= 400
        ]
        assert refused
        assert all("/virtualMachines/" in request["path"] for request in refused)
        assert place.inventory().get("images", 0) < 2

    (folder / "again").mkdir()
    with opened(folder / "again", "--latency=median", "--scale=0.15") as place:
        ended = place.gilder(place.template("left", "right"))
        assert ended.status == 0, ended.out
        assert place.asked("violations") == []
        assert [
            request for request in place.asked("audit") if request["method"] == "PUT" and request["status"] >= 400
        ] == []
    assert place.inventory() == {**LEFT, "images": 2}
    for name in ("left", "right"):
        assert place.file_in(f"{name}-image", "/root/mark") == f"made by {name}\n"
