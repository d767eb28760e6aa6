"""What the headers of an answer tell: how long to wait, and whether the clocks agree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError

CLOCK_TOLERANCE = 120.0
"""Seconds by which this machine's clock may differ from Azure's unmentioned; tokens and assertions allow for 300."""

_LEAST = 0.5
"""Seconds that are waited at least where the service says "later": with its 0 taken at its word, hundreds of requests went in
a tenth of a second."""


def retry_after(error: AzureError) -> float | None:
    """The wait in seconds that the service asked for, or a moment, if it did (RFC 9110 10.2.3; Azure sends whole seconds)."""
    response = getattr(error, "response", None)
    value = response.headers.get("Retry-After") if response is not None else None
    try:
        return max(_LEAST, float(value)) if value is not None else None
    except ValueError:
        return None


def clock_note(headers: Mapping[str, str]) -> str:
    """What to say when this machine's clock differs from that of the answer; "" when it does not."""
    try:
        theirs = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return ""
    ahead = time.time() - theirs
    if abs(ahead) < CLOCK_TOLERANCE:
        return ""
    way = "ahead of" if ahead > 0 else "behind"
    return f"; this machine's clock is {abs(ahead):.0f} s {way} Azure's: correct it (chronyc makestep, timedatectl)"
