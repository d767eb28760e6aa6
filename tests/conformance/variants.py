"""Odd recordings, made out of given ones: what another recorder, another day or a cut at another place would have left."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Recorded = dict[str, Any]
Flow = list[Recorded]
Flows = dict[str, Flow]

KNOWN = (
    "aad-token", "arm-gateway-errors", "disk-create-copy-from-snapshot", "disk-create-empty",
    "disk-create-from-gallery-version", "disk-create-from-platform-image", "disk-create-restore-point", "disk-delete",
    "disk-get", "disk-grant-revoke-access", "disk-resize", "disk-upload-grant", "gallery-create-get-list",
    "gallery-delete", "gallery-image-definition", "gallery-image-version-create",
    "gallery-image-version-from-disk-snapshot-vm-version", "gallery-image-version-replication-status",
    "image-create-from-snapshot", "image-create-from-vm", "list-disks-images-in-resource-group",
    "platform-image-list-and-show", "resource-group", "resource-skus", "snapshot-completion-percent",
    "snapshot-create-full", "snapshot-get-creating", "snapshot-grant-revoke-delete", "throttled-429",
    "vm-attachdetachdatadisks", "vm-create-delete", "vm-deallocate-generalize", "vm-delete",
    "vm-detach-in-progress-get", "vm-get", "vm-put-attach-existing-disk", "vm-put-attach-new-empty-disk",
    "vm-put-detach-disk", "vm-put-force-detach",
)  # fmt: skip
"""The flows that these changes were tried on: not every text can be rewritten and still say what Azure would."""
WORDS = ("disk", "snapshot", "image", "gallery", "vm", "version")
"""Names that are words of answers too: they are not replaced."""
REGIONS = {
    "westus": "Qatar Central", "westus2": "Sweden Central", "eastus": "Korea Central", "eastus2": "Italy North",
    "northeurope": "Norway East", "centraluseuap": "East US 2 EUAP", "southcentralus": "Japan East",
}  # fmt: skip
SPELLED = {
    "westus": "West US", "westus2": "West US 2", "eastus": "East US", "eastus2": "East US 2", "northeurope": "North Europe",
}  # fmt: skip

KEPT = (
    "azure-asyncoperation",
    "location",
    "retry-after",
    "content-type",
    "cache-control",
    "etag",
    "x-ms-failure-cause",
)


def read(folder: Path) -> Flows:
    """The flows below a folder that can be varied, as recorded."""
    return {
        each.name: [json.loads(file.read_text()) for file in sorted(each.glob("[0-9]*.json"), key=_number)]
        for each in sorted(folder.iterdir())
        if each.name in KNOWN and each.is_dir()
    }


def write(flows: Flows, folder: Path) -> None:
    """Flows as a folder of recordings."""
    for name, flow in flows.items():
        (folder / name).mkdir(parents=True)
        for number, exchange in enumerate(flow, 1):
            (folder / name / f"{number:02}-x.json").write_text(json.dumps(exchange))


def _number(file: Path) -> int:
    return int(file.name.partition("-")[0])


def rewritten(flow: Flow, change: Callable[[str], str]) -> Flow:
    """A flow changed as text."""
    found: Flow = json.loads(change(json.dumps(flow)))
    return found


# Other names


def in_another_subscription(flow: Flow) -> Flow:
    """Every subscription has another id."""
    ids = set(re.findall(r"/subscriptions/([0-9a-f-]{36})", json.dumps(flow), re.IGNORECASE))
    news = {each: f"1b2c3d4e-aaaa-4bbb-8ccc-{index:012}" for index, each in enumerate(sorted(ids))}
    return rewritten(flow, lambda text: re.sub("|".join(news) or "$^", lambda match: news[match[0]], text))


def renamed(flow: Flow, ending: str = ".x-9") -> Flow:
    """Resources and groups have other names, in paths, bodies and messages."""
    names = set()
    for exchange in flow:
        path = exchange["request"]["url"].partition("?")[0]
        names |= set(re.findall(r"(?i)/resourcegroups/([^/?]+)", path))
        names |= set(re.findall(r"(?i)/(?:disks|snapshots|images|virtualmachines)/([^/?]+)", path))
    wanted = "|".join(re.escape(name) for name in sorted(names - set(WORDS), key=len, reverse=True))
    pattern = re.compile(rf"(?<=[/'\" ])({wanted})(?=[/?'\" ]|_OsDisk)(?!\": )", re.IGNORECASE)
    return rewritten(flow, lambda text: pattern.sub(lambda match: match[0] + ending, text)) if wanted else flow


def in_other_regions(flow: Flow) -> Flow:
    """Every region is another one, in both spellings."""
    pairs = {old: new.lower().replace(" ", "") for old, new in REGIONS.items()}
    pairs |= {SPELLED[old]: new for old, new in REGIONS.items() if old in SPELLED}
    pattern = "|".join(sorted(map(re.escape, pairs), key=len, reverse=True))
    whole = re.compile(rf"((?<=%27)|(?<![\w-]))({pattern})(?![\w-]| \d)")
    return rewritten(flow, lambda text: whole.sub(lambda match: pairs[match[2]], text))


def in_a_new_region(flow: Flow) -> Flow:
    """A region that did not exist when localarm was written."""
    text = json.dumps(flow).replace("West US 2", "Moon Far Side").replace("westus2", "moonfarside")
    return rewritten(flow, lambda _: text)


# Other recorders


def absolute(flow: Flow) -> Flow:
    """Whole URLs, titled header names, each value in a list."""
    found = copy.deepcopy(flow)
    for exchange in found:
        request, response = exchange["request"], exchange["response"]
        if request["url"].startswith("/subscriptions"):
            request["url"] = "https://management.azure.com" + request["url"]
        response["headers"] = {name.title(): [value] for name, value in response["headers"].items()}
    return found


def as_text(flow: Flow) -> Flow:
    """Bodies recorded as text; an empty one as null."""
    found = copy.deepcopy(flow)
    for exchange in found:
        for part in (exchange["request"], exchange["response"]):
            if isinstance(part.get("body"), dict | list):
                part["body"] = json.dumps(part["body"])
            elif part.get("body") == "":
                part["body"] = None
    return found


def without_limits(flow: Flow) -> Flow:
    """A recorder that drops what it does not know."""
    found = copy.deepcopy(flow)
    for exchange in found:
        headers = exchange["response"]["headers"]
        exchange["response"]["headers"] = {name: value for name, value in headers.items() if name.lower() in KEPT}
    return found


def shouting_groups(flow: Flow) -> Flow:
    """Answers name resource groups in capitals, requests do not."""
    found = copy.deepcopy(flow)
    for exchange in found:
        text = json.dumps(exchange["response"]["body"])
        shouted = re.sub(r"(?<=/resourceGroups/)[^/\"]+(?=/providers)", lambda match: match[0].upper(), text)
        exchange["response"]["body"] = json.loads(shouted)
    return found


# Cut elsewhere


def heads_dropped(flow: Flow) -> Iterator[Flow]:
    """Without the first exchange, the first two, and so on."""
    for count in range(1, len(flow)):
        yield flow[count:]


def tails_dropped(flow: Flow) -> Iterator[Flow]:
    """Without the last exchange, the last two, and so on."""
    for count in range(1, len(flow)):
        yield flow[:-count]


def alone(flow: Flow) -> Iterator[Flow]:
    """Each exchange without the others."""
    for exchange in flow:
        yield [exchange]


def without_a_read(flow: Flow) -> Iterator[Flow]:
    """Without one of the exchanges that change nothing."""
    for index, exchange in enumerate(flow):
        if exchange["request"]["method"] == "GET":
            yield [*flow[:index], *flow[index + 1 :]]


def without_polls(flow: Flow) -> Flow:
    """A client that does not wait."""
    return [each for each in flow if "perations/" not in each["request"]["url"]] or flow


def mingled(flows: Flows, names: list[str], seed: int) -> Flow:
    """Independent flows at once, each in its own order."""
    chance = random.Random(seed)
    queues = [renamed(flows[name], f".m-{index}") for index, name in enumerate(names)]
    found: Flow = []
    while queues:
        queue = chance.choice(queues)
        found.append(queue.pop(0))
        queues = [each for each in queues if each]
    return found
