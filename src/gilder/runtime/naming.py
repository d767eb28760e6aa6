"""Names of runs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_run() -> str:
    """The id of a run that begins now; ids sort as their runs began."""
    return f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
