"""The `ansible` provisioner: a playbook run by this machine's Ansible against the guest, without SSH.

Packer puts an SSH server between Ansible and its own chroot, which does not work with azure-chroot. Here ansible-playbook
runs in the build's namespaces and reaches the guest by a connection plugin that is a chroot and nothing more.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from gilder.host.guest import Guest, guest_environment
from gilder.model.errors import HostError, ScriptFailed
from gilder.model.provisioners import AnsibleProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.galaxy import requirements
from gilder.runtime.locks import KeyedLocks
from gilder.runtime.release import closing

CONNECTION = "gilder_chroot"
_PLUGINS = Path(__file__).with_name("ansible_plugins") / "connection"
_OTHER_PLUGINS = "~/.ansible/plugins/connection:/usr/share/ansible/plugins/connection"
_OTHER_ROLES = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"
_OTHER_COLLECTIONS = "~/.ansible/collections:/usr/share/ansible/collections"
"""Ansible's defaults, which a path of ours is put before."""

_GALAXY = KeyedLocks(Path("/run/gilder"))
"""Builds share the directories that ansible-galaxy installs into, and it does not expect company."""


async def run_ansible(guest: Guest, spec: AnsibleProvisioner, context: ProvisionContext) -> None:
    """Run the playbook against the guest.

    Raises ScriptFailed when Ansible ends with another status than 0, HostError when it is not installed or a file cannot be
    read, UserError when a text cannot be rendered.
    """
    context.say("Provisioning with Ansible...")
    environment = _environment(guest, spec, context)
    if spec.galaxy_file is not None:
        async with _GALAXY.held("ansible-galaxy", waiting=lambda key: context.say(f"waiting for {key}")):
            await _galaxy(guest, spec, spec.galaxy_file, environment, context)
    async with _scratch(guest, environment):
        await _play(guest, spec, environment, context)


@asynccontextmanager
async def _scratch(guest: Guest, environment: dict[str, str]) -> AsyncIterator[None]:
    """Hold the directory for Ansible's files in the guest: by default they would stay, in /root/.ansible of the image."""
    if "ANSIBLE_REMOTE_TMP" in environment or "ANSIBLE_REMOTE_TEMP" in environment:
        yield
        return
    folder = f"/tmp/.ansible-{secrets.token_hex(6)}"  # noqa: S108 — a path in the guest
    environment["ANSIBLE_REMOTE_TMP"] = folder

    async def remove() -> None:
        await guest.run(["rm", "-rf", "--", folder])

    async with closing(remove, within=30):
        yield


async def _play(
    guest: Guest, spec: AnsibleProvisioner, environment: Mapping[str, str], context: ProvisionContext
) -> None:
    with _inventory(spec, context) as inventory:
        arguments = _arguments(spec, inventory, context)
        context.say(f"Executing Ansible: {shlex.join([spec.command, *arguments])}")
        await _run(guest, spec.command, arguments, environment, context)


async def _galaxy(
    guest: Guest, spec: AnsibleProvisioner, file: str, environment: Mapping[str, str], context: ProvisionContext
) -> None:
    for arguments in requirements(file).installs(
        file,
        force=spec.galaxy_force_install,
        with_dependencies=spec.galaxy_force_with_deps,
        roles_path=spec.roles_path,
        collections_path=spec.collections_path,
    ):
        context.say(f"Executing Ansible Galaxy: {shlex.join([spec.galaxy_command, *arguments])}")
        await _run(guest, spec.galaxy_command, arguments, environment, context)


async def _run(
    guest: Guest, command: str, arguments: Sequence[str], environment: Mapping[str, str], context: ProvisionContext
) -> None:
    if shutil.which(command, path=environment.get("PATH")) is None:
        hint = "install it (apt-get install ansible-core, pip install ansible-core), or correct the option command"
        raise HostError(f"{command} is not installed on this machine", hint=hint)
    # `env` because entering namespaces loses the working directory, where Ansible looks for ansible.cfg.
    line = ["env", f"--chdir={Path.cwd()}", command, *arguments]
    done = await guest.box.run(line, env=environment, on_line=context.on_line, check=False)
    if done.status:
        failed = ScriptFailed(command, done.status, (0,), done.tail)
        if not await _has_python(guest):
            failed.hint = (
                "the image has no Python, which most modules need: install python3 with a shell provisioner before"
            )
        raise failed


async def _has_python(guest: Guest) -> bool:
    places = ("/usr/bin/python3", "/usr/local/bin/python3", "/usr/libexec/platform-python")
    return any([await guest.exists(place) for place in places])


