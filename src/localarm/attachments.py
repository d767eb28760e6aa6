"""A change of a machine's data disks, worked out before anything happens: what comes, what goes, and whether it may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from localarm import disks, laws, values
from localarm.arm import key
from localarm.calls import Call
from localarm.errors import Refused, invalid
from localarm.machine_disks import disk_of
from localarm.messages import Json
from localarm.resources import Resource
from localarm.world import World


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a machine's data disks: the list as it will be shown at once, and what comes and goes."""

    entries: tuple[Json, ...]
    coming: tuple[Json, ...]
    going: tuple[Json, ...]

    @property
    def kind(self) -> str:
        """Which durations apply."""
        forced = [entry for entry in self.going if entry.get("detachOption") == "ForceDetach"]
        if self.coming:
            return "attach.detach" if len(forced) < len(self.going) else "attach"
        if not self.going:
            return "update"
        if len(forced) == len(self.going):
            return "detach.force"
        return "detach" if len(self.going) == 1 else "detach.several"


def planned(call: Call, machine: Resource, wanted: Iterable[Json]) -> Change:
    """What makes a machine's data disks those wanted.

    Raises:
        Refused: a law says no; then nothing changes.
    """
    present: list[Json] = machine.properties["storageProfile"].get("dataDisks", [])
    by_id = {key(entry["managedDisk"]["id"]): entry for entry in present}
    kept: dict[str, Json] = {}
    coming: list[Json] = []
    for entry in map(_spelled, wanted):
        disk_id = key(str((entry.get("managedDisk") or {}).get("id", "")))
        if not disk_id and entry.get("createOption") == "Empty":
            coming.append(_new_empty(call, machine, entry))
        elif disk_id in by_id and not (by_id[disk_id].get("toBeDetached") and not entry.get("toBeDetached")):
            _unchanged(by_id[disk_id], entry)
            kept[disk_id] = entry
        else:
            coming.append(_entry(call.world, machine, entry, present))
    entries: list[Json] = []
    going: list[Json] = []
    for disk_id, entry in by_id.items():
        stays = disk_id in kept and not kept[disk_id].get("toBeDetached") and not entry.get("toBeDetached")
        if stays:
            entries.append({**entry, **{name: kept[disk_id][name] for name in ("caching",) if name in kept[disk_id]}})
        else:
            option = kept.get(disk_id, {}).get("detachOption")
            gone = {**entry, "toBeDetached": True, **({"detachOption": option} if option else {})}
            entries.append(gone)
            going += [] if entry.get("toBeDetached") else [gone]
    laws.named_once(
        disk_of(each) for each in [machine.properties["storageProfile"].get("osDisk", {}), *entries, *coming]
    )
    laws.disks_fit(machine, len(entries) + len(coming) - sum(bool(each.get("toBeDetached")) for each in entries))
    laws.luns_differ(machine, [int(each["lun"]) for each in [*entries, *coming]])
    return Change((*entries, *coming), tuple(coming), tuple(going))


def _entry(world: World, machine: Resource, entry: Json, present: list[Json]) -> Json:
    """A new entry as the service shows it: what the request left out is filled in."""
    disk = disks.find_disk(world, str((entry.get("managedDisk") or {}).get("id", "")))
    laws.being_detached(machine, disk, present)
    laws.attachable(world, machine, disk)
    shown: Json = {
        "lun": _lun(entry), "name": disk.name, "createOption": "Attach", "caching": entry.get("caching") or "None",
        **({"writeAcceleratorEnabled": bool(entry["writeAcceleratorEnabled"])} if "writeAcceleratorEnabled" in entry else {}),
        "managedDisk": {"storageAccountType": disk.body["sku"]["name"], "id": disk.id},
        "deleteOption": entry.get("deleteOption") or "Detach", "diskSizeGB": disk.properties["diskSizeGB"],
        "toBeDetached": False,
    }  # fmt: skip
    return shown


def _new_empty(call: Call, machine: Resource, entry: Json) -> Json:
    """An entry that makes its disk: an empty one in the machine's group."""
    name = str(entry.get("name") or f"{machine.name}_disk_{call.world.new_id()[:8]}")
    disk_id = f"{machine.id.rpartition('/providers/')[0]}/providers/Microsoft.Compute/disks/{name}"
    if call.world.find(disks.KIND, disk_id) is not None:
        raise Refused(409, "ConflictingUserInput", f"Disk '{name}' already exists in resource group.")
    gb = laws.size_given(entry.get("diskSizeGB"))
    sku = str((entry.get("managedDisk") or {}).get("storageAccountType") or "Premium_LRS")
    disks.made_empty(call, disk_id, machine, gb, sku)
    return {
        "lun": _lun(entry), "name": name, "createOption": "Empty", "caching": entry.get("caching") or "None",
        "managedDisk": {"storageAccountType": sku, "id": disk_id},
        "deleteOption": entry.get("deleteOption") or "Detach", "diskSizeGB": gb, "toBeDetached": False,
    }  # fmt: skip


def _lun(entry: Json) -> int:
    if entry.get("lun") is None:
        raise invalid("dataDisk.lun", "Required parameter 'dataDisk.lun' is missing (null).")
    return int(entry["lun"])


def _spelled(entry: Json) -> Json:
    """An entry of a request with its words as Azure spells them.

    Raises:
        Refused: there is no such word.
    """
    allowed = {
        "caching": values.CACHINGS,
        "deleteOption": values.DELETE_OPTIONS,
        "detachOption": values.DETACH_OPTIONS,
        "createOption": values.CREATE_OPTIONS,
    }
    given = {name: words for name, words in allowed.items() if entry.get(name)}
    return {**entry, **{name: values.one_of(entry[name], words, f"dataDisk.{name}") for name, words in given.items()}}


def _unchanged(present: Json, asked: Json) -> None:
    for name in ("lun", "name"):
        if asked.get(name) is not None and str(asked[name]).lower() != str(present[name]).lower():
            raise Refused(
                409,
                "PropertyChangeNotAllowed",
                f"Changing property 'dataDisk.{name}' is not allowed.",
                target=f"dataDisk.{name}",
            )
