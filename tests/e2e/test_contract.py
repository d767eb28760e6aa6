"""Templates as they were written for Packer's azure-chroot builder give the images that its documentation promises."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.cloud import Cloud, held
from tests.e2e.conftest import Ended, Program, builder, shell

from localarm.settings import APPLICATION, APPLICATION_SECRET

pytestmark = pytest.mark.root

APT_GET = '#!/bin/sh\n[ "$1" = upgrade ] && echo "$@" > /var/upgraded\nexit 0\n'
"""Stands for the real one in the busybox image: leaves a mark where it would change the system."""

UPDATED = {"type": "shell", "inline": ["apt-get update", "apt-get upgrade -y"], "inline_shebang": "/bin/sh -x"}
IDENTITY: dict[str, Any] = {
    "builders": [
        {
            "type": "azure-chroot",
            "image_resource_id": "/subscriptions/{{vm `subscription_id`}}/resourceGroups/{{vm `resource_group`}}"
            "/providers/Microsoft.Compute/images/MyDebianOSImage-{{timestamp}}",
            "source": "credativ:Debian:9:latest",
        }
    ],
    "provisioners": [UPDATED],
}
PRINCIPAL: dict[str, Any] = {
    "variables": {
        "client_id": "{{env `ARM_CLIENT_ID`}}",
        "client_secret": "{{env `ARM_CLIENT_SECRET`}}",
        "subscription_id": "{{env `ARM_SUBSCRIPTION_ID`}}",
        "resource_group": "{{env `ARM_IMAGE_RESOURCEGROUP_ID`}}",
    },
    "builders": [
        {
            "type": "azure-chroot",
            "client_id": "{{user `client_id`}}",
            "client_secret": "{{user `client_secret`}}",
            "subscription_id": "{{user `subscription_id`}}",
            "image_resource_id": "/subscriptions/{{user `subscription_id`}}/resourceGroups/{{user `resource_group`}}"
            "/providers/Microsoft.Compute/images/MyDebianOSImage-{{timestamp}}",
            "source": "credativ:Debian:9:latest",
        }
    ],
    "provisioners": [UPDATED],
}
TO_GALLERY: dict[str, Any] = {
    "builders": [
        {
            "type": "azure-chroot",
            "source": "Canonical:UbuntuServer:18.04-LTS:latest",
            "shared_image_destination": {
                "resource_group": "{{vm `resource_group`}}",
                "gallery_name": "gallery",
                "image_name": "MyUbuntuOSImage",
                "image_version": "1.0.0",
                "exclude_from_latest": False,
                "target_regions": [{"name": "westeurope", "replicas": "1", "storage_account_type": "standard_zrs"}],
            },
        }
    ],
    "provisioners": [UPDATED],
}
VERSION = "galleries/gallery/images/MyUbuntuOSImage/versions/1.0.0"


def build(gilder: Program, template: dict[str, Any], source: str, timeout: float = 100) -> Ended:
    """Build one of the documented examples from another source."""
    changed = json.loads(json.dumps(template))
    changed["builders"][0]["source"] = source
    file = gilder.folder / "example.json"
    file.write_text(json.dumps(changed, indent=2))
    return gilder.run(gilder.build_command(str(file)), timeout)


@pytest.fixture
def cloud(gilder: Program) -> Iterator[Cloud]:
    with held(gilder.state) as cloud:
        yield cloud


@pytest.fixture
def base(gilder: Program, cloud: Cloud) -> str:
    """The id of a gallery version like busybox, with a program apt-get."""
    cloud.definition("base")
    destination = {"resource_group": "{{vm `resource_group`}}", "gallery_name": "gallery", "image_name": "base"}
    options = builder("base", shared_image_destination=destination | {"image_version": "1.0.0"})
    del options["image_resource_id"]
    content = {"type": "file", "content": APT_GET, "destination": "/usr/bin/apt-get"}
    ended = gilder.build([options], [content, shell("chmod 755 /usr/bin/apt-get")])
    assert ended.status == 0, ended.out
    return f"{cloud.group}/providers/Microsoft.Compute/galleries/gallery/images/base/versions/1.0.0"


def principal(cloud: Cloud) -> dict[str, str]:
    """The environment that the example with a service principal asks for."""
    group = cloud.group.split("/")
    names = ("ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_SUBSCRIPTION_ID", "ARM_IMAGE_RESOURCEGROUP_ID")
    return dict(zip(names, (APPLICATION, APPLICATION_SECRET, group[2], group[4]), strict=True))


def test_the_documented_examples_build(
    gilder: Program, cloud: Cloud, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with a managed identity and with a service principal, and the one that publishes to a gallery."""
    for name, value in principal(cloud).items():
        monkeypatch.setenv(name, value)
    for example in (IDENTITY, PRINCIPAL):
        before = set(gilder.images())
        ended = build(gilder, example, base)
        assert ended.status == 0, ended.out + ended.err
        (image,) = set(gilder.images()) - before
        assert re.fullmatch(r"MyDebianOSImage-\d+", image)
        with gilder.mounted(image) as root:
            assert (root / "var/upgraded").read_text() == "upgrade -y\n"

    cloud.definition("MyUbuntuOSImage")
    ended = build(gilder, TO_GALLERY, base)
    assert ended.status == 0, ended.out + ended.err
    (region,) = cloud.get(VERSION)["properties"]["publishingProfile"]["targetRegions"]
    assert region == {"name": "West Europe", "regionalReplicaCount": 1, "storageAccountType": "Standard_ZRS"}
    with gilder.mounted(f"{cloud.group}/providers/Microsoft.Compute/{VERSION}") as root:
        assert (root / "var/upgraded").read_text() == "upgrade -y\n"


