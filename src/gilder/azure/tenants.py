"""The tenant of a subscription, which Resource Manager tells everybody: it refuses a request without a token so."""

from __future__ import annotations

import re

import aiohttp

from gilder.azure.cloud import Cloud, tls_context
from gilder.model.errors import NotFound, Refused, Unreachable

_CHALLENGE = re.compile(r"authorization(?:_uri)?=\"https://[^\"]*?/([0-9a-zA-Z.-]+)/?\"")


async def tenant_of(subscription: str, cloud: Cloud) -> str:
    """The tenant that a subscription belongs to.

    Raises NotFound when there is no such subscription in this cloud, Unreachable, or Refused for an answer without sense.
    """
    url = f"{cloud.resource_manager}/subscriptions/{subscription}"
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, params={"api-version": "2022-12-01"}, ssl=tls_context(cloud)) as answer,
        ):
            status, challenge = answer.status, answer.headers.get("WWW-Authenticate", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(
            f"no answer of {cloud.resource_manager} while looking up the tenant: {error}", hint="check the network"
        ) from error
    found = _CHALLENGE.search(challenge)
    if found is not None:
        return found[1]
    if status == 404:
        raise NotFound(
            f"there is no subscription {subscription} in the cloud {cloud.name}",
            code="SubscriptionNotFound",
            status=404,
            hint="correct subscription_id or cloud_environment_name",
        )
    raise Refused(
        f"{cloud.resource_manager} does not tell the tenant of subscription {subscription} (HTTP {status})",
        hint="give tenant_id",
    )
