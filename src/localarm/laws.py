"""Azure's rules, one small check each: it returns when the request is lawful and raises `Refused` when it is not.

The wording follows recordings, users' reports and documentation (see docs/localarm-operations.md for which).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from localarm import values
from localarm.arm import Address, key, name_of
from localarm.errors import Refused, gateway, invalid, not_allowed
from localarm.machine_disks import disk_of, entries
from localarm.messages import Json
from localarm.regions import display
from localarm.resources import Resource
from localarm.sizes import size_of
from localarm.world import World


def name_fits(name: str, longest: int, pattern: str = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?") -> None:
    """A resource's name has the allowed characters and length."""
    if len(name) > longest or not re.fullmatch(pattern, name):
        raise Refused(
            400, "InvalidParameter",
            f"The resource name '{name}' is invalid: at most {longest} characters, letters, digits, '_', '.' and '-', "
            "beginning with a letter, digit or '_' and ending with a letter, digit or '_'.",
            target="name",
        )  # fmt: skip


def location_known(world: World, body: Json) -> str:
    """The request names a region, and one this world has. Returns it in its short form."""
    location = str(body.get("location") or "").lower().replace(" ", "")
    if not location:
        raise gateway(400, "LocationRequired", "The location property is required for this definition.")
    if location not in world.settings.regions:
        known = ",".join(world.settings.regions)
        raise gateway(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type. List of available "
            f"regions for the resource type is '{known}'.",
        )
    return location


def size_given(gb: Any) -> int:
    """An empty disk says how large it is: 1 to 65536 GiB."""
    if gb is None:
        raise invalid("diskSizeGB", "Required parameter 'diskSizeGB' is missing (null).")
    if not isinstance(gb, int) or isinstance(gb, bool) or not 1 <= gb <= 65536:
        raise invalid("diskSizeGB", f"The value '{gb}' of parameter 'diskSizeGB' is out of range: 1 to 65536.")
    return gb


def grows(asked: Any, present: int) -> None:
    """A disk is no smaller than its source."""
    if asked is None:
        return
    size_given(asked)
    if asked < present:
        raise Refused(
            400,
            "BadRequest",
            f"Disk size {asked}GB is smaller than that of the source, {present}GB. Only increasing the size of a disk is "
            "supported.",
        )


def same_region(source: Resource, location: str) -> None:
    """A copy lies in the region of its source."""
    location = location.lower().replace(" ", "")
    if source.location != location:
        raise Refused(
            400,
            "BadRequest",
            f"The source {source.id} in location '{source.location}' does not belong to the same region as "
            f"the disk ('{location}').",
        )


def same_place(found: Resource, location: str) -> None:
    """A resource cannot move to another region."""
    location = location.lower().replace(" ", "")
    if location and location != found.location:
        raise gateway(
            409,
            "InvalidResourceLocation",
            f"The resource '{found.name}' already exists in location '{found.location}' in resource group. "
            f"A resource with the same name cannot be created in location '{location}'. Please select a new "
            "resource name.",
        )


def lister(world: World, disk: Resource) -> str:
    """Id of the machine that lists a disk, attached or about to be; empty when none does."""
    for machine in world.all("virtualmachines"):
        if any(key(disk_of(entry)) == disk.key for entry in entries(machine)):
            return machine.id
    return ""


def not_attached(world: World, disk: Resource) -> None:
    """A disk that a machine lists cannot be deleted."""
    owner = lister(world, disk)
    if owner:
        raise not_allowed(f"Disk {disk.name} is attached to VM {owner}.")


def not_attached_for_resize(world: World, disk: Resource) -> None:
    """A disk that a machine lists, attached or about to be, is not resized here."""
    owner = str(disk.body.get("managedBy") or "") or lister(world, disk)
    if owner:
        raise Refused(
            409,
            "OperationNotAllowed",
            f"Cannot resize disk {disk.name} while it is attached to running VM {owner}. "
            "Resizing a disk of an Azure Virtual Machine requires the virtual machine to be deallocated. "
            "Please stop your VM and retry the operation.",
        )


GRANTED = ("ActiveSAS", "ActiveUpload", "ReadyToUpload")
"""States of a disk or snapshot while someone has access to its bytes."""


def no_access_granted(disk: Resource) -> None:
    """A disk or snapshot to which access is granted cannot be deleted, attached or changed."""
    if disk.properties.get("diskState") in GRANTED:
        raise not_allowed(
            f"Disk {disk.name} has an active shared access signature. Call EndGetAccess on it and then retry."
        )


