"""Recorded exchanges with Azure, as files: one folder per flow, exchanges numbered in time order."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from localarm.arm import Address

KEEPS_RETRY_AFTER = ("azure-service-operator", "azure-libraries-for-net")
"""Recorders that kept `Retry-After`; the others removed it, so its absence says nothing."""
AZURE = "https://management.azure.com"


def wire_folder() -> Path | None:
    """`$GILDER_WIRE`, or the folder `shared/wire` beside the checkout; None where neither is."""
    named = os.environ.get("GILDER_WIRE")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "wire"
    return folder if (folder / "flows").is_dir() else None


@dataclass(frozen=True)
class Exchange:
    """One recorded request with its answer.

    Attributes:
        base: scheme and host that the request was sent to.
        recorded: the year; 0 where nothing tells it.
    """

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
    base: str = AZURE
    recorded: int = 0

    @property
    def address(self) -> Address | None:
        """What is addressed; None for logins and metadata."""
        return Address.parse(self.path)

    @property
    def keeps_retry_after(self) -> bool:
        """Whether a missing `Retry-After` means that Azure sent none."""
        return self.recorder.endswith(KEEPS_RETRY_AFTER)

    @property
    def polls(self) -> bool:
        """Whether it asks for an operation."""
        return self.address is not None and bool(re.search("operation(result)?s$", self.address.kind))

    @property
    def guid(self) -> str:
        """The operation that is polled, or that was started."""
        if self.polls and self.address is not None:
            return self.address.name.lower()
        return started(self.headers.get("azure-asyncoperation") or self.headers.get("location") or "")

    @property
    def version(self) -> str:
        """The api-version that was asked for."""
        return next((value for name, value in self.query.items() if name.lower() == "api-version"), "")

    @property
    def error(self) -> Mapping[str, Any]:
        """The error of the answer; empty when there is none."""
        found = self.answer.get("error") if isinstance(self.answer, dict) else None
        return found if isinstance(found, dict) else {}


def started(url: str) -> str:
    """The operation's id in a poll address."""
    return urlsplit(url).path.rpartition("/")[2].lower()


def load(folder: Path) -> dict[str, list[Exchange]]:
    """All flows below a folder."""
    return {
        each.name: list(_exchanges(each))
        for each in sorted(folder.iterdir())
        if each.is_dir() and any(each.glob("[0-9]*.json"))
    }


def _number(file: Path) -> tuple[int, str]:
    return int(re.match(r"\d+", file.name)[0]), file.name  # type: ignore[index]


def _exchanges(folder: Path) -> Iterator[Exchange]:
    for file in sorted(folder.glob("[0-9]*.json"), key=_number):
        found = json.loads(file.read_text())
        request, response = found["request"], found["response"]
        parts = urlsplit(request["url"])
        headers = {
            name.lower(): str(value[0]) if isinstance(value, list) else str(value)
            for name, value in (response.get("headers") or {}).items()
        }
        answer = _json(response.get("body"))
        yield Exchange(
            folder.name,
            file.name,
            request["method"].upper(),
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            _json(request.get("body")),
            int(response["status"]),
            headers,
            answer,
            str((found.get("_from") or {}).get("repo", "")),
            f"{parts.scheme}://{parts.netloc}" if parts.netloc else AZURE,
            _year(headers, answer),
        )


def _json(body: Any) -> Any:
    """A body as JSON, whether it was recorded so or as text; None when it is empty."""
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(body)
        except ValueError:
            return body
    return None if body == "" else body


def _year(headers: Mapping[str, str], answer: Any) -> int:
    if "date" in headers:
        return parsedate_to_datetime(headers["date"]).year
    times = [value for name, value in headers.items() if name.startswith("x-recorder-time")]
    times += [answer[name] for name in ("startTime",) if isinstance(answer, dict) and name in answer]
    return max((int(time[:4]) for time in times), default=0)


def seconds(text: str) -> float:
    """A recorded timestamp (seven decimals, any offset) as seconds since the epoch."""
    head, _, tail = text.partition(".")
    match = re.match(r"(\d+)(.*)", tail)
    fraction, zone = (match[1], match[2]) if match else ("0", "+00:00")
    return datetime.fromisoformat(head + zone.replace("Z", "+00:00")).timestamp() + float(f"0.{fraction}")
