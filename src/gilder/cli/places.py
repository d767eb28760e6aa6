"""Where gilder keeps its files, unless told otherwise."""

from __future__ import annotations

from pathlib import Path

LOGS = Path("/var/lib/gilder/runs")
"""A folder for each run: the log of each build, and events.jsonl."""
JOURNAL = Path("/var/lib/gilder/journal.sqlite")
"""The same as gilder.runtime.journal.DEFAULT_PATH, which is not imported here: it takes anyio with it."""
ALIVE = Path("/run/gilder/runs")
"""Where a run holds a lock while it lives; the same as gilder.engine.recovery.ALIVE, which takes the Azure SDK with it."""
