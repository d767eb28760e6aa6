"""What must hold in a world whatever was asked of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localarm import laws, works
from localarm.arm import key
from localarm.resources import Resource

UNSETTLED = ("Creating", "Updating", "Deleting")


def named_blobs(resource: Resource) -> list[str]:
    """The blobs that a resource names."""
    return [each for each in (resource.blob, *resource.hidden.get("blobs", {}).values()) if each]


def check_blobs(
    resources: Iterable[Resource], store: Path, being_made: Iterable[str] = (), held: Iterable[str] = ()
) -> None:
    """Every blob belongs to one resource, or to the work that holds it, is there, and has its size."""
    making = set(being_made)
    names = Counter(blob for resource in resources for blob in named_blobs(resource))
    assert not [blob for blob, count in names.items() if count > 1], "two resources name one blob"
    present = {file.name for file in store.iterdir() if not file.name.startswith(".part-")}
    failed = {blob for resource in resources if resource.state == "Failed" for blob in named_blobs(resource)}
    assert present - set(names) == set(held), "left over"
    assert set(names) - present - making - failed == set(), "missing"
    for resource in resources:
        gb = resource.properties.get("diskSizeGB")
        if resource.blob in present and gb and resource.state == "Succeeded":
            assert (store / resource.blob).stat().st_size == gb << 30, resource.id


def check_attachments(resources: Iterable[Resource], lost: Iterable[str] = ()) -> None:
    """Machines and disks agree on who has whom; LUNs are taken once; no machine has more disks than its size allows.

    Args:
        lost: keys of disks that a client deleted while they were being attached.
    """
    disks = {each.key: each for each in resources if each.kind == "disks"}
    listed: dict[str, str] = {}
    for machine in (each for each in resources if each.kind == "virtualmachines"):
        entries: list[dict[str, Any]] = machine.properties["storageProfile"].get("dataDisks", [])
        luns = [entry["lun"] for entry in entries]
        assert len(luns) == len(set(luns)), luns
        assert sum(not entry.get("toBeDetached") for entry in entries) <= laws.max_data_disks(machine)
        for entry in entries:
            disk_id = key(entry["managedDisk"]["id"])
            assert disk_id not in listed, f"{disk_id} is listed twice"
            listed[disk_id] = machine.key
            if machine.state == "Succeeded" and disk_id not in lost:
                assert not entry.get("toBeDetached"), entry
                assert disk_id in disks, f"{disk_id} is listed and gone"
                assert key(str(disks[disk_id].body.get("managedBy"))) == machine.key, disk_id
    for disk in disks.values():
        owner = disk.body.get("managedBy")
        assert (disk.properties.get("diskState") in ("Attached", "Reserved")) == bool(owner), disk.id


def check_world(world: Any) -> None:
    """All of it, for a world of this process."""
    resources = [each for kind in world.kinds() for each in world.all(kind)]
    running = world.running()
    making = {name for operation in running for name in works.made(operation.work)}
    held = {name for operation in running for name in works.held(operation.work)}
    check_blobs(resources, world.blobs.root, making, held)
    lost = {key(each["resource"]) for each in world.violations if each["law"] == "deleted-while-attaching"}
    check_attachments(resources, lost)
    for operation in world._operations.values():  # what a client sees by polling, all at once
        assert (operation.error or {}).get("code") != "InternalExecutionError", operation.error
    changing = {key(operation.target) for operation in running}
    for resource in resources:
        if resource.state in UNSETTLED:
            assert resource.key in changing, f"{resource.id} is {resource.state} for ever"
    host = world.find("virtualmachines", world.settings.host_id)
    if host.state == "Succeeded":
        entries = [
            entry
            for entry in host.properties["storageProfile"]["dataDisks"]
            if key(entry["managedDisk"]["id"]) not in lost
        ]
        listed = {int(entry["lun"]) for entry in host.properties["storageProfile"]["dataDisks"]}
        shown = {
            entry["lun"] for entry in entries if world.withheld.get(key(entry["managedDisk"]["id"]), 0) <= world.clock()
        }
        late = {int(entry["lun"]) for entry in entries} - shown
        assert shown <= set(world.devices.attached()) | late
        assert set(world.devices.attached()) <= listed
