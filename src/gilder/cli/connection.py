"""Which cloud the command line builds on."""

from __future__ import annotations

from gilder.azure.cloud import Cloud, discovered_cloud, named_cloud
from gilder.cli.embedded import Lease
from gilder.model.spec import Auth


async def found_cloud(auth: Auth, lease: Lease | None) -> Cloud:
    """The cloud to build on: the embedded one, one described by `metadata_host`, or one known by name."""
    if lease is not None:
        embedded = lease.cloud()
        return await discovered_cloud(
            embedded.metadata_host, instance_metadata=embedded.metadata_url, ca_file=embedded.ca_file
        )
    if auth.metadata_host:
        return await discovered_cloud(auth.metadata_host)
    return named_cloud(auth.cloud_environment_name)