def not_changing(world: World, resource: Resource) -> None:
    """No other operation runs on the resource."""
    if world.running(resource.id):
        raise Refused(
            409,
            "Conflict",
            f"The request on resource '{resource.name}' failed due to conflict with a concurrent request. "
            "To resolve it, please refer to https://aka.ms/activitylog to get more details on the "
            "conflicting requests.",
        )


def max_data_disks(machine: Resource) -> int:
    """How many data disks the machine's size takes."""
    size = size_of(str(machine.properties["hardwareProfile"]["vmSize"]))
    return size.data_disks if size else 64


def not_marked_for_deletion(machine: Resource, operation: str) -> None:
    """A machine that is being deleted takes no other write, not even one that would preempt the deletion."""
    if machine.state == "Deleting":
        raise not_allowed(
            f"Operation '{operation}' is not allowed on VM '{machine.name}' since the VM is marked for deletion. You can "
            "only retry the Delete operation (or wait for an ongoing one to complete)."
        )


def disks_fit(machine: Resource, count: int) -> None:
    """A machine's size takes that many data disks."""
    most = max_data_disks(machine)
    if count > most:
        raise Refused(
            409,
            "OperationNotAllowed",
            f"The maximum number of data disks allowed to be attached to a VM of this size is {most}.",
            target="dataDisks",
        )


def luns_differ(machine: Resource, luns: Iterable[int]) -> None:
    """Every data disk has a LUN of its own, below the number the size allows."""
    most = max(max_data_disks(machine), 1)
    seen: set[int] = set()
    for lun in luns:
        if lun in seen:
            raise invalid("dataDisk.lun", f"A disk at LUN {lun} already exists.")
        if not 0 <= lun < most:
            raise invalid(
                "dataDisk.lun", f"The value '{lun}' of parameter 'dataDisk.lun' is out of range: 0 to {most - 1}."
            )
        seen.add(lun)


def attachable(world: World, machine: Resource, disk: Resource) -> None:
    """A disk is free, in the machine's region and zone, and of the machine's subscription."""
    owner = str(disk.body.get("managedBy") or "") or lister(world, disk)
    if owner and key(owner) != machine.key:
        raise Refused(
            409,
            "ConflictingUserInput",
            f"Disk '{disk.id}' cannot be attached as the disk is already owned by VM '{owner}'.",
        )
    if disk.location != machine.location:
        raise Refused(
            400,
            "BadRequest",
            f"Disk '{disk.name}' in location '{disk.location}' cannot be attached to the VM in location "
            f"'{machine.location}'.",
        )
    zone, disk_zone = (machine.body.get("zones") or [""])[0], (disk.body.get("zones") or [""])[0]
    if disk_zone and zone != disk_zone:
        raise Refused(
            400, "BadRequest", f"Disk {disk.name} cannot be attached to the VM because it is not in zone '{disk_zone}'."
        )
    if zone and not disk_zone and not str(disk.body["sku"]["name"]).endswith("_ZRS"):
        raise Refused(
            400, "BadRequest", f"Disk {disk.name} cannot be attached to the VM because it is not in zone '{zone}'."
        )
    if key(disk.id).split("/")[2] != machine.key.split("/")[2]:
        raise invalid(
            "dataDisk.managedDisk.id",
            f"Subscription {machine.id.split('/')[2]} of the request must match the subscription "
            f"{disk.id.split('/')[2]} contained in the managed disk id.",
        )
    if disk.state != "Succeeded":
        raise Refused(
            409, "Conflict", f"Disk '{disk.name}' is in provisioning state '{disk.state}' and cannot be attached yet."
        )
    no_access_granted(disk)
    not_changing(world, disk)


def being_detached(machine: Resource, disk: Resource, present: Iterable[Json]) -> None:
    """A disk that is on its way out cannot be attached again before it is gone."""
    for entry in present:
        if entry.get("toBeDetached") and key(entry["managedDisk"]["id"]) == disk.key:
            raise Refused(
                409,
                "AttachDiskWhileBeingDetached",
                f"Cannot attach data disk '{disk.name}' to VM '{machine.name}' because the disk is currently "
                "being detached or the last detach operation failed. Please wait until the disk is completely "
                "detached and then try again or delete/detach the disk explicitly again.",
            )