DEBIAN = Path("/var/lib/localarm/catalogue/debian-debian-13-13-gen2")
DOWNLOADS = bool(os.environ.get("CI") or os.environ.get("GILDER_DOWNLOADS"))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not DOWNLOADS and not any(DEBIAN.glob("*.raw")), reason="makes a Debian; set GILDER_DOWNLOADS=1")
def test_the_documented_example_updates_a_real_debian(gilder: Program) -> None:
    ended = build(gilder, IDENTITY, "Debian:debian-13:13-gen2:latest", timeout=280)
    assert ended.status == 0, ended.out + ended.err
    assert "Reading package lists" in ended.err
    (image,) = gilder.images()
    with gilder.mounted(image) as root:
        assert list((root / "var/lib/apt/lists").glob("*_Packages*")), "apt-get update has been there"


TABLE = "printf 'label: gpt\\nstart=2048, type=linux\\n' | sfdisk --quiet {{.Device}}"
FILL = (
    "mkdir -p {{.MountPath}}/bin {{.MountPath}}/etc {{.MountPath}}/tmp {{.MountPath}}/root",
    "cp /bin/busybox {{.MountPath}}/bin/busybox",
    "for name in sh echo cat chmod mkdir rm; do ln -s busybox {{.MountPath}}/bin/$name; done",
)
FORMATS = {"ext4": "mkfs.ext4 -q -F", "xfs": "mkfs.xfs -q -f", "btrfs": "mkfs.btrfs -q -f"}

OPTIONS = {"ext4": "ro,noload", "xfs": "ro,norecovery", "btrfs": "ro"}
"""Without replaying a journal: a file system that needs that was not cleanly unmounted."""


def from_scratch(system: str) -> dict[str, Any]:
    """A builder that makes a disk with a file system of its own and publishes it to the gallery."""
    number = list(FORMATS).index(system)
    return {
        "name": system,
        "type": "azure-chroot",
        "from_scratch": True,
        "os_disk_size_gb": 1,
        "image_hyperv_generation": "V2",
        "pre_mount_commands": [TABLE, f"{FORMATS[system]} {{{{.Device}}}}$(test -e {{{{.Device}}}}p1 && echo p)1"],
        "post_mount_commands": list(FILL),
        "shared_image_destination": {
            "resource_group": "{{vm `resource_group`}}",
            "gallery_name": "gallery",
            "image_name": "scratch",
            "image_version": f"1.0.{number}",
            "target_regions": [{"name": "westeurope"}],
        },
    }


def test_disks_from_scratch_are_partitioned_formatted_filled_and_published(gilder: Program, cloud: Cloud) -> None:
    cloud.definition("scratch")
    ended = gilder.build([from_scratch(system) for system in FORMATS], [shell("echo $PACKER_BUILD_NAME > /etc/mark")])
    assert ended.status == 0, ended.out + ended.err
    for number, system in enumerate(FORMATS):
        id_ = f"{cloud.group}/providers/Microsoft.Compute/galleries/gallery/images/scratch/versions/1.0.{number}"
        with gilder.mounted(id_, OPTIONS[system]) as root:
            assert (root / "etc/mark").read_text() == f"{system}\n"
            assert (root / "bin/sh").readlink().as_posix() == "busybox"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not DOWNLOADS, reason="downloads a Debian; set GILDER_DOWNLOADS=1")
def test_the_example_from_scratch_makes_a_debian(gilder: Program, cloud: Cloud) -> None:
    cloud.definition("debian-scratch")
    ended = gilder.run(gilder.build_command("examples/from-scratch.json"), timeout=280)
    assert ended.status == 0, ended.out + ended.err
    id_ = f"{cloud.group}/providers/Microsoft.Compute/galleries/gallery/images/debian-scratch/versions/1.0.0"
    with gilder.mounted(id_) as root:
        assert (root / "usr/bin/hello").exists()
        assert (root / "etc/debian_version").read_text().startswith("13")
