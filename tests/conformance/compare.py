"""Two answers compared, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.conformance.flows import Exchange

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)|\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M)"
)
HEX = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
FORMS = (
    (re.compile(rf"^{GUID.pattern}$", re.IGNORECASE), "guid"),
    (re.compile(rf"^{TIME.pattern}$"), "time"),
    (re.compile(r"^1[5-9]\d{8}$"), "epoch"),
)

SIGNED = {
    "p": GUID.pattern,
    "t": r"\d{18}",
    "c": r"[\w-]{2000,}",
    "s": r"[\w-]{300,}",
    "h": r"[\w-]{40,}",
}
"""What a poll address is signed with; recorders leave the names only, and say that the whole had 3 to 4 kB."""
HEADERS = ("azure-asyncoperation", "location", "etag", "x-ms-failure-cause", "content-type", "cache-control")
IDS = ("x-ms-request-id", "x-ms-correlation-request-id")
ABSENT = "(absent)"
LIMITS = "x-ms-ratelimit-remaining-"


@dataclass(frozen=True)
class Difference:
    """One place where localarm answers otherwise than Azure did."""

    flow: str
    file: str
    where: str
    azure: Any
    localarm: Any

    def __str__(self) -> str:
        azure, ours = (
            text if len(text := str(each)) <= 100 else f"{text[:100]}.." for each in (self.azure, self.localarm)
        )
        return f"{self.flow}/{self.file} {self.where}: Azure {azure}, localarm {ours}"


def differences(exchange: Exchange, status: int, headers: Mapping[str, str], payload: Any) -> Iterator[Difference]:
    """Every difference between a recorded answer and localarm's."""

    def found(where: str, azure: Any, ours: Any) -> Difference:
        return Difference(exchange.flow, exchange.file, where, azure, ours)

    if status != exchange.status:
        yield found(
            "status", exchange.status, f"{status} {(payload or {}).get('error') if isinstance(payload, dict) else ''}"
        )
        return
    ours = {name.lower(): value for name, value in headers.items()}
    if payload is not None:
        ours.setdefault("content-type", "application/json; charset=utf-8")
    for where, azure, local in _headers(exchange, ours):
        yield found(where, azure, local)
    for where, azure, local in _values("", exchange.answer, payload):
        yield found(where, azure, local)


def _headers(exchange: Exchange, ours: Mapping[str, str]) -> Iterator[tuple[str, Any, Any]]:
    names = [*HEADERS, *(("retry-after",) if exchange.keeps_retry_after else ())]
    for name in names:
        azure, local = exchange.headers.get(name), ours.get(name)
        if name == "content-type" and exchange.answer is None:
            continue
        if (azure is None) != (local is None):
            yield f"header {name}", azure, local
        elif azure is not None and local is not None:
            if name in ("azure-asyncoperation", "location"):
                yield from _poll_addresses(name, exchange, azure, local)
            elif azure != local:
                yield f"header {name}", azure, local
    if exchange.address is not None:
        for name in IDS:
            if not GUID.fullmatch(ours.get(name, "")):
                yield f"header {name}", exchange.headers.get(name, "(most recorders drop it)"), ours.get(name)
    yield from _limits(exchange.headers, ours)


