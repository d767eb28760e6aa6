"""What was there before a recording began, put into a world: as the flow shows it, or made up to fit."""

from __future__ import annotations

import json
import re

from tests.conformance import past
from tests.conformance.flows import Exchange, seconds
from tests.conformance.made_up import entry_hints, image_hints, made_up, written_hints
from tests.conformance.story import CHANGING, GROUP, KINDS, Json, Story, kind_of, references, running, state

from localarm.arm import Address, key, name_of
from localarm.operations import Family, Operation
from localarm.polls import RETRY_AFTER
from localarm.regions import short
from localarm.resources import Resource
from localarm.world import World

FAMILIES: dict[str, Family] = {
    each.lower(): each for each in ("DiskOperations", "operations", "capsOperations", "operationresults")
}


class Garden:
    """A world with what a flow takes for granted in it; never touches what the flow itself has written."""

    def __init__(self, world: World, story: Story) -> None:
        self.world = world
        self.story = story
        self.written: set[str] = set()
        self._shown: dict[str, tuple[Resource, int]] = {}
        """What was planted as an answer shows it, not made up, and for which exchange."""

    def plant(self, document: Json, location: str, power: str = "") -> None:
        """Put a resource in as a document shows it, with what it lies in."""
        address = Address.parse(document["id"])
        assert address is not None
        kind = kind_of(address)
        location = str(document.get("location", location))
        self.plant_above(address, location)
        invented = made_up(address, location, {})
        properties = {**(document.get("properties") or invented["properties"])}
        if kind in ("virtualmachines", "images", "galleries/images/versions") and not properties.get(
            "provisioningState"
        ):
            document = {**invented, **document}
            properties = {**invented["properties"], **properties}
        hidden = _hidden(kind, {**invented["properties"], **properties}, power)
        etag = re.search(r"\d+", str(document.get("etag", "")))
        if etag:
            hidden["etag"] = int(etag[0])
        whole = past.with_properties({**document, "properties": properties}, **dict.fromkeys(past.VIEWS))
        whole.pop("etag", None)
        self.world.put(Resource(kind, whole, hidden=hidden))

    def plant_above(self, address: Address, location: str) -> None:
        """Put in the group, and the gallery and definition above something nested."""
        if not address.group or not address.namespace:  # in no group, or one itself
            return
        group = Address(address.subscription, address.group)
        if self.world.find(GROUP, group.id) is None:
            self.plant_missing(group.id, 0, location, {})
        parent = address.parent
        if parent.kind in KINDS and len(parent.names) == len(parent.types):
            self.plant_missing(parent.id, 0, location, {})

    def plant_missing(self, resource_id: str, index: int, location: str, hints: Json, power: str = "") -> None:
        """Put in what an exchange takes for granted, unless it is there: as it was then, else made up out of hints."""
        address = Address.parse(resource_id)
        if address is None or kind_of(address) not in KINDS or len(address.names) != len(address.types):
            return
        present = self.world.find(kind_of(address), address.id)
        if present is None:
            document = past.before(self.story, address.id, index)
            seen = document is not None
            if document is None:
                known = {**hints, **entry_hints(self.story, address.id), **written_hints(self.story, address.id)}
                known |= image_hints(self.story, address.id)
                document = made_up(address, location, known)
            elif state(document) in CHANGING:
                document = past.with_properties(document, provisioningState="Succeeded")
            self.plant(document, location, power)
            present = self.world.find(kind_of(address), address.id)
            if seen and present is not None:
                self._shown[present.key] = present, index
        if present is not None and present.kind == "virtualmachines":
            for entry in _disks_of(present):
                known = {**hints, **_image_of(entry, hints), **entry}
                self.plant_missing(entry["managedDisk"]["id"], index, present.location or location, known)

    def plant_told(self, index: int, exchange: Exchange, location: str) -> None:
        """Put in what only Azure's refusal tells: that a machine has a disk, or is losing one."""
        message = str(exchange.error.get("message", ""))
        owner = re.search(r"(?:attached to|owned by)(?: running)? VM '?(/subscriptions/[^'\s]*[^'\s.])", message)
        about = Address.parse(exchange.path)
        if owner and about is not None:
            ids = [about.resource.id, *references(exchange.body)]
            disk = next((each for each in ids if "/disks/" in each and name_of(each) in message), "")
            self._attach(index, owner[1], disk, location, leaving=False)
        leaving = re.search(r"attach data disk '([^']+)' to VM", message)
        if leaving and about is not None:
            disk = next((each for each in references(exchange.body) if name_of(each) == leaving[1]), "")
            self._attach(index, about.resource.id, disk, location, leaving=True)

    def _attach(self, index: int, machine_id: str, disk_id: str, location: str, *, leaving: bool) -> None:
        if not disk_id:
            return
        self.plant_missing(machine_id, index, location, {})
        self.plant_missing(disk_id, index, location, {})
        machine, disk = self.world.find("virtualmachines", machine_id), self.world.find("disks", disk_id)
        assert machine is not None
        assert disk is not None
        storage = machine.properties["storageProfile"]
        others = [each for each in storage.get("dataDisks") or [] if key(each["managedDisk"]["id"]) != disk.key]
        entry = {
            "lun": next(lun for lun in range(64) if lun not in [each["lun"] for each in others]), "name": disk.name,
            "createOption": "Attach", "caching": "None", "managedDisk": {"id": disk.id}, "toBeDetached": leaving,
        }  # fmt: skip
        self.world.put(machine.with_properties(storageProfile={**storage, "dataDisks": [*others, entry]}))
        if not leaving:
            self.world.put(disk.with_body(managedBy=machine.id))

    def changed(self, document: Json, index: int) -> bool:
        """Whether something is no longer what was planted: writes of the flow have changed it beside their own resource."""
        address = Address.parse(document["id"])
        planted, since = self._shown.get(key(document["id"]), (None, 0))
        if address is None or planted is None:
            return False
        present = self.world.find(kind_of(address), address.id)
        return present is not planted or past.touched(self.story, document, since, index)

    def clear(self, resource_id: str) -> None:
        """Take out what was planted."""
        address = Address.parse(resource_id)
        if address is None or key(address.id) in self.written:
            return
        self.pull_out(address)

    def pull_out(self, address: Address) -> None:
        """Take out what is addressed, written or not: the recording shows that it is not there."""
        found = self.world.find(kind_of(address), address.id)
        if found is not None:
            gone = dict(self.world.gone)
            self.world.remove(found)
            self.world.gone = gone  # nobody deleted it: it never was there
        self.written.discard(key(address.id))

    def weed(self) -> None:
        """Take out machines whose disks are blobs: localarm has none, and they are only looked at."""
        for machine in self.world.all("virtualmachines"):
            if '"vhd"' in json.dumps(machine.properties.get("storageProfile")):
                self.clear(machine.id)

    def plant_operation(self, poll: Exchange) -> None:
        """An operation whose request is not in the flow, as this poll shows it."""
        assert poll.address is not None
        answer = poll.answer if isinstance(poll.answer, dict) else {}
        begun = seconds(answer["startTime"]) if "startTime" in answer else self.world.clock()
        result = poll.answer if poll.query.get("monitor") else None  # its whole answer is the result
        output = result or (answer.get("properties") or {}).get("output")
        retry = poll.headers.get("retry-after", "")
        kind = next((kind for kind, after in RETRY_AFTER.items() if after == retry), "seen")
        operation = Operation(
            poll.guid, FAMILIES[poll.address.types[-1].lower()], kind,
            poll.address.subscription, (poll.address.names or ("",))[0], poll.version, "/subscriptions/x",
            begun, shows_output=output is not None, output=output,
        )  # fmt: skip
        if not running(poll):
            ended = seconds(answer["endTime"]) if "endTime" in answer else begun
            operation = operation.over(ended, answer.get("status", "Succeeded"), answer.get("error"), output)
        self.world._operations[poll.guid] = operation


