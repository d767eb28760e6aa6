"""The tenant of a subscription, which Resource Manager tells everybody: it refuses a request without a token so."""

from __future__ import annotations

import re
from random import Random

import aiohttp
import anyio

from gilder.azure.cloud import Cloud, tls_context
from gilder.model.errors import CloudError, NotFound, Refused, Throttled, Unreachable, UserError
from gilder.runtime.backoff import retry_delays

PATIENCE = 20.0
"""Seconds for which a service without an answer, or without time, is asked again: nothing has begun yet."""
_CHALLENGE = re.compile(r"authorization(?:_uri)?=\"https://[^\"]*?/([0-9a-zA-Z.-]+)/?\"")


async def tenant_of(subscription: str, cloud: Cloud) -> str:
    """The tenant that a subscription belongs to.

    Raises UserError for what cannot be a subscription, NotFound when there is none such in this cloud, Unreachable and
    Throttled when there is no answer for a while, Refused for one without sense.
    """
    waits = retry_delays(Random())  # noqa: S311 — jitter, not a secret
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            return await _asked(subscription, cloud)
        except (Unreachable, Throttled) as error:
            wait = max(next(waits), (error.retry_after or 0.0) if isinstance(error, Throttled) else 0.0)
            if anyio.current_time() + wait > deadline:
                raise
        await anyio.sleep(wait)


async def _asked(subscription: str, cloud: Cloud) -> str:
    url = f"{cloud.resource_manager}/subscriptions/{subscription}"
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, params={"api-version": "2022-12-01"}, ssl=tls_context(cloud)) as answer,
        ):
            found = _CHALLENGE.search(answer.headers.get("WWW-Authenticate", ""))
            if found is not None:
                return found[1]
            raise _refusal(subscription, cloud, answer, await answer.text(errors="replace"))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(
            f"no answer of {cloud.resource_manager} while looking up the tenant: {error}", hint="check the network"
        ) from error


def _refusal(
    subscription: str, cloud: Cloud, answer: aiohttp.ClientResponse, body: str
) -> CloudError | Refused | UserError:
    """What an answer without a challenge means."""
    status, doing = answer.status, f"while looking up the tenant of subscription {subscription} (HTTP {answer.status})"
    if status == 429:
        throttled = Throttled(f"too many requests to {cloud.resource_manager} {doing}", status=status)
        after = answer.headers.get("Retry-After", "")
        throttled.retry_after = float(after) if after.isdecimal() else None
        return throttled
    if status >= 500 or status == 408:
        return Unreachable(f"{cloud.resource_manager} has no answer {doing}", status=status, hint="try again later")
    if status == 400 and "InvalidSubscriptionId" in body:
        return UserError(
            f"{subscription!r} cannot be a subscription", hint="subscription_id is its id: az account list"
        )
    if status == 404:
        return NotFound(
            f"there is no subscription {subscription} in the cloud {cloud.name}",
            code="SubscriptionNotFound",
            status=404,
            hint="correct subscription_id or cloud_environment_name",
        )
    return Refused(
        f"{cloud.resource_manager} does not tell the tenant of subscription {subscription} (HTTP {status})",
        hint="give tenant_id",
    )