def etag_matches(resource: Resource, headers: Any) -> None:
    """`If-Match` names the present etag, and `If-None-Match: *` asks that there is none."""
    if str(headers.get("if-none-match", "")).strip() == "*":
        raise Refused(412, "PreconditionFailed", f"Resource '{resource.name}' exists already: if-none-match is '*'.")
    wanted = str(headers.get("if-match", "")).strip()
    if wanted and wanted != "*" and wanted.strip('"') != str(resource.etag):
        raise Refused(
            412,
            "PreconditionFailed",
            f'Etag provided in if-match header {wanted} does not match etag "{resource.etag}" of resource.',
        )


def nothing_to_match(headers: Any, name: str) -> None:
    """`If-Match` on a machine that is not there: it was deleted, and is not made anew."""
    if headers.get("if-match"):
        raise Refused(412, "PreconditionFailed", f"Resource '{name}' does not exist: there is no etag to match.")


def group_exists(world: World, address: Address) -> Resource:
    """The resource group is there."""
    group = f"/subscriptions/{address.subscription}/resourceGroups/{address.group}"
    found = world.find("resourcegroups", group)
    if found is None:
        raise gateway(404, "ResourceGroupNotFound", f"Resource group '{address.group}' could not be found.")
    return found


def group_stays(group: Resource) -> None:
    """Nothing is written into a resource group that is being deleted."""
    if group.state == "Deleting":
        message = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
        raise gateway(409, "ResourceGroupBeingDeleted", message)


def gallery_name_fits(name: str) -> None:
    """A gallery's name: letters and digits, with '_' (recorded) and '.' in the middle, at most 80 characters."""
    _name_between(name, "_.")


def definition_name_fits(name: str) -> None:
    """The name of an image definition: as a gallery's, and '-' in the middle."""
    _name_between(name, "_.-")


def _name_between(name: str, middle: str) -> None:
    if len(name) > 80 or not re.fullmatch(rf"[A-Za-z0-9]([A-Za-z0-9{re.escape(middle)}]*[A-Za-z0-9])?", name):
        allowed = " and ".join(f"'{each}'" for each in middle)
        raise invalid(
            "name",
            f"The name '{name}' is invalid: letters and digits, with {allowed} in the middle, at most 80 characters.",
        )


def version_name_fits(name: str) -> None:
    """A version's name is three numbers of 32 bits, `major.minor.patch`."""
    parts = name.split(".")
    if len(parts) != 3 or not all(part.isdigit() and int(part) < 1 << 31 for part in parts):
        raise Refused(
            400,
            "InvalidParameter",
            f"The gallery image version name '{name}' is invalid: it must follow the "
            "Major(int).Minor(int).Patch(int) format.",
            target="galleryImageVersion.name",
        )


def definition_complete(asked: Json) -> None:
    """A definition says operating system, state and identifier."""
    for name in ("osType", "osState", "identifier"):
        if not asked.get(name):
            target = f"galleryImage.properties.{name}"
            raise invalid(target, f"Required parameter '{target}' is missing (null).")
    for name in ("publisher", "offer", "sku"):
        if not asked["identifier"].get(name):
            target = f"galleryImage.properties.identifier.{name}"
            raise invalid(target, f"Required parameter '{target}' is missing (null).")
    allowed = {
        "osType": values.OS_TYPES,
        "osState": values.OS_STATES,
        "hyperVGeneration": values.GENERATIONS,
        "architecture": values.ARCHITECTURES,
    }
    for name, words in allowed.items():
        if name in asked:
            values.one_of(asked[name], words, f"galleryImage.properties.{name}")
    values.date_lawful(asked.get("endOfLifeDate"), "galleryImage.properties.endOfLifeDate")


def identifier_unused(world: World, gallery_id: str, identifier: Json) -> None:
    """No two definitions of a gallery have one identifier."""
    for other in world.all("galleries/images", gallery_id):
        present = other.properties["identifier"]
        if all(str(present[name]).lower() == str(identifier[name]).lower() for name in ("publisher", "offer", "sku")):
            raise Refused(
                409,
                "Conflict",
                f"A gallery image with the same identifier exists already: '{other.id}'.",
                target="galleryImage.properties.identifier",
            )


def definition_matches(definition: Resource, os_type: Any, generation: Any, state: Any = None) -> None:
    """A version's source is what its definition says: operating system, generation, state."""
    for name, value in (("osType", os_type), ("hyperVGeneration", generation), ("osState", state)):
        wanted = definition.properties.get(name)
        if value and wanted and value != wanted:
            raise Refused(
                409,
                "OperationNotAllowed",
                f"The {name} '{value}' of the source does not match the {name} '{wanted}' of gallery image "
                f"'{definition.name}'.",
                target=f"galleryImage.properties.{name}",
            )


