"""The `ansible-local` provisioner: a playbook run in the guest, by the Ansible that is installed there."""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gilder.host.guest import Guest
from gilder.model.errors import HostError, ScriptFailed
from gilder.model.provisioners import AnsibleLocalProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.galaxy import requirements
from gilder.runtime.release import closing

_STAGING = "/tmp/packer-provisioner-ansible-local"  # noqa: S108 — the documented default, a path in the guest
_INVENTORY = "packer-provisioner-ansible-local-inventory"
_NOT_FOUND = 127


async def run_ansible_local(guest: Guest, spec: AnsibleLocalProvisioner, context: ProvisionContext) -> None:
    """Upload the playbooks and what belongs to them, and run them in the guest.

    Raises ScriptFailed when Ansible ends with another status than 0, HostError when something cannot be uploaded.
    """
    context.say("Provisioning with Ansible...")
    folder = spec.staging_directory or f"{_STAGING}/{uuid.uuid4()}"
    async with _staged(guest, folder, keep=not spec.clean_staging_directory) as stage:
        work = _Work(guest, spec, context, stage)
        playbooks = await work.upload()
        await work.install()
        for playbook in playbooks:
            await work.play(playbook)


@asynccontextmanager
async def _staged(guest: Guest, folder: str, *, keep: bool) -> AsyncIterator[str]:
    """Hold the staging directory; with `keep` it stays in the image."""

    async def remove() -> None:
        if not keep:
            await guest.run(["rm", "-rf", "--", folder])
            if Path(folder).parent == Path(_STAGING):
                await guest.run(
                    ["rmdir", "--", _STAGING], check=False
                )  # another provisioner may have left its own there

    async with closing(remove, within=60):
        yield folder


@dataclass(frozen=True, slots=True)
class _Work:
    guest: Guest
    spec: AnsibleLocalProvisioner
    context: ProvisionContext
    stage: str

    async def upload(self) -> list[str]:
        """Put everything into the staging directory; the playbooks' paths there."""
        spec = self.spec
        await self._folder(self.stage, spec.playbook_dir)
        playbooks = [await self._playbook(file) for file in spec.playbook_files]
        if spec.playbook_file is not None:
            playbooks = [await self._file(spec.playbook_file)]
        for file in (spec.galaxy_file, spec.inventory_file):
            if file is not None:
                await self._file(file)
        if spec.inventory_file is None:
            groups = "".join(f"[{group}]\n127.0.0.1\n" for group in spec.inventory_groups)
            await self.guest.fill(f"{self.stage}/{_INVENTORY}", (groups or "127.0.0.1\n").encode())
        for name, folder in (("group_vars", spec.group_vars), ("host_vars", spec.host_vars)):
            if folder is not None:
                await self._folder(f"{self.stage}/{name}", folder)
        for name, folders in (
            ("roles", spec.role_paths),
            ("collections", spec.collection_paths),
            ("playbooks", spec.playbook_paths),
        ):
            for folder in folders:
                await self._folder(f"{self.stage}/{name}/{Path(folder).name}", folder)
        return playbooks

    async def install(self) -> None:
        """Let ansible-galaxy install, in the guest, what the playbooks need."""
        spec = self.spec
        if spec.galaxy_file is None:
            return
        for arguments in requirements(spec.galaxy_file).installs(
            f"{self.stage}/{Path(spec.galaxy_file).name}",
            force=spec.galaxy_force_install,
            with_dependencies=spec.galaxy_force_with_deps,
            roles_path=self._roles,
            collections_path=self._collections,
        ):
            text = f"cd {shlex.quote(self.stage)} && {spec.galaxy_command} {shlex.join(arguments)}"
            await self._run(text, spec.galaxy_command, "Executing Ansible Galaxy")

    async def play(self, playbook: str) -> None:
        """Run one playbook. The command and extra_arguments are the user's own shell text, as under Packer."""
        spec, context = self.spec, self.context
        inventory = f"{self.stage}/{Path(spec.inventory_file).name if spec.inventory_file else _INVENTORY}"
        told = shlex.quote(f"packer_build_name={context.build} packer_builder_type={context.builder_type}")
        words = [
            *self._paths(),
            spec.command,
            shlex.quote(playbook),
            f"--extra-vars {told}",
            *spec.extra_arguments,
            f"-c local -i {shlex.quote(inventory)}",
        ]
        await self._run(f"cd {shlex.quote(self.stage)} && {' '.join(words)}", spec.command, "Executing Ansible")

    @property
    def _roles(self) -> str:
        return self.spec.galaxy_roles_path or f"{self.stage}/galaxy_roles"

    @property
    def _collections(self) -> str:
        return self.spec.galaxy_collections_path or f"{self.stage}/galaxy_collections"

    def _paths(self) -> list[str]:
        """Where Ansible finds what was installed or uploaded, beside where the guest's own settings say."""
        spec = self.spec
        wanted = requirements(spec.galaxy_file) if spec.galaxy_file else None
        collections = [self._collections] if wanted and wanted.collections else []
        collections += [f"{self.stage}/collections"] if spec.collection_paths else []
        found = []
        if collections:
            found.append(_path("ANSIBLE_COLLECTIONS_PATH", ":".join(collections)))
        if wanted and wanted.roles:
            found.append(_path("ANSIBLE_ROLES_PATH", self._roles))
        return found

    async def _run(self, text: str, command: str, doing: str) -> None:
        self.context.say(f"{doing}: {text}")
        done = await self.guest.run(text, on_line=self.context.on_line, check=False)
        if done.status == _NOT_FOUND:
            hint = "install it with a shell provisioner before (apt-get install ansible-core), or correct the command"
            raise HostError(f"{command} could not be found in the image", hint=hint)
        if done.status:
            raise ScriptFailed(command, done.status, (0,), done.tail)

    async def _playbook(self, file: str) -> str:
        """One of playbook_files: part of playbook_dir, or uploaded under its whole path."""
        if self.spec.playbook_dir is not None and Path(file).is_relative_to(self.spec.playbook_dir):
            return f"{self.stage}/{os.path.relpath(file, self.spec.playbook_dir)}"
        await self._make(f"{self.stage}{Path(file).parent}")
        return await self._file(file, f"{self.stage}{file}")

    async def _file(self, file: str, target: str = "") -> str:
        target = target or f"{self.stage}/{Path(file).name}"
        self.context.say(f"Uploading {file} => {target}")
        await self.guest.upload(file, target)
        return target

    async def _folder(self, target: str, source: str | None) -> None:
        await self._make(target)
        if source is not None:
            self.context.say(f"Uploading {source} => {target}")
            await self.guest.upload(source.rstrip("/") + "/", target)

    async def _make(self, folder: str) -> None:
        await self.guest.run(["mkdir", "-p", "--", folder])


def _path(name: str, value: str) -> str:
    return f'{name}="${{{name}:+${name}:}}"{shlex.quote(value)}'
