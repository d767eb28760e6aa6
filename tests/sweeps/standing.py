"""What stands in a scene: what is a build's and what is somebody else's, and whether that is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.sweeps.scene import Scene
from tests.sweeps.watch import ours
from tests.virtual.place import VM

from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec
from gilder.model.tags import RUN
from localarm.resources import Resource

OURS = "gilder-run"
"""How the names begin that gilder chooses."""

_OF_ATTACHMENTS = ("managedBy", "diskState", "LastOwnershipUpdateTime")
"""What a disk shows of who has it: whether that is as it was is asked apart, by the requests that change it."""


@dataclass(frozen=True)
class Strangers:
    """What is not ours, as it was: resources and the VM with their contents, and disks in the machine by LUN with numbers."""

    resources: dict[str, Any]
    machine: Any
    plugged: dict[int, int]


def strangers(scene: Scene, specs: Sequence[BuildSpec]) -> Strangers:
    """What is not ours now."""
    found = {}
    mine = {str(id_).lower() for spec in specs for id_ in products(spec)}
    for kind in scene.world.kinds():
        for resource in scene.world.all(kind):
            temporary = kind in ("disks", "snapshots") and ours(resource)
            product = resource.id.lower() in mine and not scene.is_theirs(resource)
            if kind != "virtualmachines" and not temporary and not product:
                found[resource.id] = _content(resource)
    plugged = {lun: number for lun, number in scene.plugs.sequence.items() if lun in _foreign(scene)}
    return Strangers(found, _machine(scene), plugged)


def _content(resource: Resource) -> Any:
    """What a stranger would miss of a resource."""
    body = {name: value for name, value in resource.body.items() if name not in _OF_ATTACHMENTS}
    body["properties"] = {n: v for n, v in resource.properties.items() if n not in _OF_ATTACHMENTS}
    return body, resource.hidden, resource.blob


def _machine(scene: Scene) -> Any:
    """The VM but for its data disks, and what every write changes."""
    machine = scene.world.find("virtualmachines", str(VM))
    assert machine is not None
    storage = {name: value for name, value in machine.properties["storageProfile"].items() if name != "dataDisks"}
    properties = {**machine.properties, "storageProfile": storage, "provisioningState": ""}
    return {name: value for name, value in {**machine.body, "properties": properties}.items() if name != "etag"}


def products(spec: BuildSpec) -> list[ArmId]:
    """What a build is to make."""
    found = [spec.image_resource_id] if spec.image_resource_id else []
    if spec.shared_image_destination:
        found.append(spec.shared_image_destination.version_id(VM.subscription))
    return found


def _foreign(scene: Scene) -> set[int]:
    return {entry["lun"] for entry in entries(scene) if not _is_ours(scene, entry)}


def _is_ours(scene: Scene, entry: dict[str, Any]) -> bool:
    disk = scene.world.find("disks", str(entry["managedDisk"]["id"]))
    return ours(disk) or (disk is None and name_of(entry).startswith(OURS))


def entries(scene: Scene) -> list[dict[str, Any]]:
    machine = scene.world.find("virtualmachines", str(VM))
    assert machine is not None
    found: list[dict[str, Any]] = machine.properties["storageProfile"].get("dataDisks", [])
    return found


def name_of(entry: dict[str, Any]) -> str:
    return str(entry["managedDisk"]["id"]).rpartition("/")[2]


def standing(scene: Scene, id_: str) -> bool:
    """Whether a resource is there, whoever made it, and nobody is deleting it."""
    found = next((each for kind in scene.world.kinds() if (each := scene.world.find(kind, id_))), None)
    return found is not None and found.state != "Deleting"


def remains(scene: Scene, run: str = "") -> set[str]:
    """What of ours (or of one run) there is that only a build needs, as a person would name it."""

    def counts(resource: Resource | None) -> bool:
        return resource is not None and ours(resource) and run in ("", resource.body["tags"][RUN])

    found = {
        f"{kind.removesuffix('s')} {each.name}"
        for kind in ("disks", "snapshots")
        for each in scene.world.all(kind)
        if counts(each)
    }
    attached = [
        entry
        for entry in entries(scene)
        if counts(disk := scene.world.find("disks", str(entry["managedDisk"]["id"])))
        or (disk is None and _is_ours(scene, entry))
    ]
    return found | {f"attachment {name_of(entry)}" for entry in attached}


def strangers_detaches(scene: Scene) -> int:
    """How often a stranger took a disk from the VM."""
    return sum(entry.get("faults", []).count("stranger-detaches") for entry in scene.application.audit)


def _namesakes_harmed(scene: Scene) -> Iterator[str]:
    for id_, tags in scene.kept.items():
        found = next((each for kind in scene.world.kinds() if (each := scene.world.find(kind, id_))), None)
        if found is None or found.state == "Deleting" or not scene.is_theirs(found):
            yield f"what others made as {id_.rpartition('/')[2]} is gone"
        elif found.body.get("tags") != tags:
            yield f"what others made as {id_.rpartition('/')[2]} has changed"


def harmed(scene: Scene, specs: Sequence[BuildSpec], before: Strangers) -> Iterator[str]:
    """Where something of others' is not as it was."""
    yield from _namesakes_harmed(scene)
    now = strangers(scene, specs)
    mine = {str(id_).lower() for spec in specs for id_ in products(spec)}
    for id_, as_it_was in before.resources.items():
        if id_.lower() in mine:  # to be replaced, or made by others meanwhile: see there
            continue
        if id_ not in now.resources:
            yield f"a stranger's {id_.rpartition('/')[2]} is gone"
        elif now.resources[id_] != as_it_was:
            yield f"a stranger's {id_.rpartition('/')[2]} has changed"
    if now.machine != before.machine:
        yield "the VM has changed in more than its data disks"
    # Whether gilder asked for it is judged where it asks; this sees what the cloud makes of a request.
    torn = [lun for lun, number in before.plugged.items() if now.plugged.get(lun) != number]
    attached = {name_of(entry) for entry in entries(scene)}
    known = {id_.rpartition("/")[2] for id_ in before.resources}
    came = {disk.name for disk in scene.world.all("disks") if disk.name.startswith("stranger-")} - known
    if len(torn) + len(came - attached) > strangers_detaches(scene):
        yield f"a stranger's disk was taken from the machine: at the LUNs {torn}, or of {sorted(came - attached)}"
