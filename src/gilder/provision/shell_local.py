"""`shell-local`: scripts run on this machine, as a provisioner or once an image is there."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from gilder.host.run import run
from gilder.host.sandbox import Sandbox
from gilder.model.errors import HostError, ScriptFailed
from gilder.model.provisioners import ShellLocal
from gilder.provision.context import ProvisionContext
from gilder.provision.variables import IN_LINE, joined, variables


async def run_shell_local(
    spec: ShellLocal,
    context: ProvisionContext,
    box: Sandbox | None = None,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run each script here, in the working directory, with the environment that gilder was started with.

    `extra` are further environment variables. With `box` it runs in that build's namespaces, where it sees the mounted
    root. Raises ScriptFailed for a status that is not allowed, HostError when a script is missing, UserError when a text
    cannot be rendered.
    """
    if spec.only_on and "linux" not in spec.only_on:
        context.say(f"Skipping shell-local: it is only for {', '.join(spec.only_on)}")
        return
    data = context.template_data()
    words = joined(variables(spec.environment_vars, spec.env, context), spec.env_var_format or IN_LINE)
    inline = "".join(f"{line.render(data)}\n" for line in spec.inline or ())
    async with _scripts(spec, inline, box) as scripts:
        for name, path in scripts:
            context.say(f"Running local shell script: {name}")
            filled = {**data, "Vars": words, "Script": path, "Command": inline.strip()}
            command = ["/bin/sh", "-c", f"{words} {shlex.quote(path)}"]
            if spec.execute_command is not None:
                command = [word.render(filled) for word in spec.execute_command]
                if len(command) == 1:  # a whole command line in one text
                    command = ["/bin/sh", "-c", *command]
            await _run_one(spec, context, box, name, command, {"PACKER_RUN_UUID": context.run, **extra})


async def _run_one(
    spec: ShellLocal,
    context: ProvisionContext,
    box: Sandbox | None,
    name: str,
    command: list[str],
    extra: Mapping[str, str],
) -> None:
    # `env` because entering namespaces loses the working directory.
    done = await run(
        ["env", f"--chdir={Path.cwd()}", *command],
        prefix=box.prefix if box else (),
        env={**os.environ, **extra},
        on_line=context.on_line,
        check=False,
        linger=box.lingering if box else context.lingering,
    )
    if done.status not in spec.valid_exit_codes:
        raise ScriptFailed(name, done.status, spec.valid_exit_codes, done.tail)


@asynccontextmanager
async def _scripts(spec: ShellLocal, inline: str, box: Sandbox | None) -> AsyncIterator[list[tuple[str, str]]]:
    """The scripts as names to show and paths to run; inline ones are a file while inside.

    It may hold secrets, so that of a build is in its sandbox: in /tmp a killed gilder would leave it behind.
    """
    if spec.inline is None:
        for path in spec.scripts:
            if not Path(path).is_file():
                raise HostError(f"the script {path} cannot be read: there is no such file")
        yield [(path, path) for path in spec.scripts]
        return
    data = f"#!{spec.inline_shebang}\n{inline}".encode(errors="surrogateescape")
    if box is not None:
        async with box.file("shell-local.sh", data, 0o700) as path:
            yield [("inline script", path)]
        return
    handle, path = tempfile.mkstemp(prefix="gilder-shell-", suffix=".sh")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(path).chmod(0o700)
        yield [("inline script", path)]
    finally:
        Path(path).unlink(missing_ok=True)
