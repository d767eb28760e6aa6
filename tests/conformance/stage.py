"""The world in which a flow is replayed: it has the subscriptions, regions, tenants and clients that the flow names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from tests.conformance.flows import Exchange, seconds

from localarm.regions import DISPLAY, short
from localarm.settings import Machine, Principal, Settings

HOST = "11111111-2222-3333-4444-555555555555"
NOBODY = "99999999-2222-3333-4444-555555555555"


def settings_for(flow: list[Exchange]) -> Settings:
    """A world that has the subscriptions, regions, tenants and clients of a flow."""
    subscriptions = dict.fromkeys(each.address.subscription for each in flow if each.address is not None)
    roles = tuple((f"/subscriptions/{each}", "Contributor") for each in subscriptions)
    principals = (Principal("everybody", "everybody", "REDACTED", roles), Principal(NOBODY, NOBODY, "REDACTED"))
    clients = [Principal(each, each, "REDACTED") for each in _form_values(flow, "client_id")]
    tenants = [each.path.split("/")[1].lower() for each in flow if each.address is None and each.method == "POST"]
    return Settings(
        tenant=tenants[0] if tenants else "tenant",
        subscription=HOST, machines=(Machine("host", "host", "westus", "Standard_D4s_v5"),),
        principals=(*principals, *clients),
        other_groups=tuple((each, "localarm-unused", "westus") for each in subscriptions),
        regions=tuple(dict.fromkeys([*DISPLAY, *_regions(flow)])),
    )  # fmt: skip


def _regions(flow: list[Exchange]) -> Iterator[str]:
    """The regions that a flow speaks of."""
    for exchange in flow:
        if "/locations/" in exchange.path:
            yield short(exchange.path.split("/locations/")[1].split("/")[0])
        yield from _region_names([exchange.body, exchange.answer] if exchange.status < 400 else exchange.body)


def _region_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("location"), str):
            yield short(value["location"])
        for target_region in value.get("targetRegions") or []:
            yield short(str(target_region.get("name")))
        for child in value.values():
            yield from _region_names(child)
    elif isinstance(value, list):
        for child in value:
            yield from _region_names(child)


def _form_values(flow: list[Exchange], name: str) -> list[str]:
    forms = [dict(parse_qsl(each.body)) for each in flow if isinstance(each.body, str)]
    return [form[name] for form in forms if name in form]


def first_time(flow: list[Exchange]) -> float:
    """When the flow begins, as far as it tells."""
    for exchange in flow:
        if isinstance(exchange.answer, dict) and "startTime" in exchange.answer:
            return seconds(exchange.answer["startTime"])
    return 1_730_000_000.0
