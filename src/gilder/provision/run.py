"""Running a build's provisioners, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import assert_never

from gilder.host.guest import Guest
from gilder.model.provisioners import (
    AnsibleLocalProvisioner,
    AnsibleProvisioner,
    BreakpointProvisioner,
    FileProvisioner,
    Provisioner,
    ShellLocal,
    ShellProvisioner,
    SleepProvisioner,
)
from gilder.provision.ansible import run_ansible
from gilder.provision.ansible_local import run_ansible_local
from gilder.provision.context import ProvisionContext
from gilder.provision.file import run_file
from gilder.provision.shell import run_shell
from gilder.provision.shell_local import run_shell_local
from gilder.provision.waits import run_breakpoint, run_sleep
from gilder.provision.wrap import wrapped


async def provision(guest: Guest, provisioners: Sequence[Provisioner], context: ProvisionContext) -> None:
    """Run provisioners in order. Raises GilderError (ScriptFailed, ProvisionerTimedOut, HostError …) at the first that
    fails for good."""
    for spec in provisioners:
        await wrapped(spec.type, spec.wrap, context, partial(_run_one, guest, spec, context))


async def _run_one(guest: Guest, spec: Provisioner, context: ProvisionContext) -> None:
    match spec:
        case ShellProvisioner():
            await run_shell(guest, spec, context)
        case FileProvisioner():
            await run_file(guest, spec, context)
        case ShellLocal():
            await run_shell_local(spec, context, guest.box)
        case SleepProvisioner():
            await run_sleep(spec, context)
        case BreakpointProvisioner():
            await run_breakpoint(guest, spec, context)
        case AnsibleProvisioner():
            await run_ansible(guest, spec, context)
        case AnsibleLocalProvisioner():
            await run_ansible_local(guest, spec, context)
        case _:
            assert_never(spec)
