"""What a resource was like before a write that a flow begins with: its answer, taken back."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.flows import Exchange, seconds
from tests.conformance.story import CHANGING, Json, Story, state

from localarm.arm import Address, key

VIEWS = ("instanceView", "replicationStatus", "isArmResource", "faultDomain")
"""Properties that an answer may show but that the resource has not."""


def before(story: Story, resource_id: str, index: int) -> Json | None:
    """A resource as it was when an exchange was sent, as far as the flow shows it later; None when it never does."""
    sight = story.seen(resource_id, index)
    address = Address.parse(resource_id)
    if sight is None or address is None:
        return None
    document = _whole(story, sight.document, resource_id, sight.index)
    writes = [story.flow[each] for each in story.written(resource_id, index, sight.index)]
    if address.kind == "virtualmachines" and writes:
        document = _machine_before(document, writes[0])
    elif address.kind in ("disks", "snapshots"):
        document = _disk_before(story, document, index, sight.index)
    if writes and state(document) in CHANGING:
        document = with_properties(document, provisioningState="Succeeded")
    return document


def made_then(story: Story, exchange: Exchange, resource_id: str, index: int) -> bool | None:
    """Whether a write of a disk or snapshot made it (its status does not tell); None when nothing in the flow tells."""
    body = exchange.body if isinstance(exchange.body, dict) else {}
    if "creationData" not in (body.get("properties") or {}):
        return False
    if isinstance(exchange.answer, dict) and "sku" in exchange.answer and "sku" not in body:
        return False  # it shows the sku that it had
    begun = next((poll.answer["startTime"] for poll in story.polls(exchange.guid, index) if poll.answer), "")
    sights = story.sights[key(resource_id)]
    created = next((_created(each.document) for each in sights if each.index > index and _created(each.document)), "")
    return seconds(created) > seconds(begun) - 0.5 if begun and created else None


def with_properties(document: Json, **changes: Any) -> Json:
    """The same document with some properties replaced; None removes one."""
    found = {**(document.get("properties") or {}), **changes}
    return {**document, "properties": {name: value for name, value in found.items() if value is not None}}


def _created(document: Json) -> str:
    return str((document.get("properties") or {}).get("timeCreated", ""))


def _whole(story: Story, document: Json, resource_id: str, index: int) -> Json:
    """A document with what later ones show beside: first answers and old api-versions leave things out."""
    whole = {**document, "properties": dict(document.get("properties") or {})}
    for sight in story.sights[key(resource_id)]:
        if sight.index > index and not story.written(resource_id, index + 1, sight.index):
            properties = {**(sight.document.get("properties") or {}), **whole["properties"]}
            whole = {**sight.document, **whole, "properties": properties}
    return with_properties(whole, **dict.fromkeys(VIEWS))


def _disk_before(story: Story, document: Json, first: int, last: int) -> Json:
    """A disk before it was attached, opened or put aside by what the flow does from one exchange to another."""
    properties = document.get("properties") or {}
    shown = properties.get("diskState")
    between = story.flow[first : last + 1]
    if any(_attaches(each, document["id"]) for each in between):
        free = {name: value for name, value in document.items() if name != "managedBy"}
        return with_properties(free, diskState="Unattached", LastOwnershipUpdateTime=None)
    if shown in ("ActiveSAS", "ActiveUpload") and any(
        each.path.lower().endswith("/begingetaccess") for each in between
    ):
        return with_properties(document, diskState="Unattached")
    if shown == "Reserved" and any(each.path.lower().endswith("/deallocate") for each in between):
        return with_properties(document, diskState="Attached")
    return document


def touched(story: Story, document: Json, first: int, last: int) -> bool:
    """Whether writes of machines, from one exchange to before another, have changed a disk."""
    machine = key(str(document.get("managedBy")))
    for exchange in story.flow[first:last]:
        powered = (
            exchange.method == "POST" and exchange.status < 400 and machine == key(exchange.path.rpartition("/")[0])
        )
        if powered or _attaches(exchange, document["id"]):
            return True
    return False


def _attaches(exchange: Exchange, disk_id: str) -> bool:
    """Whether a write gives a machine a disk that it did not have (such entries are not filled in yet)."""
    body = exchange.body if isinstance(exchange.body, dict) and exchange.status < 400 else {}
    storage = (body.get("properties") or {}).get("storageProfile") or {}
    entries = [each for each in storage.get("dataDisks") or [] if "diskSizeGB" not in each]
    ids = [(each.get("managedDisk") or {}).get("id") for each in entries]
    ids += [each.get("diskId") for each in body.get("dataDisksToAttach") or []]
    return key(disk_id) in {key(str(each)) for each in ids}


def _machine_before(document: Json, write: Exchange) -> Json:
    """A machine before a change of its data disks (or anything else: then only its etag differs)."""
    answer = write.answer if isinstance(write.answer, dict) else {}
    storage = (answer.get("properties") or {}).get("storageProfile") or answer
    present = (document.get("properties") or {}).get("storageProfile") or {}
    body = write.body if isinstance(write.body, dict) else {}
    coming = [key(str(each.get("diskId"))) for each in body.get("dataDisksToAttach") or []]
    entries = []
    for entry in storage.get("dataDisks", present.get("dataDisks")) or []:
        disk = (entry.get("managedDisk") or {}).get("id")
        if (disk is None and "vhd" not in entry) or key(str(disk)) in coming:
            continue  # it came with this write
        staying = {name: value for name, value in entry.items() if name != "detachOption"}
        entries.append({**staying, **({"toBeDetached": False} if "toBeDetached" in entry else {})})
    found = with_properties(document, storageProfile={**present, "dataDisks": entries})
    if "dataDisksToAttach" in body or "dataDisksToDetach" in body or write.method in ("PUT", "PATCH"):
        going = sum(bool(each.get("toBeDetached")) for each in storage.get("dataDisks") or [])
        shown = write.headers.get("etag") or str(answer.get("etag", ""))
        etag = _number(shown) - 1 if shown else _number(str(document.get("etag", ""))) - (2 if going else 1)
        found["etag"] = str(max(etag, 1))
    return found


def _number(etag: str) -> int:
    digits = re.search(r"\d+", etag)
    return int(digits[0]) if digits else 1
