"""Worse localarms, one fault each: the recordings must find every one of them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from localarm import (
    access,
    app,
    calls,
    disks,
    galleries,
    images,
    machine_view,
    machines,
    platform_images,
    resources,
    snapshots,
    versions,
    vms,
)
from localarm.actions import ACTIONS
from localarm.operations import Operation
from localarm.resources import Resource
from localarm.throttle import Throttle

STRANGER = "99999999-9999-9999-9999-999999999999"
Patched = AbstractContextManager[Any]


@dataclass(frozen=True)
class Mutant:
    """A fault, and how localarm gets it for a while."""

    name: str
    infected: Callable[[], Patched]


@contextmanager
def _all(*patches: Patched) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def _after(action: str, change: Callable[[Resource], Resource]) -> Patched:
    """An action that leaves its resource otherwise than it should."""
    original = ACTIONS[action]

    def worse(world: Any, operation: Any, args: Any, at: float) -> Any:
        output = original(world, operation, args, at)
        found = world.find(disks.operation_kind(operation), operation.target)
        if found is None:
            return output
        changed = world.put(change(found))
        return changed.body if output is not None else None

    return patch.dict(ACTIONS, {action: worse})


def _lost_data_disks(found: Resource) -> Resource:
    storage = {name: value for name, value in found.properties["storageProfile"].items() if name != "dataDiskImages"}
    return found.with_properties(storageProfile=storage)


def _in_os_image(name: str, value: Any) -> Callable[[Resource], Resource]:
    def change(found: Resource) -> Resource:
        storage = found.properties["storageProfile"]
        return found.with_properties(storageProfile={**storage, "osDiskImage": {**storage["osDiskImage"], name: value}})

    return change


def _arm(found: Resource) -> Resource:
    known = "supportedCapabilities" in found.properties
    return found.with_properties(supportedCapabilities={"architecture": "Arm64"}) if known else found


def _url(change: Callable[[Operation, str], tuple[Operation, str]]) -> Patched:
    original = Operation.url

    def worse(self: Operation, base: str, *, monitor: bool = False) -> str:
        operation, base = change(self, base)
        return original(operation, base, monitor=monitor)

    return patch.object(Operation, "url", worse)


def _shouting_status() -> Patched:
    original = Operation.body
    return patch.object(Operation, "body", lambda self: {**original(self), "status": original(self)["status"].lower()})


def _impatient() -> Patched:
    """No first answer says when to ask again."""
    original = calls.accepted

    def worse(*args: Any, retry_after: int = 0, **more: Any) -> Any:
        return original(*args, **more)

    return _all(*(patch.object(each, "accepted", worse) for each in ACCEPTING))


ACCEPTING = (access, disks, galleries, images, machines, snapshots, versions, vms)


def _of_a_stranger() -> Patched:
    """Disks have another subscription in their ids."""
    original = resources.document

    def worse(resource_id: str, *args: Any, **more: Any) -> Any:
        return original(resource_id.replace(resource_id.split("/")[2], STRANGER), *args, **more)

    return patch.object(disks, "document", worse)


def _first_version() -> Patched:
    """The first answer of a version says nothing of its data disks."""
    original = versions.shown

    def worse(call: Any, found: Resource) -> Any:
        return original(call, _lost_data_disks(found))

    return patch.object(versions, "shown", worse)


def _other_profile() -> Patched:
    """Machines show the operating system profile of another."""
    original = machine_view.shown

    def worse(call: Any, machine: Resource, **more: Any) -> Any:
        return original(call, machine.with_properties(osProfile={"computerName": "junk"}), **more)

    return _all(*(patch.object(each, "shown", worse) for each in (vms, machines)))


def _small_id() -> Patched:
    original = platform_images._id
    return patch.object(platform_images, "_id", lambda call, image: original(call, image).lower())


def _wrong(kind: Any, name: str, value: Any) -> Callable[[], Patched]:
    return lambda: patch.object(kind, name, value)


MUTANTS = (
    Mutant("versions lose their data disks", lambda: _after("version.made", _lost_data_disks)),
    Mutant("versions have a wrong size", lambda: _after("version.made", _in_os_image("sizeInGB", 9999))),
    Mutant("versions have a wrong cache", lambda: _after("version.made", _in_os_image("hostCaching", "ReadOnly"))),
    Mutant(
        "disks have 17 bytes", lambda: _after("disk.created", lambda found: found.with_properties(diskSizeBytes=17))
    ),
    Mutant("disks are for Arm64", lambda: _after("disk.created", _arm)),
    Mutant("disks are never attached", lambda: patch.object(disks, "own", lambda *args, **more: None)),
    Mutant(
        "disks stay as they are being made",
        lambda: _after("disk.created", lambda found: found.with_properties(provisioningState="Creating")),
    ),
    Mutant(
        "polls by another api-version", lambda: _url(lambda it, base: (replace(it, api_version="1999-01-01"), base))
    ),
    Mutant("polls at another host", lambda: _url(lambda it, base: (it, "http://elsewhere.example"))),
    Mutant("polls in another subscription", lambda: _url(lambda it, base: (replace(it, subscription=STRANGER), base))),
    Mutant("polls in another region", lambda: _url(lambda it, base: (replace(it, location=it.location.upper()), base))),
    Mutant("short signatures", _wrong(Operation, "signature", lambda self: "c=1&s=1&h=1")),
    Mutant("statuses in lower case", _shouting_status),
    Mutant("ids of platform images in lower case", _small_id),
    Mutant("one request left of each limit", _wrong(Throttle, "_left", lambda *args, **more: 1)),
    Mutant("no limits told", _wrong(Throttle, "headers", lambda *args: {})),
    Mutant("no request ids", _wrong(app.Application, "_headers", lambda self: {"Cache-Control": "no-cache"})),
    Mutant("no word on when to ask again", _impatient),
    Mutant("ids of a stranger", _of_a_stranger),
    Mutant("first answers of versions without data disks", _first_version),
    Mutant("profiles of another machine", _other_profile),
    Mutant("deleted things are forgotten at once", _wrong(calls, "GATEWAY_MEMORY", 0.0)),
    Mutant(
        "etags in steps of two", _wrong(Resource, "etag", property(lambda self: 2 * int(self.hidden.get("etag", 0))))
    ),
)
