"""Recorded exchanges with Azure, as files: one folder per flow, exchanges numbered in time order."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from localarm.arm import Address

KEEPS_RETRY_AFTER = ("azure-service-operator", "azure-libraries-for-net")
"""Recorders that kept `Retry-After`; the others removed it, so its absence says nothing."""


def wire_folder() -> Path | None:
    """`$GILDER_WIRE`, or the folder `shared/wire` beside the checkout; None where neither is."""
    named = os.environ.get("GILDER_WIRE")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "wire"
    return folder if (folder / "flows").is_dir() else None


@dataclass(frozen=True)
class Exchange:
    """One recorded request with its answer."""

    flow: str
    file: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int
    headers: dict[str, str]
    answer: Any
    recorder: str

    @property
    def address(self) -> Address | None:
        """What is addressed; None for logins and metadata."""
        return Address.parse(self.path)

    @property
    def keeps_retry_after(self) -> bool:
        """Whether a missing `Retry-After` means that Azure sent none."""
        return self.recorder.endswith(KEEPS_RETRY_AFTER)

    @property
    def guid(self) -> str:
        """The operation that is polled, or that was started."""
        if self.address is not None and self.address.kind.endswith("operations"):
            return self.address.name.lower()
        if self.address is not None and self.address.kind == "operationresults":
            return self.address.name
        url = self.headers.get("azure-asyncoperation") or self.headers.get("location") or ""
        return started(url)


def started(url: str) -> str:
    """The operation's id in a poll address."""
    path = urlsplit(url).path
    found = path.rpartition("/")[2]
    return found if "operationresults" in path else found.lower()


def load(folder: Path) -> dict[str, list[Exchange]]:
    """All flows below a folder."""
    return {
        each.name: list(_exchanges(each))
        for each in sorted(folder.iterdir())
        if each.is_dir() and any(each.glob("[0-9]*.json"))
    }


def _exchanges(folder: Path) -> Iterator[Exchange]:
    for file in sorted(folder.glob("[0-9]*.json")):
        found = json.loads(file.read_text())
        request, response = found["request"], found["response"]
        parts = urlsplit(request["url"])
        headers = {
            name.lower(): value[0] if isinstance(value, list) else str(value)
            for name, value in response.get("headers", {}).items()
        }
        yield Exchange(
            folder.name,
            file.name,
            request["method"],
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            request.get("body"),
            int(response["status"]),
            headers,
            None if response.get("body") in ("", None) else response["body"],
            str((found.get("_from") or {}).get("repo", "")),
        )


def seconds(text: str) -> float:
    """A recorded timestamp (seven decimals, any offset) as seconds since the epoch."""
    head, _, tail = text.partition(".")
    match = re.match(r"(\d+)(.*)", tail)
    fraction, zone = (match[1], match[2]) if match else ("0", "+00:00")
    return datetime.fromisoformat(head + zone.replace("Z", "+00:00")).timestamp() + float(f"0.{fraction}")
