"""The tags by which gilder knows its temporary resources."""

from __future__ import annotations

RUN, BUILD, HOST, CREATED = "gilder-run", "gilder-build", "gilder-host", "gilder-created"
"""The run, the build and the VM that a resource is for, and when it was made."""
