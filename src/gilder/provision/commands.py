"""The template's host-side commands: pre_mount_commands, post_mount_commands, pre_unmount_commands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from gilder.host.sandbox import Sandbox
from gilder.model.spec import Delayed
from gilder.provision.context import ProvisionContext


async def run_commands(
    box: Sandbox,
    commands: Sequence[Delayed],
    data: Mapping[str, str],
    context: ProvisionContext,
    *,
    where: str,
) -> None:
    """Render each with `data` (`Device`, `MountPath`) and run it by /bin/sh on this machine, in the build's namespaces,
    through the `command_wrapper`. `where` names the option in errors. Raises CommandFailed at the first failure."""
    for command in commands:
        text = command.render(data)
        context.say(f"Executing command: {text}")
        # The user's own commands on the user's own machine: they get the environment that gilder was started with.
        await box.run(box.shell(text), env=dict(os.environ), on_line=context.on_line, where=where, linger=True)