def regions_lawful(world: World, regions: list[str], location: str) -> None:
    """Target regions are known, each named once, and one is the version's own."""
    if len(set(regions)) != len(regions):
        raise invalid(
            "galleryImageVersion.properties.publishingProfile.targetRegions", "A target region is named more than once."
        )
    for region in regions:
        if region not in world.settings.regions:
            raise invalid(
                "galleryImageVersion.properties.publishingProfile.targetRegions",
                f"The target region '{region}' is unknown.",
            )
    if location not in regions:
        named = ", ".join(regions)
        raise invalid(
            "galleryImageVersion.properties.publishingProfile.targetRegions",
            f"Gallery image version publishing profile regions '{named}' must contain the location of image "
            f"version '{display(location)}'. ",
        )


def image_unused(world: World, image: Resource) -> None:
    """A managed image is the source of one version at a time."""
    for version in world.all("galleries/images/versions"):
        source = (version.properties["storageProfile"].get("source") or {}).get("id", "")
        if version.state == "Creating" and key(str(source)) == image.key:
            raise Refused(
                409, "Conflict", f"Image '{image.name}' is being used to create gallery image version '{version.id}'."
            )


def no_children(world: World, resource: Resource, kind: str) -> None:
    """Nothing lies below a resource that is to be deleted."""
    if kind and world.all(kind, resource.id):
        raise Refused(409, "CannotDeleteResource", "Can not delete resource before nested resources are deleted.")


def parent_exists(world: World, address: Address, verb: str = "write") -> None:
    """What a nested resource lies in is there."""
    parent = address.parent
    nested = bool(parent.types and parent.namespace) and len(parent.names) == len(parent.types)
    if nested and not parent.kind.startswith("locations") and world.find(parent.kind, parent.id) is None:
        kind = "/".join(address.types).lower()
        raise gateway(
            404,
            "ParentResourceNotFound",
            f"Failed to perform '{verb}' on resource(s) of type '{kind}', because the parent resource "
            f"'{parent.id}' could not be found.",
        )


def size_known(name: str) -> None:
    """The machine's size exists."""
    if size_of(name) is None:
        raise invalid("vmSize", f"The value {name} provided for the VM size is not valid.")


def generalized(machine: Resource, operation: str) -> None:
    """The machine was marked as generalized."""
    if not machine.hidden.get("generalized"):
        message = f"The operation '{operation}' requires the Virtual Machine '{machine.name}' to be Generalized."
        raise Refused(409, "OperationNotAllowed", message)


def can_be_captured(machine: Resource, operation: str) -> None:
    """A machine that is captured is not still being created, and its creation did not fail before it had an OS disk."""
    if machine.state == "Creating":
        raise not_allowed(
            f"Operation '{operation}' is not allowed on VM '{machine.name}' since another operation is in progress."
        )
    if not disk_of(machine.properties["storageProfile"]["osDisk"]):
        raise not_allowed(f"Operation '{operation}' is not allowed on VM '{machine.name}' since it has no OS disk.")


def not_running(machine: Resource, operation: str) -> None:
    """The machine is stopped."""
    if machine.hidden.get("power", "running") == "running":
        raise not_allowed(
            f"Operation '{operation}' is not allowed on VM '{machine.name}' since the VM is running. Please power off "
            "explicitly in case you shut down the VM from inside the guest operating system."
        )


def copy_start_lawful(source: Resource, asked: Json) -> None:
    """A copy across regions is of an incremental snapshot, and is one."""
    if source.kind != "snapshots" or not source.properties.get("incremental") or not asked.get("incremental"):
        raise invalid("creationData.createOption", "CopyStart is for incremental snapshots of incremental snapshots.")


def uploaded(source: Resource) -> None:
    """A disk that waits for an upload has no content and no size yet."""
    if source.properties.get("diskState") in ("ReadyToUpload", "ActiveUpload"):
        raise not_allowed(
            f"Disk '{source.name}' is in state '{source.properties['diskState']}': its content is not uploaded yet."
        )


def made(source: Resource) -> None:
    """What a failed creation left has no content: it can be deleted, or created again."""
    if source.hidden.get("unmade"):
        raise not_allowed(
            f"'{source.name}' is in provisioning state '{source.state}': it was not created successfully."
        )


def named_once(disk_ids: Iterable[str]) -> None:
    """No disk is attached twice, whether in one request or because it is attached already."""
    seen: set[str] = set()
    for disk_id in filter(None, disk_ids):
        if key(disk_id) in seen:
            raise invalid("dataDisks", f"A disk named '{name_of(disk_id)}' already exists.")
        seen.add(key(disk_id))
