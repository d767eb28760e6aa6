"""Creating a resource and waiting until it is there, whatever passing trouble comes between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from gilder.azure.arm import PASSING, PATIENCE, Arm
from gilder.azure.operations import Begun, Operation, Usual, looks, unheard
from gilder.azure.settling import MAY_SUCCEED_AGAIN, settled, surely
from gilder.model.errors import CloudError, Conflict, OperationFailed, Unreachable, Untold
from gilder.model.ids import ArmId

_TAKEN = "PropertyChangeNotAllowed"
"""Code of a 409 after which no try can succeed: a resource of this name is there, and was made otherwise (recorded)."""

_TRIES = 3
"""How many operations are begun before the failure of one counts, or how often it is tried before a lost answer does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A resource to create.

    Attributes:
        begin: the SDK's call that creates or updates it, given its resource group, its names and `body`.
        state: reads its provisioning state; "" when there is none, FOREIGN when this creation cannot have made it.
        usual: how long it usually takes.
        doing: completes "while …".
    """

    id: ArmId
    begin: Callable[..., Awaitable[Any]]
    body: Any
    state: Callable[[], Awaitable[str]]
    usual: Usual
    doing: str


async def created(
    arm: Arm, creation: Creation, begun: Begun = unheard, waiting: Callable[[str], None] = lambda what: None
) -> Mapping[str, Any]:
    """Create it and wait until it is there; returns it as far as the service tells. Raises CloudError.

    `begun` hears of each operation, `waiting` of the time in which Azure lets it wait.

    When no answer comes, the request may have had its effect all the same: sending it again would then be refused as a
    conflict with itself, and the build lost. So the resource is looked at first. An operation that ends in a failure that
    passes is begun again; where a later try fails otherwise, the first failure is told too, for it may be the cause.

    Patience is for trouble: if what Azure lets a request wait used it up, the first lost answer after a long queue would cost
    an image that was made.
    """
    first: CloudError | None = None
    in_doubt, since, waits = False, math.inf, arm.backoff()
    for tries in itertools.count(1):
        try:
            at = (creation.id.resource_group, *creation.id.names)
            operation = await arm.change(
                creation.doing, creation.begin, *at, creation.body, repeatable=False, waiting=waiting
            )
            if operation is not None:
                await begun(operation)
            return await _seen_through(arm, creation, operation)
        except CloudError as error:
            in_doubt = in_doubt or isinstance(error, Unreachable)
            if not isinstance(error, OperationFailed):
                since = min(since, anyio.current_time())
            last, late = tries >= _TRIES, anyio.current_time() > since + PATIENCE
            if not _may_pass(error, in_doubt=in_doubt, last=last, late=late):
                if in_doubt and isinstance(error, Unreachable | Conflict) and await _surely_there(creation):
                    return {}
                if error.code == _TAKEN:
                    raise _taken(error, creation) from error
                if first is not None and first.message != error.message:
                    raise error.adding(f"\nThe first try: {first.message}") from error
                raise
            first = first or error
        await anyio.sleep(next(waits))
        if in_doubt and await _there(creation):
            return {}
    raise AssertionError("the loop has no end")


async def _seen_through(arm: Arm, creation: Creation, operation: Operation | None) -> Mapping[str, Any]:
    """Wait for the end of the operation; where the cloud refuses to tell of it, look at what became of the resource."""
    try:
        return await arm.finished(creation.id.subscription, operation, looks(creation.usual))
    except Untold:
        # A refused look is no failure: an image under way would be given up and, in a recovery, its snapshot deleted.
        if await surely(creation.state, creation.usual) == "Succeeded":
            return {}
        raise


def _may_pass(error: CloudError, *, in_doubt: bool, last: bool, late: bool) -> bool:
    match error:
        case OperationFailed():
            return error.code in MAY_SUCCEED_AGAIN and not last
        case Unreachable():
            return not (last and late)
        case Conflict():  # in doubt it may be a conflict with the request whose answer was lost
            return (in_doubt or error.code in PASSING) and error.code != _TAKEN and not (last and late)
        case _:
            return False


def _taken(error: CloudError, creation: Creation) -> Conflict:
    return Conflict(
        f"somebody else made {creation.id} meanwhile: {error.message}",
        code=error.code,
        status=error.status,
        hint="it stays as it is; choose another name, or let only one of you make it",
    )


async def _there(creation: Creation) -> bool:
    """Whether a request without an answer made it after all; waits while that is being done."""
    return await settled(creation.state, creation.usual) == "Succeeded"


async def _surely_there(creation: Creation) -> bool:
    """The same before it is given up."""
    return await surely(creation.state, creation.usual) == "Succeeded"
