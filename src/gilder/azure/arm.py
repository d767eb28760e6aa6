"""One connection to Resource Manager: requests with retries in one place, long-running operations at gilder's cadence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from json import JSONDecodeError
from random import Random
from typing import Any, TypeVar

import anyio
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient

from gilder.azure.answers import retry_after
from gilder.azure.api_versions import OlderVersions
from gilder.azure.budgets import BudgetPolicy, Budgets
from gilder.azure.clock import ServiceClock
from gilder.azure.cloud import Cloud
from gilder.azure.errors import cloud_error, unreadable
from gilder.azure.operations import Looks, Operation, Progress, operation_of, progress_of
from gilder.azure.tokens import SharedToken
from gilder.azure.transport import AnswerWithin
from gilder.model.errors import CloudError, Conflict, Denied, OperationFailed, Throttled, Unreachable, Untold
from gilder.model.events import THROTTLED
from gilder.runtime.backoff import Pace, retry_delays
from gilder.runtime.release import closing

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds that a request is tried again for before its last refusal counts."""

THROTTLE_PATIENCE = 3600.0
"""Seconds that a throttled request waits: at 20 images a minute, the last of a thousand waits 47 minutes."""

SILENCE = 3600.0
"""Seconds without an answer about an operation after which nobody looks at it any more."""

HURRIED_AT_ONCE = 150
PLENTY = 0.8
"""The share of the hurried looks at once that must be left for one that only hopes that an operation ends before its time."""

_WORTH_TELLING = 3.0
"""Seconds of waiting for another try from which on a person hears of it."""

PASSING = {
    "RetryableError",
    "InternalExecutionError",
    "ConflictingConcurrentWriteNotAllowed",
    "AnotherOperationInProgress",
}
"""Error codes of a 409 that ask to try again (wire recordings and issues; see azure-cli and bosh-azure-cpi reports)."""

_STALE_TOKEN = {"ExpiredAuthenticationToken", "InvalidAuthenticationToken"}
"""Error codes of a 401 after which a new token may help."""


def _unheard(what: str) -> None:
    """Nobody wants to know of a wait."""


