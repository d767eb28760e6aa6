"""Which cloud the command line builds on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gilder.azure.cloud import Cloud, discovered_cloud
from gilder.azure.methods import method_of, with_environment
from gilder.cli.embedded import EmbeddedCloud, Lease
from gilder.engine import cloud_of, settled
from gilder.model.errors import UserError
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

        The variables of this machine may be made for the real Azure: what the embedded cloud can make nothing of is left
        out, and the build runs as its VM.
        """
        if given != self._given:
            environment: Mapping[str, str] = os.environ
            if self._lease is not None and (why := _useless(given, self._lease.cloud())):
                self._say(f"the environment's login is left out ({why}): working as the VM of the embedded cloud")
                environment = {}
            self._settled = await settled(given, environment, self._say)
            self._given = given
        return self._settled


def _useless(given: Auth, cloud: EmbeddedCloud) -> str:
    """Why the environment's login would not do on the embedded cloud; "" when it does, or the template has one.

    Raises UserError for a mistake of the template itself.
    """
    method_of(with_environment(given, {}))
    try:
        complete = with_environment(given, os.environ)
        method_of(complete)
    except UserError as error:
        return error.message
    if complete.use_azure_cli_auth and not given.use_azure_cli_auth:
        return "a token of az is for Azure"
    if complete.client_id in (None, given.client_id, *cloud.applications):
        return ""
    return f"{complete.client_id} is not known there"


async def found_cloud(auth: Auth, lease: Lease | None) -> Cloud:
    """The cloud to build on: the embedded one, one described by `metadata_host`, or one known by name."""
    if lease is not None:
        embedded = lease.cloud()
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    return await cloud_of(auth)
