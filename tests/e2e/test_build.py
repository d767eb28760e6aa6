"""Whole builds: what comes out, what goes wrong, and that nothing stays."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program, builder, shell
from tests.e2e.test_many import world

pytestmark = pytest.mark.root


def test_an_image_contains_what_its_provisioners_did(gilder: Program) -> None:
    lines = ["echo made by $PACKER_BUILD_NAME > /etc/mark", "ln -s /etc/mark /etc/alias", "mkdir -m 700 /private"]
    ended = gilder.build([builder("tiny")], [shell(*lines)])
    assert ended.status == 0, ended.err
    assert ended.out.startswith("built      tiny")
    assert "/images/tiny-image" in ended.out
    with gilder.mounted("tiny-image") as root:
        assert (root / "etc/mark").read_text() == "made by tiny\n"
        assert (root / "etc/alias").readlink().as_posix() == "/etc/mark"
        assert (root / "private").stat().st_mode & 0o777 == 0o700
        assert list((root / "tmp").iterdir()) == [], "the script was removed"


@pytest.mark.parametrize("closed", ["<&-", "2>&- </dev/null", "<&- >&- 2>&-"])
def test_standard_input_and_output_may_be_closed(gilder: Program, closed: str) -> None:
    """A build then ended with a traceback or without a word."""
    command = gilder.build_command(gilder.template([builder("tiny")], [shell("cat; echo told; echo told >&2")]))
    ended = gilder.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command])
    assert ended.status == 0, ended.err
    assert gilder.images() == ["tiny-image"]


def test_a_cloud_that_lags_behind_the_sdk_will_do(gilder: Program) -> None:
    with world(gilder, "--newest-api", "2023-09-30"):
        ended = gilder.build([builder("tiny")], [shell("true")])
    assert ended.status == 0, ended.err
    assert gilder.images() == ["tiny-image"]


def test_a_mount_path_may_lead_through_a_link(gilder: Program) -> None:
    (gilder.folder / "real").mkdir()
    (gilder.folder / "link").symlink_to("real")
    ended = gilder.build([builder("tiny", mount_path=f"{gilder.folder}/link/{{{{.Device}}}}")], [shell("true")])
    assert ended.status == 0, ended.err
    assert f"at {gilder.folder}/real/sd" in ended.err


def test_the_guest_has_the_hosts_resolver_while_provisioned_and_its_own_afterwards(gilder: Program) -> None:
    ended = gilder.build([builder("plain")], [])
    assert ended.status == 0, ended.err
    with gilder.mounted("plain-image") as root:
        original = (root / "etc/resolv.conf").readlink()
    ended = gilder.build(
        [builder("tiny", minimal_dev=True)], [shell("cp /etc/resolv.conf /etc/seen", "ls /dev > /etc/devices")]
    )
    assert ended.status == 0, ended.err
    with gilder.mounted("tiny-image") as root:
        assert (root / "etc/seen").read_bytes() == Path("/etc/resolv.conf").read_bytes()
        assert (root / "etc/resolv.conf").readlink() == original
        devices = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
        assert (root / "etc/devices").read_text().split() == devices.split()


def test_a_failing_provisioner_fails_its_image_and_leaves_nothing(gilder: Program) -> None:
    ended = gilder.build([builder("tiny")], [shell("echo about to fail", "sleep 1000 &", "exit 7")])
    assert ended.status == 1
    assert "failed     tiny" in ended.out
    assert "provisioning" in ended.out
    assert "7" in ended.out
    assert "about to fail" in ended.err
    assert gilder.images() == []


def test_one_failure_is_not_everyones(gilder: Program) -> None:
    builders = [builder("good"), builder("bad"), builder("fine")]
    ended = gilder.build(builders, [shell("test $PACKER_BUILD_NAME != bad", "echo $PACKER_BUILD_NAME > /etc/mark")])
    assert ended.status == 1
    assert [line.split()[:2] for line in ended.out.splitlines() if line[0] != " "] == [
        ["built", "good"],
        ["failed", "bad"],
        ["built", "fine"],
    ]
    for name in ("good", "fine"):
        with gilder.mounted(f"{name}-image") as root:
            assert (root / "etc/mark").read_text() == f"{name}\n"


def test_a_source_that_is_not_there_is_named(gilder: Program) -> None:
    ended = gilder.build([builder("tiny", source="localarm:nosuch:1:latest")], [])
    assert ended.status == 1
    assert "localarm:nosuch:1:latest" in ended.out
    assert "looking up the source" in ended.out
    assert "hint:" in ended.out


def test_an_image_that_exists_is_not_replaced(gilder: Program) -> None:
    assert gilder.build([builder("tiny")], [shell("echo first > /etc/mark")]).status == 0
    ended = gilder.build([builder("tiny")], [shell("echo second > /etc/mark")])
    assert ended.status == 1
    assert "exists already" in ended.out
    with gilder.mounted("tiny-image") as root:
        assert (root / "etc/mark").read_text() == "first\n"


def test_a_disk_that_will_not_mount_leaves_nothing(gilder: Program) -> None:
    ended = gilder.build([builder("tiny", mount_partition="9")], [])
    assert ended.status == 1
    assert "partition 9" in ended.out


def test_a_deadline_ends_what_hangs_and_only_that(gilder: Program) -> None:
    builders = [builder("hangs", stage_deadlines={"provision": "3s"}), builder("works")]
    ended = gilder.build(builders, [shell("test $PACKER_BUILD_NAME = works || sleep 600")], "--deadline=10m")
    assert ended.status == 1, ended.out
    assert "provisioning took longer than 3s" in ended.out
    assert "left behind" not in ended.out
    assert gilder.images() == ["works-image"]


STAGES = [
    "looking up the source",
    "creating the disk",
    "attaching the disk",
    "mounting",
    "preparing the chroot",
    "    tiny: working",
    "putting the chroot back",
    "unmounting",
    "taking the snapshot",
    "publishing the image",
    "detaching the disk",
    "cleaning up",
]


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_in_any_stage_leaves_nothing(gilder: Program, stage: str) -> None:
    lines = ["echo working", "sleep 1"] if "working" in stage else ["echo working"]
    template = gilder.template([builder("tiny")], [shell(*lines)])
    ended = gilder.build_until(stage, signal.SIGINT, template)
    assert "SIGINT" in ended.err
    if "cancelled" in ended.out:
        assert ended.status == 1
        assert gilder.images() == []
    else:  # the signal came when the image was finished
        assert "built" in ended.out
        assert gilder.images() == ["tiny-image"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_clean_up_too(gilder: Program, number: signal.Signals) -> None:
    template = gilder.template([builder("tiny")], [shell("echo working", "trap '' TERM", "sleep 100")])
    ended = gilder.build_until("tiny: working", number, template)
    assert ended.status == 1
    assert number.name in ended.err
    assert "cancelled  tiny" in ended.out


MISTAKES: dict[str, Any] = {"source": "Debian:13", "os_disk_cache_type": "Often", "mount_optoins": ["ro"]}


def test_validate_reports_every_mistake_with_its_line(gilder: Program) -> None:
    template = gilder.template([builder("tiny", **MISTAKES)], [])
    ended = gilder.run([sys.executable, "-m", "gilder", "validate", template])
    assert ended.status == 1
    lines = Path(template).read_text().splitlines()
    for word in ('"Debian:13"', '"Often"', '"mount_optoins"'):
        line = next(number for number, text in enumerate(lines, 1) if word in text)
        assert f"{template}:{line}:" in ended.err
    assert ended.err.count(": error: ") == 3
    assert "mount_options" in ended.err, "did you mean"


def test_validate_needs_no_network(gilder: Program) -> None:
    template = gilder.template([builder("tiny")], [shell("true")])
    ended = gilder.run(["unshare", "--net", sys.executable, "-m", "gilder", "validate", template])
    assert ended.status == 0, ended.err


def test_outside_azure_it_says_so(gilder: Program) -> None:
    template = gilder.template([builder("tiny")], [])
    command = ["unshare", "--net", sys.executable, "-m", "gilder", "build", "--log-dir", str(gilder.logs), template]
    ended = gilder.run(command)
    assert ended.status == 1
    assert "not an Azure VM" in ended.err
    assert "--cloud local" in ended.err


@pytest.mark.parametrize("arguments", [["biuld"], ["build"], ["build", "--no-such-option", "x"], []])
def test_wrong_usage_exits_with_2(gilder: Program, arguments: list[str]) -> None:
    assert gilder.run([sys.executable, "-m", "gilder", *arguments]).status == 2