class Arm:
    """Resource Manager as gilder uses it: the SDK's clients, one a subscription, over one transport.

    The SDK's own retries are off: they resend a POST on 503 and sleep any Retry-After unseen.
    """

    def __init__(
        self,
        cloud: Cloud,
        credential: AsyncTokenCredential,
        transport: AsyncHttpTransport[Any, Any],
        *,
        tell: Callable[[str], None] = lambda text: None,
        rng: Random | None = None,
    ) -> None:
        self.cloud = cloud
        self.clock = ServiceClock()
        self._credential = credential
        self._transport = transport
        self._tell = tell
        self._rng = rng or Random()  # noqa: S311 — jitter, not a secret
        self.budgets = Budgets()
        self.last_refusal: CloudError | None = None
        """Why the request that is being tried again was refused last; None once one is answered."""
        self._clients: dict[str, ComputeManagementClient] = {}
        self._lanes: dict[str, anyio.Lock] = {}
        # Resource Manager gives one principal 250 reads at once, then 25 a second (docs/decisions/0008).
        self.hurried = Pace(HURRIED_AT_ONCE, 15.0)
        """Turns to look at operations that somebody waits for with something to hold, such as a LUN."""
        self.unhurried = Pace(80, 8.0)
        """Turns to look at long operations."""
        self.curious = Pace(20, 2.0)
        """Turns of looks that only tell how far something is."""
        self._versions: dict[str, str] = {}

    def client(self, subscription: str) -> ComputeManagementClient:
        """The compute client of one subscription."""
        key = subscription.lower()
        if key not in self._clients:
            self._clients[key] = ComputeManagementClient(
                self._credential,
                subscription,
                base_url=self.cloud.resource_manager,
                credential_scopes=[self.cloud.scope],
                transport=self._transport,
                retry_total=0,
                retry_connect=0,
                retry_read=0,
                retry_status=0,
                per_call_policies=[
                    BudgetPolicy(self.budgets),
                    self.clock,
                    AnswerWithin(),
                    OlderVersions(self._versions),
                ],
            )
        return self._clients[key]

    async def ask(
        self,
        doing: str,
        call: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = True,
        lane: str = "",
        patient: bool = True,
        waiting: Callable[[str], None] = _unheard,
    ) -> T:
        """Make one request, again while Azure says "later"; raises a CloudError.

        A request that is not `repeatable` and whose answer was lost raises Unreachable at once: the caller
        reads what became of it. A throttled request had no effect, so it is always repeated.

        Requests of one `lane` draw from one budget. Once it is used up they queue, and only the first in the queue
        asks again: if all did, each token that comes back would be fought for by all of them. `waiting` is told of the
        queue, and "" when that is over. Who is not `patient` hears of the throttling at once, as Throttled.
        """
        if not lane or not patient:
            return await self._persistently(doing, call, repeatable=repeatable, through_throttle=patient)
        queue = self._lanes.setdefault(lane, anyio.Lock())
        if not queue.locked():
            with suppress(Throttled):
                return await self._persistently(doing, call, repeatable=repeatable, through_throttle=False)
        waiting(THROTTLED)
        try:
            async with queue:
                return await self._persistently(doing, call, repeatable=repeatable, through_throttle=True)
        finally:
            waiting("")

    async def _persistently(
        self, doing: str, call: Callable[[], Awaitable[T]], *, repeatable: bool, through_throttle: bool
    ) -> T:
        waits = self.backoff()
        start = untroubled = anyio.current_time()
        renewed = False
        while True:
            began = anyio.current_time()
            try:
                answer = await call()
            except AzureError as error:
                refusal, asked = cloud_error(error, doing), retry_after(error)
            except CloudError as error:  # asking for a token raises it
                refusal, asked = error, error.retry_after if isinstance(error, Throttled) else None
            except JSONDecodeError as error:  # the page of a proxy, or nothing at all
                refusal, asked = unreadable(doing, error), None
            else:
                self.last_refusal = None
                return answer
            if refusal.code in _STALE_TOKEN and not renewed and isinstance(self._credential, SharedToken):
                # The token ended on the way, or this machine's clock is slow: the request had no effect.
                self._credential.forget(began)
                renewed = True
                continue
            throttled = isinstance(refusal, Throttled)
            wait = asked if throttled and asked is not None else max(next(waits), asked or 0.0)
            # Time spent in a queue is none of trouble: after it, the first lost answer would have counted as the last.
            deadline = start + THROTTLE_PATIENCE if throttled else untroubled + PATIENCE
            hopeless = (throttled and not through_throttle) or not _worth_repeating(refusal, repeatable)
            if hopeless or anyio.current_time() + wait > deadline:
                raise refusal
            self.last_refusal = refusal
            if wait > _WORTH_TELLING:
                self._tell(f"{refusal.message}; again in {wait:.0f} s")
            await anyio.sleep(wait)
            if throttled:
                untroubled = anyio.current_time()

    async def change(
        self,
        doing: str,
        begin: Callable[..., Awaitable[Any]],
        *args: Any,
        repeatable: bool = True,
        patient: bool = True,
        waiting: Callable[[str], None] = _unheard,
        **options: Any,
    ) -> Operation | None:
        """Send a request that starts a long-running operation; None when it was done at once. `waiting` as in `ask`."""
        seen: list[PipelineResponse[Any, Any]] = []

        async def call() -> None:
            seen.clear()
            await begin(*args, polling=False, raw_response_hook=seen.append, **options)

        lane = getattr(begin, "__qualname__", "")
        await self.ask(doing, call, repeatable=repeatable, lane=lane, patient=patient, waiting=waiting)
        response = seen[-1].http_response
        return operation_of(doing, response.status_code, response.headers)

    async def read(self, doing: str, subscription: str, path: str, version: str) -> tuple[Any, Mapping[str, str]]:
        """GET what the SDK has no call for: the JSON and the headers of the answer; raises CloudError."""
        client = self.client(subscription)
        url = path if "?" in path else f"{path}?api-version={version}"

        async def call() -> tuple[Any, Mapping[str, str]]:
            response = await client.send_request(HttpRequest("GET", url))
            response.raise_for_status()
            return response.json(), response.headers

        return await self.ask(doing, call)

    def backoff(self, first: float = 0.5) -> Iterator[float]:
        """Endless waits between tries, in seconds."""
        return retry_delays(self._rng, first=first)

    async def token(self) -> tuple[str, float]:
        """A token for Resource Manager, and when it ends (seconds since 1970); raises Denied or Unreachable."""

        async def call() -> tuple[str, float]:
            token = await self._credential.get_token(self.cloud.scope)
            return token.token, token.expires_on

        return await self.ask("signing in", call)

    async def finished(self, subscription: str, operation: Operation | None, looks: Looks) -> Mapping[str, Any]:
        """Wait for an operation; raises OperationFailed if it ends as Failed or Canceled. Returns its output, if it tells.

        Raises Untold when the service refuses to tell of it, or does not for an hour; Denied when the identity may not ask.

        A throttled or lost look does not end the wait: the operation goes on regardless. Nor is it repeated: the next one
        comes when it would have come anyway, so that many who are refused do not all ask again at once.
        """
        if operation is None:
            return {}
        pace = self.hurried if looks.hurried else self.unhurried
        if not self._hopeful():
            await self._worth_a_look(looks)
        heard = anyio.current_time()
        while True:
            await self.pause(0.0, pace)
            progress = await self._look(subscription, operation)
            if progress is None:
                if anyio.current_time() > heard + SILENCE:
                    raise Untold(f"nothing was heard for {SILENCE / 3600:g} h of: {operation.doing}")
            elif progress.done:
                if progress.error is not None:
                    raise OperationFailed(progress.error.message, code=progress.error.code, status=200)
                return progress.output
            else:
                heard = anyio.current_time()
            await self._worth_a_look(looks)

    async def pause(self, seconds: float, pace: Pace) -> None:
        """Wait for the next look, and longer while many do: all together they must not use up what there is to read."""
        await anyio.sleep(seconds)
        await anyio.sleep(pace.wait(anyio.current_time()))

    async def _worth_a_look(self, looks: Looks) -> None:
        """Wait for a moment at which the operation should end, or at which there are looks enough to hope for that."""
        for wait in looks:
            await anyio.sleep(wait)
            if not looks.only_hopes or self._hopeful():
                return

    def _hopeful(self) -> bool:
        return self.hurried.left(anyio.current_time()) > PLENTY * HURRIED_AT_ONCE

    async def _look(self, subscription: str, operation: Operation) -> Progress | None:
        """What a look shows; None when it is not answered."""
        client = self.client(subscription)

        async def call() -> Progress:
            # The URL must be followed as given, signature and all.
            response = await client.send_request(HttpRequest("GET", operation.url))
            response.raise_for_status()
            try:
                return progress_of(operation, response)
            except JSONDecodeError as error:
                what = f"Azure tells nothing of it ({error}, HTTP {response.status_code}, while {operation.doing})"
                raise CloudError(what, status=response.status_code) from error

        try:
            return await self.ask(f"waiting: {operation.doing}", call, patient=False)
        except Throttled as refusal:
            await anyio.sleep(refusal.retry_after or 1.0)
        except Unreachable:
            await anyio.sleep(next(self.backoff(30.0)))
        except Denied:
            raise
        except CloudError as refusal:
            # A 404 or 409 of the operation must not be taken for one of the resource: a disk counted as gone, and was not.
            raise Untold(refusal.message, code=refusal.code, status=refusal.status, hint=refusal.hint) from refusal
        return None

    async def close(self) -> None:
        """Close the clients and what they share."""
        for client in self._clients.values():
            await client.close()
        await self._transport.close()
        await self._credential.close()


def _worth_repeating(refusal: CloudError, repeatable: bool) -> bool:
    match refusal:
        case Throttled():
            return True
        case Unreachable():
            return repeatable
        case Conflict():
            return repeatable and refusal.code in PASSING
        case _:
            return False


@asynccontextmanager
async def connected(
    cloud: Cloud,
    credential: AsyncTokenCredential,
    transport: AsyncHttpTransport[Any, Any],
    tell: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Arm]:
    """A connection that is closed when the block ends. `tell` hears of waits that a person would wonder about."""
    arm = Arm(cloud, credential, transport, tell=tell)
    async with closing(arm.close, within=5):
        yield arm
