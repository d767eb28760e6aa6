"""One access token for everybody: asked for once, kept while it is good, renewed by one while the others wait."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import anyio
from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

from gilder.model.errors import GilderError, Throttled, Unreachable

MARGIN = 300.0
"""Seconds before its end at which a token is renewed, but never more than the last fifth of its life: a token that lives
for seconds would otherwise be asked for with every request."""
PAUSE = 5.0
"""Seconds for which a refusal is not asked for again: many builds wait for the same answer."""
LINGER = 5.0
"""Seconds that anybody waits for the renewal of a token that still counts: a service that hangs must hold up nobody."""
AGAIN = 30.0
"""Seconds after which the renewal of a token that still counts is tried again."""
MOMENT = 0.5
"""The same for an answer that did not come, or was "later": those who waited for it share it, then one tries again."""


class SharedToken:
    """The credential that all clients of a run share, as azure-core takes credentials.

    azure-core asks for the token with every request once it is near its end, from each client apart, and azure-identity
    lets each of them ask the service. Here one asks.

    This machine's clock may be wrong, and be put right meanwhile. So it is only compared with the end of a token; all else is
    measured by one that does not jump. A refusal would be believed, and a token that Azure refuses be kept, for as long as
    the clock was wrong.

    Args:
        ask: gets a new token from the service; raises a GilderError.
        close: closes what `ask` uses.
        now: seconds since the epoch, as `expires_on` counts.
        clock: seconds that pass, from whenever.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[AccessTokenInfo]],
        close: Callable[[], Awaitable[None]],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._ask = ask
        self._close = close
        self._now = now
        self._clock = clock
        self._lock = anyio.Lock()
        self._token: AccessTokenInfo | None = None
        self._asked_at = -math.inf
        self._renew_at = -math.inf
        self._refusal: tuple[float, GilderError] | None = None

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """The token, renewed when it nears its end; raises what `ask` raises."""
        if self._left() > LINGER:
            with anyio.move_on_after(LINGER):
                return await self._shared(scopes[0])
            if self._token is not None:
                return self._token
        return await self._shared(scopes[0])

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """The same for callers of the older kind."""
        found = await self.get_token_info(*scopes)
        return AccessToken(found.token, found.expires_on)

    def forget(self, asked_before: float) -> None:
        """A request that began at `asked_before` (by `clock`) met a refusal of its token: ask for another.

        Unless that was done since; else each of many builds would throw away the token that another has just got.
        """
        if self._asked_at <= asked_before:
            self._token = None

    def _left(self) -> float:
        """Seconds for which the token that is there still counts; 0 without one."""
        return max(0.0, self._token.expires_on - self._now()) if self._token is not None else 0.0

    async def _shared(self, scope: str) -> AccessTokenInfo:
        async with self._lock:
            if self._token is not None and self._left() > 0 and self._clock() < self._renew_at:
                return self._token
            if self._refusal is not None and self._clock() < self._refusal[0]:
                raise self._refusal[1]
            return await self._renewed(scope)

    async def _renewed(self, scope: str) -> AccessTokenInfo:
        began = self._clock()
        try:
            token = await self._ask(scope)
        except GilderError as error:
            if self._token is not None and self._left() > 0:
                return self._token
            passing = isinstance(error, Throttled | Unreachable)
            self._refusal = (self._clock() + (MOMENT if passing else PAUSE), error)
            raise
        finally:  # also when nobody waits for the answer any more; what comes in time replaces it
            self._renew_at = self._clock() + AGAIN
        self._token, self._refusal, self._asked_at = token, None, began
        life = token.expires_on - self._now()
        serves = life - min(MARGIN, life / 5)
        if token.refresh_on:
            serves = min(serves, token.refresh_on - self._now())
        self._renew_at = self._clock() + serves
        return token

    async def close(self) -> None:
        """Close what asking needs."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()