def _limits(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[tuple[str, Any, Any]]:
    """What is left of each limit: the same ones are told of, and where nobody else asks as much is left, or more."""
    named, local = ({name for name in each if name.startswith(LIMITS)} for each in (theirs, ours))
    if named - local:  # recorders dropped some of them: those that localarm has beyond say nothing
        yield "header names of limits", sorted(named - local), ABSENT
    policies, local_policies = (_policies(each.get(LIMITS + "resource", "")) for each in (theirs, ours))
    if policies and sorted(policies) != sorted(local_policies):
        yield "limit policies", sorted(policies), sorted(local_policies)
    counts, local_counts = ({**_policies(each.get(LIMITS + "resource", "")), **_left(each)} for each in (theirs, ours))
    for name, left in counts.items():
        if name in local_counts and local_counts[name] < left:
            yield f"limit {name}", left, local_counts[name]


def _left(headers: Mapping[str, str]) -> dict[str, int]:
    named = {name: value for name, value in headers.items() if name.startswith(LIMITS)}
    return {name: int(value) for name, value in named.items() if value.isdigit()}


def _policies(header: str) -> dict[str, int]:
    parts = [part.strip().partition(";") for part in header.split(",") if part.strip()]
    return {name: int(left) if left.isdigit() else 0 for name, _, left in parts}


def _poll_addresses(name: str, exchange: Exchange, azure: str, local: str) -> Iterator[tuple[str, Any, Any]]:
    """Where to poll: the same place of the same host, by the request's api-version, and as long as a signed address is."""
    theirs, ours = urlsplit(azure), urlsplit(local)
    query, our_query = (dict(parse_qsl(each.query, keep_blank_values=True)) for each in (theirs, ours))
    for place, first, second in (
        ("host", (theirs.scheme, theirs.netloc), (ours.scheme, ours.netloc)),
        ("path", _place(theirs.path), _place(ours.path)),
        ("query", list(query), list(our_query)),
        ("api-version", query.get("api-version"), our_query.get("api-version")),
        ("monitor", query.get("monitor"), our_query.get("monitor")),
    ):
        if first != second:
            yield f"header {name} {place}", first, second
    for part, pattern in SIGNED.items():
        signed = part in query and part in our_query and query[part] != our_query[part]
        if signed and not re.fullmatch(pattern, our_query[part]):
            yield f"header {name} {part}", f"like {pattern}", our_query[part]
    subscription = exchange.address.subscription if exchange.address is not None else ""
    if local != azure and ours.path.split("/")[2:3] != [subscription]:
        yield f"header {name} subscription", subscription, ours.path


def _place(path: str) -> list[str]:
    """The path of a poll address without what differs from run to run."""
    return ["id" if index == 1 else part for index, part in enumerate(path.split("/")[1:-1])]


def _values(where: str, azure: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(azure, dict) and isinstance(ours, dict):
        yield from _objects(where, azure, ours)
    elif isinstance(azure, list) and isinstance(ours, list):
        yield from _lists(where, azure, ours)
    elif _form(azure) != _form(ours):
        yield where, azure, ours


def _lists(where: str, azure: list[Any], ours: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    """Lists item by item; those of named things by name, for their order is not kept by Azure either."""
    whole = [each for each in azure if not (isinstance(each, dict) and "_trimmed_by_extractor" in each)]
    trimmed = (
        len(whole) < len(azure)
        or where.endswith(".resourceTypes")
        or (where == ".value" and len(whole) == 1 < len(ours))
    )
    label = _label(whole, ours)
    if label:
        yield from _named(where, label, whole, ours, trimmed=trimmed)
        return
    if len(whole) != len(ours):
        yield f"{where}[]", f"{len(whole)} items", f"{len(ours)} items"
    for index, (theirs, our) in enumerate(zip(whole, ours, strict=False)):
        yield from _values(f"{where}[{index}]", theirs, our)


def _label(azure: list[Any], ours: list[Any]) -> str:
    """By which member the items of a list are told apart: by their names, or by their ids where names come twice."""
    for name in ("name", "id", "resourceType"):
        if azure and all(isinstance(each, dict) and name in each for each in azure):
            names = [[_told(each.get(name)) for each in items if isinstance(each, dict)] for items in (azure, ours)]
            if all(len(set(each)) == len(each) for each in names):
                return name
    return ""


def _told(name: Any) -> str:
    """A name in the form that compares equal: regions are spelled in two ways."""
    return str(name).lower().replace(" ", "")


def _named(
    where: str, label: str, azure: list[Any], ours: list[Any], *, trimmed: bool
) -> Iterator[tuple[str, Any, Any]]:
    mine = {_told(each.get(label)): each for each in ours}
    for each in azure:
        name = str(each[label])
        if _told(name) in mine:
            yield from _values(f"{where}[{label}={name}]", each, mine[_told(name)])
        else:
            yield f"{where}[{label}=]", name, ABSENT
    extra = sorted(set(mine) - {_told(each[label]) for each in azure})
    if extra and not trimmed:
        yield f"{where}[{label}=]", ABSENT, extra


def _objects(where: str, azure: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in azure:
        if name not in ours:
            yield f"{where}.{name}", azure[name], ABSENT
    for name in ours:
        if name not in azure:
            yield f"{where}.{name}", ABSENT, ours[name]
    both = [name for name in azure if name in ours]
    if both != [name for name in ours if name in azure]:
        yield f"{where} order", both, [name for name in ours if name in azure]
    for name in both:
        yield from _values(f"{where}.{name}", azure[name], ours[name])


def _form(value: Any) -> Any:
    """A value with what differs from run to run replaced by its form."""
    if not isinstance(value, str):
        return value
    for pattern, form in FORMS:
        if pattern.match(value):
            return form
    if "accessSAS" in value or "blob.storage.azure.net" in value or "blob.core.windows.net" in value:
        return "address of a blob"
    return HEX.sub("hex", GUID.sub("guid", TIME.sub("time", value)))
