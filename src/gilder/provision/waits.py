"""`sleep` and `breakpoint`: provisioners that wait, for the clock or for a person."""

from __future__ import annotations

import anyio

from gilder.host.guest import Guest
from gilder.model.errors import UserError
from gilder.model.provisioners import BreakpointProvisioner, SleepProvisioner
from gilder.provision.context import ProvisionContext


async def run_sleep(spec: SleepProvisioner, context: ProvisionContext) -> None:
    """Wait for a while."""
    context.say(f"Sleeping for {spec.duration:g} s")
    await anyio.sleep(spec.duration)


async def run_breakpoint(guest: Guest, spec: BreakpointProvisioner, context: ProvisionContext) -> None:
    """Wait until a person lets the build go on; tells them how to look inside. Raises UserError where nobody can answer."""
    note = f' with note "{spec.note}"' if spec.note else ""
    if spec.disable:
        context.say(f"Breakpoint{note} is disabled; continuing")
        return
    if context.wait_for_person is None:
        raise UserError(
            f"the breakpoint{note} has nobody to ask: there is no terminal",
            hint="remove it, or set its option disable",
        )
    context.say(f"Pausing at breakpoint{note}. Look inside with: {guest.enter_hint}")
    await context.wait_for_person(f"{context.build}: press enter to continue.")
