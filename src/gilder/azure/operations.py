"""Long-running operations: where to look, what was seen, and how often to look.

Azure's `Retry-After` on these is generous (30 s for an image that takes 5) and the SDK follows it, so gilder looks at
its own pace. `GetOperationResource` allows 45 looks at once for each operation (recorded header), which this never uses up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gilder.runtime.backoff import poll_delays


def quick_looks() -> Iterator[float]:
    """Waits for what takes a second or ten: disks, snapshots, images, attachments."""
    return poll_delays(0.1, 0.25, 0.5, 0.75, 1, 1, 1, 2, 2, 2, last=3)


def slow_looks() -> Iterator[float]:
    """Waits for what takes minutes: gallery image versions."""
    return poll_delays(0.25, 1, 2, 3, 5, 10, 10, last=15)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation under way. `url` is followed as given (4 kB and signed); `by_location` says how it answers."""

    doing: str
    url: str
    by_location: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation did not succeed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What one look at an operation showed."""

    done: bool
    error: Failure | None = None


def operation_of(doing: str, status: int, headers: Mapping[str, str]) -> Operation | None:
    """The operation that an answer speaks of; None when it was done at once (Azure's async-operations document)."""
    if url := headers.get("Azure-AsyncOperation"):
        return Operation(doing, url)
    if status == 202 and (url := headers.get("Location")):
        return Operation(doing, url, by_location=True)
    return None


def progress_of(operation: Operation, response: Any) -> Progress:
    """Read one look: a status body (always HTTP 200), or by Location 202 while it runs."""
    if operation.by_location:
        return Progress(done=response.status_code != 202)
    body = response.json()
    status = str(body.get("status", ""))
    if status == "Succeeded":
        return Progress(done=True)
    if status in ("Failed", "Canceled"):
        error = body.get("error") or {}
        message = error.get("message") or f"the operation ended as {status}"
        return Progress(
            True,
            Failure(
                error.get("code") or status,
                f"{message} ({error.get('code') or status}, while {operation.doing})",
            ),
        )
    return Progress(done=False)  # anything else means: still running
