"""Which cloud the command line builds on."""

from __future__ import annotations

import os
from collections.abc import Callable

from gilder.azure.cloud import Cloud, discovered_cloud
from gilder.cli.embedded import Lease
from gilder.engine import cloud_of, settled
from gilder.model.spec import Auth


async def login_of(auth: Auth, lease: Lease | None, say: Callable[[str], None]) -> Auth:
    """The options that count, the template's `auth` completed from the environment.

    The variables of this machine may be made for the real Azure: an application that the embedded cloud does not know is
    left out, and the build runs as its VM.
    """
    complete = await settled(auth, os.environ, say)
    if lease is None or complete.client_id in (None, auth.client_id, *lease.cloud().applications):
        return complete
    say(f"{complete.client_id}, which the environment names, is not known to the embedded cloud: working as its VM")
    return auth


async def found_cloud(auth: Auth, lease: Lease | None) -> Cloud:
    """The cloud to build on: the embedded one, one described by `metadata_host`, or one known by name."""
    if lease is not None:
        embedded = lease.cloud()
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    return await cloud_of(auth)
