"""Which cloud the command line builds on."""

from __future__ import annotations

import os
from collections.abc import Callable

from gilder.azure.cloud import Cloud, discovered_cloud
from gilder.cli.embedded import Lease
from gilder.engine import cloud_of, settled
from gilder.model.spec import Auth


class Login:
    """Whom a run logs in as.

    The VM is asked for in a cloud, and a template may ask the VM for what it logs in with: its options are settled before
    the VM is known, for the cloud, and again where they mean something else after.
    """

    def __init__(self, lease: Lease | None, say: Callable[[str], None]) -> None:
        self._lease = lease
        self._say = say
        self._given: Auth | None = None
        self._settled = Auth()

    async def settled(self, given: Auth) -> Auth:
        """The options that count, those of the template completed from the environment; raises UserError and Denied.

        The variables of this machine may be made for the real Azure: an application that the embedded cloud does not know
        is left out, and the build runs as its VM.
        """
        if given != self._given:
            self._settled = await self._completed(given)
            self._given = given
        return self._settled

    async def _completed(self, given: Auth) -> Auth:
        complete = await settled(given, os.environ, self._say)
        if self._lease is None or complete.client_id in (None, given.client_id, *self._lease.cloud().applications):
            return complete
        who = f"{complete.client_id}, which the environment names, is not known to the embedded cloud"
        self._say(f"{who}: working as its VM")
        return given


async def found_cloud(auth: Auth, lease: Lease | None) -> Cloud:
    """The cloud to build on: the embedded one, one described by `metadata_host`, or one known by name."""
    if lease is not None:
        embedded = lease.cloud()
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    return await cloud_of(auth)
