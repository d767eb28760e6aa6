"""What any provisioner may have around it: a pause before, a time limit, further tries, a blind eye."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from gilder.model.errors import GilderError, ProvisionerTimedOut
from gilder.model.provisioners import Wrap
from gilder.provision.context import ProvisionContext

Step = Callable[[], Awaitable[None]]


async def wrapped(kind: str, wrap: Wrap, context: ProvisionContext, step: Step) -> None:
    """Run `step`, a provisioner of `kind`, as its `wrap` says.

    From the inside: the limit is for the provisioner alone, the pause comes before each try, and
    `continue_on_error` is outermost. Raises what the last try raised, ProvisionerTimedOut for the limit.
    """
    try:
        await _tried(kind, wrap, context, step)
    except GilderError as error:
        if not wrap.continue_on_error:
            raise
        context.say(
            f"Warning: Provisioner failed with {error.message!r}, but continue_on_error is set; continuing the build."
        )


async def _tried(kind: str, wrap: Wrap, context: ProvisionContext, step: Step) -> None:
    for left in range(wrap.max_retries, -1, -1):
        try:
            await _once(kind, wrap, context, step)
        except GilderError as error:
            if not left:
                if wrap.max_retries:
                    context.say("retry limit reached.")
                    error.add_note(f"the {kind} provisioner was tried {wrap.max_retries + 1} times")
                raise
            context.say(f"Provisioner failed with {error.message!r}, retrying with {left} trie(s) left")
        else:
            return


async def _once(kind: str, wrap: Wrap, context: ProvisionContext, step: Step) -> None:
    if wrap.pause_before:
        context.say(f"Pausing {wrap.pause_before:g}s before the next provisioner...")
        await anyio.sleep(wrap.pause_before)
    with anyio.move_on_after(wrap.timeout) as limit:
        await step()
    if limit.cancelled_caught:
        raise ProvisionerTimedOut(f"the {kind} provisioner did not end within its timeout of {wrap.timeout:g} s")