def _environment(guest: Guest, spec: AnsibleProvisioner, context: ProvisionContext) -> dict[str, str]:
    """That of gilder, as the user's own command on the user's machine, with what Ansible needs for the chroot."""
    given = dict(os.environ)
    if not any("utf" in given.get(name, "").lower() for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        given["LC_ALL"] = "C.UTF-8"  # Ansible refuses to start without UTF-8
    given.setdefault("ANSIBLE_HOST_KEY_CHECKING", "False")
    given.setdefault("ANSIBLE_PIPELINING", "True")  # modules go in by stdin: nothing of them stays in the image
    data = context.template_data()
    given |= dict(pair.render(data).split("=", 1) for pair in spec.ansible_env_vars)
    for name, first, others in (
        ("ANSIBLE_CONNECTION_PLUGINS", str(_PLUGINS), _OTHER_PLUGINS),
        ("ANSIBLE_ROLES_PATH", spec.roles_path, _OTHER_ROLES),
        ("ANSIBLE_COLLECTIONS_PATH", spec.collections_path, _OTHER_COLLECTIONS),
    ):
        if first:
            given[name] = f"{first}:{given.get(name) or others}"
    root = {"GILDER_CHROOT": str(guest.root), "GILDER_CHROOT_ENVIRONMENT": json.dumps(guest_environment())}
    return given | root | {"PACKER_RUN_UUID": context.run}


def _arguments(spec: AnsibleProvisioner, inventory: str, context: ProvisionContext) -> list[str]:
    data = context.template_data()
    extra, dropped = own_arguments([argument.render(data) for argument in spec.extra_arguments], context.mount_path)
    if dropped:
        context.say(f"Not needed, gilder connects Ansible to the chroot itself: {shlex.join(dropped)}")
    name = json.dumps(context.build, ensure_ascii=False)
    limit = ["--limit", spec.limit] if spec.limit else []
    return [
        *("-e", f"packer_build_name={name}", "-e", f"packer_builder_type={context.builder_type}"),
        f"--connection={CONNECTION}",  # for hosts of inventories that do not say how to reach them
        *limit,
        *extra,
        *("-i", inventory, spec.playbook_file),
    ]


def own_arguments(arguments: Sequence[str], mount_path: Path) -> tuple[list[str], list[str]]:
    """The arguments less those by which templates reach a chroot under Packer, and those.

    Packer's documentation has `--connection=chroot` and `--inventory-file=MOUNT_PATH,` for it; left in, the first would need
    a collection that is not installed, and the second a host that is not ours.
    """
    kept: list[str] = []
    dropped: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, value, words = _option(argument, rest)
        is_ours = name in ("--inventory", "--inventory-file", "-i") and Path(value.rstrip(",")) == mount_path
        (dropped if is_ours or name in ("--connection", "-c") else kept).extend(words)
    return kept, dropped


def _option(argument: str, rest: Iterator[str]) -> tuple[str, str, list[str]]:
    """The option that an argument is, its value, and the words that it takes up."""
    names = ("--connection", "--inventory", "--inventory-file")
    name, equals, value = argument.partition("=")
    if equals and name in names:
        return name, value, [argument]
    if argument in (*names, "-c", "-i"):
        following = next(rest, None)
        return argument, following or "", [argument, *([] if following is None else [following])]
    if argument[:2] in ("-c", "-i") and len(argument) > 2:
        return argument[:2], argument[2:], [argument]
    return argument, "", [argument]


@contextmanager
def _inventory(spec: AnsibleProvisioner, context: ProvisionContext) -> Iterator[str]:
    """The inventory: the user's, or one made for the time of the block (it stays with keep_inventory_file)."""
    if spec.inventory_file is not None:
        yield spec.inventory_file
        return
    text = inventory_text(spec, context)
    try:
        handle, path = tempfile.mkstemp(prefix="packer-provisioner-ansible", dir=spec.inventory_directory)
    except OSError as error:
        raise HostError(f"an inventory cannot be written: {error}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        yield path
    finally:
        if not spec.keep_inventory_file:
            Path(path).unlink(missing_ok=True)


def inventory_text(spec: AnsibleProvisioner, context: ProvisionContext) -> str:
    """The guest, on its own and in each of its groups, and the empty groups."""
    user, host = spec.user or "root", str(context.mount_path)
    if spec.inventory_file_template is not None:
        data = {"HostAlias": spec.host_alias, "Host": host, "User": user, "Port": "22"}
        line = spec.inventory_file_template.render({**context.template_data(), **data})
    else:
        line = f"{spec.host_alias} ansible_connection={CONNECTION} ansible_host={host} ansible_user={user}\n"
    groups = [f"[{group}]\n{line}" for group in spec.groups]
    return "".join([line, *groups, *(f"[{group}]\n" for group in spec.empty_groups)])
