"""The `shell` provisioner: scripts run inside the guest."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from gilder.host.guest import Guest
from gilder.host.sandbox import FileRefused
from gilder.model.base import Delayed
from gilder.model.errors import HostError, ScriptFailed
from gilder.model.provisioners import ShellProvisioner
from gilder.provision.context import ProvisionContext
from gilder.provision.variables import IN_FILE, IN_LINE, joined, variables
from gilder.runtime.release import closing

_SHEBANG = "/bin/sh -e"


@dataclass(frozen=True, slots=True)
class _Script:
    name: str
    data: bytes


async def run_shell(guest: Guest, spec: ShellProvisioner, context: ProvisionContext) -> None:
    """Upload each script, run it, check its status, remove it.

    Raises ScriptFailed for a status that is not allowed, HostError when a script cannot be read here or written there,
    UserError when a template in it cannot be rendered.
    """
    pick = random.randrange(9999)  # noqa: S311 — a file name, not a secret
    path = spec.remote_path or f"{spec.remote_folder}/{spec.remote_file or f'script_{pick}.sh'}"
    given = variables(spec.environment_vars, spec.env, context)
    async with _variable_file(guest, spec, given, pick) as variable_file:
        for script in [_inline(spec, context)] if spec.inline is not None else map(_from_file, spec.scripts):
            context.say(f"Provisioning with shell script: {script.name}")
            data = script.data if spec.binary else _unix_lines(script.data)
            command = _command(spec, path, given, variable_file, context)
            await _run_one(guest, spec, context, _Script(script.name, data), path, command)
    if spec.pause_after:
        await anyio.sleep(spec.pause_after)


async def _run_one(
    guest: Guest, spec: ShellProvisioner, context: ProvisionContext, script: _Script, path: str, command: str
) -> None:
    async def undo() -> None:
        if not spec.skip_clean:
            await guest.remove(path)

    # Removed also after a failure, which `continue_on_error` may have survived: a script may hold secrets.
    async with closing(undo, within=30):
        await _put(guest, path, script.data, 0o755)
        done = await guest.run(command, on_line=context.on_line, check=False)
    if done.status not in spec.valid_exit_codes:
        raise ScriptFailed(script.name, done.status, spec.valid_exit_codes, done.tail)


async def _put(guest: Guest, path: str, data: bytes, mode: int) -> None:
    try:
        await guest.write(path, data, mode)
    except FileRefused as error:
        # Not tried again for minutes (start_retry_timeout): a chroot that has no such directory will not get one.
        raise HostError(
            f"a script cannot be put at {path} in the image: {error.message}",
            hint="remote_folder names a directory of the image that scripts may be put into",
        ) from error


@asynccontextmanager
async def _variable_file(
    guest: Guest, spec: ShellProvisioner, given: Mapping[str, str], pick: int
) -> AsyncIterator[str]:
    """Hold the file with the variables in the guest; yields its path, or "" without `use_env_var_file`."""
    if not spec.use_env_var_file:
        yield ""
        return
    path = f"{spec.remote_folder}/varfile_{pick}.sh"
    text = joined(given, spec.env_var_format or IN_FILE)

    async def undo() -> None:
        await guest.remove(path)

    async with closing(undo, within=30):
        await _put(guest, path, text.encode(), 0o600)
        yield path


def _inline(spec: ShellProvisioner, context: ProvisionContext) -> _Script:
    lines = [_rendered(line, context) for line in spec.inline or ()]
    text = "".join(f"{line}\n" for line in lines)
    if spec.inline_shebang != _SHEBANG or not text.startswith("#!"):
        text = f"#!{spec.inline_shebang}\n{text}"
    return _Script("inline script", text.encode(errors="surrogateescape"))


def _from_file(path: str) -> _Script:
    try:
        return _Script(path, Path(path).read_bytes())
    except OSError as error:
        raise HostError(f"the script {path} cannot be read: {error}") from error


def _rendered(text: Delayed, context: ProvisionContext) -> str:
    return text.render(context.template_data())


def _unix_lines(data: bytes) -> bytes:
    """Lines that end as Unix has it, the last one too."""
    data = data.replace(b"\r\n", b"\n")
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _command(
    spec: ShellProvisioner, path: str, given: Mapping[str, str], variable_file: str, context: ProvisionContext
) -> str:
    words = joined(given, spec.env_var_format or IN_LINE)
    data = {**context.template_data(), "Vars": words, "Path": path, "EnvVarFile": variable_file}
    if spec.execute_command is not None:
        return spec.execute_command.render(data)
    if spec.use_env_var_file:
        return f"chmod +x {path}; . {variable_file} && {path}"
    return f"chmod +x {path}; {words} {path}"
