"""What the faults do to a request, its answer and the world, and whether that had an effect."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

from localarm import disks
from localarm.arm import Address
from localarm.capture import GIB
from localarm.clock import timestamp
from localarm.errors import Refused
from localarm.faults import DEVICES, ENDINGS, Armed, Fault
from localarm.hindsight import looking_back
from localarm.laws import max_data_disks
from localarm.messages import Json, Response
from localarm.operations import Fate, Step
from localarm.plugging import hidden_device, shown_device
from localarm.resources import Resource, document
from localarm.throttle import throttled
from localarm.vms import KIND
from localarm.world import World

_VERSION = "2024-07-01"
"""The api-version that a stranger uses."""


class Strike:
    """The faults that are due at one request. One counts as fired when it had an effect, not when it was due."""

    def __init__(self, world: World, due: list[Armed]) -> None:
        self.fired: list[Fault] = []
        self._world = world
        self._due = due
        self._ending = self._first(*ENDINGS)
        self._device = self._first(*DEVICES)

    @property
    def drops(self) -> bool:
        """Whether the connection is reset before anything happens."""
        return self._first("drop") is not None

    def before(self) -> None:
        """Strike before the request is handled.

        Raises:
            Refused: that is what a fault is.
        """
        for armed in self._due:
            if armed.fault.what.startswith("stranger") and strangers(self._world, armed.fault):
                self._fire(armed)
        if self._ending is not None:
            self._world.next_fate = _fate(self._ending.fault)
        if self._device is not None:
            fault = self._device.fault
            self._world.next_device = math.inf if fault.what == "device-never" else fault.seconds
        refusing = self._first("refuse", "throttle")
        if refusing is not None:
            self._fire(refusing)
            fault = refusing.fault
            if fault.what == "throttle":
                raise throttled("Injected", math.ceil(fault.seconds))
            raise Refused(fault.status, fault.code, fault.message)

    @contextlib.contextmanager
    def reading(self, address: Address) -> Iterator[None]:
        """Inside, a read shows what it shall."""
        stale = self._first("stale")
        if stale is None:
            yield
            return
        with looking_back(self._world, address) as differs:
            if differs:
                self._fire(stale)
            yield

    def after(self, response: Response) -> Response:
        """Strike at the answer."""
        if self.drops:
            self._fire(self._first("drop"))
            return replace(response, fate="reset")
        # Whoever begins an operation or shows a device takes what was laid out for them.
        if self._world.next_fate is None:
            self._fire(self._ending)
        if self._world.next_device is None:
            self._fire(self._device)
        self._world.next_fate = self._world.next_device = None
        delayed, lost = self._first("delay"), self._first("lose", "hang")
        self._fire(delayed)
        self._fire(lost)
        if delayed is not None:
            response = replace(response, delay=response.delay + delayed.fault.seconds)
        if lost is not None:
            response = replace(response, fate="hang" if lost.fault.what == "hang" else "reset")
        return response

    def _first(self, *what: str) -> Armed | None:
        return next((armed for armed in self._due if armed.fault.what in what), None)

    def _fire(self, armed: Armed | None) -> None:
        if armed is not None:
            armed.fired += 1
            self.fired.append(armed.fault)


def _fate(fault: Fault) -> Fate:
    if fault.what == "preempt":
        text = "Operation execution has been preempted by a more recent operation."
        return "Canceled", "OperationPreempted", text
    return "Failed" if fault.what == "fail" else "Canceled", fault.code, fault.message


def strangers(world: World, fault: Fault) -> bool:
    """Let a stranger do what a fault says; whether they could."""
    if fault.what == "stranger-attaches":
        return bool(stranger_attaches(world, fault.lun))
    if fault.what == "stranger-writes":
        return stranger_writes(world, fault.seconds)
    return stranger_detaches(world, fault.lun)


def stranger_attaches(world: World, lun: int) -> str:
    """Someone else attaches a disk of their own to the host machine, at this LUN or the next free one; returns its id.

    A VM without a free LUN stays as it is: Azure would refuse the stranger.
    """
    machine = _host(world)
    taken = {entry["lun"] for entry in _entries(machine)}
    free = sorted(set(range(max_data_disks(machine))) - taken)
    if not free:
        return ""
    lun = next((each for each in free if each >= lun), free[0])
    unique = world.new_id()
    disk_id = f"{machine.id.rpartition('/providers/')[0]}/providers/Microsoft.Compute/disks/stranger-{unique}"
    world.create_blob(f"disk-{unique}", GIB)
    now = world.clock()
    properties: Json = {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 1, "timeCreated": timestamp(now),
        "provisioningState": "Succeeded", "diskState": "Unattached", "diskSizeBytes": GIB, "uniqueId": unique,
    }  # fmt: skip
    body = document(
        disk_id, "Microsoft.Compute/disks", machine.location, sku={"name": "Standard_LRS", "tier": "Standard"},
        properties=properties,
    )  # fmt: skip
    disk = world.put(Resource(disks.KIND, body, f"disk-{unique}"))
    entry = {
        "lun": lun, "name": disk.name, "createOption": "Attach", "caching": "None",
        "managedDisk": {"storageAccountType": "Standard_LRS", "id": disk_id}, "deleteOption": "Detach", "diskSizeGB": 1,
        "toBeDetached": False,
    }  # fmt: skip
    _write(world, machine, [*_entries(machine), entry])
    shown_device(world, machine.id, lun, disk_id)
    disks.own(world, disk, machine.id, now)
    return disk_id


def stranger_detaches(world: World, lun: int) -> bool:
    """Someone else detaches the disk at a LUN of the host machine; whether there was one."""
    machine = _host(world)
    entry = next((each for each in _entries(machine) if each["lun"] == lun), None)
    if entry is None:
        return False
    _write(world, machine, [each for each in _entries(machine) if each is not entry])
    hidden_device(world, machine.id, lun, entry["managedDisk"]["id"])
    disk = world.find(disks.KIND, entry["managedDisk"]["id"])
    if disk is not None:
        disks.own(world, disk, None, world.clock())
    return True


def stranger_writes(world: World, seconds: float) -> bool:
    """Someone else changes the host machine, and not its disks, which takes so long; whether they could.

    One that is just being changed stays as it is: Azure would refuse the stranger.
    """
    machine = _host(world)
    if world.running(machine.id):
        return False
    world.put(machine.with_properties(provisioningState="Updating").with_hidden(etag=machine.etag + 1))
    world.begin(
        "operations", "vm.patch.update", machine.id, location=machine.location, api_version=_VERSION,
        steps=[Step(world.clock() + seconds, "vm.settled")],
    )  # fmt: skip
    return True


def _host(world: World) -> Resource:
    machine = world.find(KIND, world.settings.host_id)
    assert machine is not None  # it cannot be deleted
    return machine


def _entries(machine: Resource) -> list[Json]:
    found: list[Json] = machine.properties["storageProfile"].get("dataDisks", [])
    return found


def _write(world: World, machine: Resource, entries: list[Json]) -> None:
    storage = {**machine.properties["storageProfile"], "dataDisks": entries}
    world.put(machine.with_properties(storageProfile=storage).with_hidden(etag=machine.etag + 1))
