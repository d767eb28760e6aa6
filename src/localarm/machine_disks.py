"""The disks that a machine lists."""

from __future__ import annotations

from localarm.messages import Json
from localarm.resources import Resource


def entries(machine: Resource) -> list[Json]:
    """The entries of a machine's managed disks, that of the OS disk first; one that is still to be made has no id yet."""
    storage = machine.properties["storageProfile"]
    return [each for each in (storage.get("osDisk", {}), *storage.get("dataDisks", [])) if disk_of(each)]


def disk_of(entry: Json) -> str:
    """The id of an entry's disk; empty when it has none."""
    return str((entry.get("managedDisk") or {}).get("id", ""))
