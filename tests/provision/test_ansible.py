"""The Ansible provisioners, with real Ansible: one that reaches into the guest, and one that runs there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.provision.conftest import Heard, Text

from gilder.host.guest import Guest
from gilder.host.mounts import extra_mounted
from gilder.model.errors import HostError, ScriptFailed
from gilder.model.provisioners import AnsibleLocalProvisioner, AnsibleProvisioner
from gilder.model.spec import ChrootMount
from gilder.provision.ansible import inventory_text, own_arguments
from gilder.provision.context import ProvisionContext
from gilder.provision.galaxy import requirements
from gilder.provision.run import provision
from gilder.runtime.release import MemoryLedger

pytestmark = pytest.mark.root
needs_ansible = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="there is no Ansible here")

PLAYBOOK = """
- hosts: web
  gather_facts: false
  roles: [motd]
  tasks:
    - raw: echo "raw in $(cat /etc/os-release), $HOME, ${SECRET:-no secret}"
    - copy: {content: "{{ packer_build_name }} {{ packer_builder_type }} {{ colour }}\\n", dest: /etc/it's made, mode: "0640"}
    - fetch: {src: /etc/os-release, dest: "{{ playbook_dir }}/fetched", flat: true}
    - command: pwd
      delegate_to: localhost
"""
ROLE = "- copy: {src: motd, dest: /etc/motd}\n"


@pytest.fixture
async def pythonic(guest: Guest, ledger: MemoryLedger) -> AsyncIterator[Guest]:
    """The guest with this machine's Python and Ansible."""
    mounts = [ChrootMount(type="bind", source=place, target=place) for place in ("/usr", "/lib", "/lib64", "/dev")]
    mounts.append(ChrootMount(type="proc", source="proc", target="/proc"))
    async with extra_mounted(guest.box, guest.root, mounts, ledger):
        yield guest


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A playbook with a role; the home directory is a test's own, for Ansible keeps things there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SECRET", "leaked")
    monkeypatch.chdir(tmp_path)
    for name, text in (("tasks/main.yml", ROLE), ("files/motd", "hello\n")):
        (tmp_path / "site/roles/motd" / name).parent.mkdir(parents=True)
        (tmp_path / "site/roles/motd" / name).write_text(text)
    (tmp_path / "site/site.yml").write_text(PLAYBOOK)
    return tmp_path / "site"


def remote(site: Path, **more: Any) -> AnsibleProvisioner:
    return AnsibleProvisioner(playbook_file=str(site / "site.yml"), **more)


@needs_ansible
async def test_a_playbook_reaches_into_the_guest_and_no_further(
    pythonic: Guest, context: ProvisionContext, heard: Heard, site: Path
) -> None:
    recipe = ("--connection=chroot", "--inventory-file={{.MountPath}},", "-v", "-e", "colour=blue")
    spec = remote(
        site,
        groups=("web", "db"),
        extra_arguments=tuple(map(Text, recipe)),
        ansible_env_vars=(Text("ANSIBLE_NOCOLOR=1"),),
    )
    await provision(pythonic, [spec], context)
    text = "\n".join(heard.text)
    assert "raw in ID=busybox, /root, no secret" in text
    assert f'"stdout": "{site}"' in text, "localhost is this machine"
    assert (await pythonic.read("/etc/it's made")).decode() == "bookworm azure-chroot blue\n"
    assert (await pythonic.read("/etc/motd")).decode() == "hello\n"
    assert (site / "fetched").read_text() == "ID=busybox\n"
    root = Path(pythonic.box.seen_from_here(pythonic.root))
    assert [*(root / "tmp").iterdir(), *(root / "root").iterdir()] == [], "nothing of Ansible stays in the image"
    assert any("--connection=chroot --inventory-file=" in line and "Not needed" in line for line in heard.said)


@needs_ansible
async def test_a_failing_playbook_without_python_says_what_is_missing(
    guest: Guest, context: ProvisionContext, site: Path
) -> None:
    (site / "site.yml").write_text("- hosts: default\n  gather_facts: false\n  tasks: [{ping: }]\n")
    with pytest.raises(ScriptFailed, match="ansible-playbook ended with status 2") as failed:
        await provision(guest, [remote(site)], context)
    assert failed.value.hint is not None
    assert "the image has no Python" in failed.value.hint


async def test_a_missing_ansible_is_named(guest: Guest, context: ProvisionContext, site: Path) -> None:
    with pytest.raises(HostError, match="no-such-playbook is not installed on this machine"):
        await provision(guest, [remote(site, command="no-such-playbook")], context)


LOCAL = """
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: "{{ packer_build_name }} {{ kind }} {{ inventory_hostname }}\\n", dest: /etc/made}
    - include_role: {name: motd}
"""


@needs_ansible
async def test_a_playbook_runs_in_the_guest(
    pythonic: Guest, context: ProvisionContext, heard: Heard, site: Path
) -> None:
    (site / "site.yml").write_text(LOCAL)
    (site / "group_vars").mkdir()
    (site / "group_vars/web.yml").write_text("kind: grouped\n")
    spec = AnsibleLocalProvisioner(
        playbook_file=str(site / "site.yml"),
        role_paths=(str(site / "roles/motd"),),
        group_vars=str(site / "group_vars"),
        inventory_groups=("web",),
        extra_arguments=("-e 'spare=x y'",),
        staging_directory="/tmp/it's staged",
        clean_staging_directory=True,
    )
    await provision(pythonic, [spec], context)
    assert (await pythonic.read("/etc/made")).decode() == "bookworm grouped 127.0.0.1\n"
    assert (await pythonic.read("/etc/motd")).decode() == "hello\n"
    assert not await pythonic.exists("/tmp/it's staged")


async def test_an_image_without_ansible_is_told_so(guest: Guest, context: ProvisionContext, site: Path) -> None:
    spec = AnsibleLocalProvisioner(playbook_files=(str(site / "site.yml"),), playbook_dir=str(site))
    with pytest.raises(HostError, match="could not be found in the image"):
        await provision(guest, [spec], context)
    (folder,) = (Path(guest.box.seen_from_here(guest.root)) / "tmp/packer-provisioner-ansible-local").iterdir()
    assert (folder / "roles/motd/files/motd").read_text() == "hello\n", "it stays without clean_staging_directory"


async def test_galaxy_installs_roles_and_collections(guest: Guest, context: ProvisionContext, site: Path) -> None:
    galaxy = site / "galaxy"
    galaxy.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\n')
    galaxy.chmod(0o755)
    (site / "needs.yml").write_text("roles:\n- a\ncollections:\n- b.c\n")
    spec = remote(
        site,
        command="true",
        galaxy_command=str(galaxy),
        galaxy_file=str(site / "needs.yml"),
        galaxy_force_install=True,
        roles_path="/r",
    )
    await provision(guest, [spec], context)
    file = site / "needs.yml"
    assert (site / "asked").read_text() == f"install -r {file} -f -p /r\ncollection install -r {file} -f\n"
    (site / "old.yml").write_text("- src: a\n")
    assert (requirements(str(site / "old.yml")).roles, requirements(str(site / "old.yml")).collections) == (True, False)


def test_the_inventory_has_the_guest_in_its_groups(context: ProvisionContext) -> None:
    spec = AnsibleProvisioner(
        playbook_file="/x", host_alias="web1", groups=("web",), empty_groups=("none",), user="admin"
    )
    line = f"web1 ansible_connection=gilder_chroot ansible_host={context.mount_path} ansible_user=admin\n"
    assert inventory_text(spec, context) == f"{line}[web]\n{line}[none]\n"
    own = spec.model_copy(update={"inventory_file_template": Text("{{.HostAlias}} {{.Host}} {{.Port}}\n")})
    assert inventory_text(own, context).startswith(f"web1 {context.mount_path} 22\n[web]\nweb1 ")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-c", "chroot", "-v"], ["-v"]),
        (["--connection", "chroot", "-i", "/mnt/x,", "-i", "other"], ["-i", "other"]),
        (["-cchroot", "-i/mnt/x,", "--inventory=/mnt/x", "--check"], ["--check"]),
        (["--connect-timeout=3", "-e", "-c"], ["--connect-timeout=3", "-e"]),
        (["--inventory"], ["--inventory"]),
    ],
)
def test_the_chroot_recipe_of_packers_documentation_is_taken_out(given: list[str], kept: list[str]) -> None:
    assert own_arguments(given, Path("/mnt/x"))[0] == kept