def _disks_of(machine: Resource) -> list[Json]:
    storage = machine.properties.get("storageProfile") or {}
    entries = [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]
    return [each for each in entries if (each.get("managedDisk") or {}).get("id")]


def _image_of(entry: Json, hints: Json) -> Json:
    """The image of a machine's disk in what was made of the machine: it tells the size."""
    storage = hints.get("storageProfile") or {}
    images = storage.get("dataDiskImages") or storage.get("dataDisks") or []
    if "lun" not in entry:
        return storage.get("osDiskImage") or {}
    return next((each for each in images if each.get("lun") == entry["lun"]), {})


def _hidden(kind: str, properties: Json, power: str) -> Json:
    """What localarm keeps beside a document."""
    storage = properties.get("storageProfile") or {}
    if kind == "virtualmachines":
        os_disk = storage.get("osDisk") or {}
        bare = "managedDisk" in os_disk and "diskSizeGB" not in os_disk
        shown = re.search(r"PowerState/(\w+)", str((properties.get("instanceView") or {}).get("statuses")))
        power = power or (shown[1] if shown else "deallocated" if bare else "running")
        return {"etag": 1, "generalized": True, "os": (os_disk.get("managedDisk") or {}).get("id", ""), "power": power}
    if kind == "images":
        places = {"os": storage.get("osDisk") or {}, **_by_lun(storage.get("dataDisks"))}
        return {
            "blobs": dict.fromkeys(places, ""),
            "sizes": {place: each.get("diskSizeGB", 30) for place, each in places.items()},
        }
    if kind == "galleries/images/versions":
        places = {"os": storage.get("osDiskImage") or {}, **_by_lun(storage.get("dataDiskImages"))}
        profile = properties.get("publishingProfile") or {}
        return {
            "blobs": dict.fromkeys(places, ""),
            "sizes": {place: each.get("sizeInGB", 30) for place, each in places.items()},
            "cachings": {place: each.get("hostCaching", "None") for place, each in places.items()},
            "regions": {short(each["name"]): [0.0, 1.0] for each in profile.get("targetRegions") or []},
        }
    return {}


def _by_lun(entries: list[Json] | None) -> Json:
    return {str(each["lun"]): each for each in entries or []}
