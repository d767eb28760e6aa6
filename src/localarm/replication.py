"""Where image versions are: how far each region is, and which version a reference means in a region."""

from __future__ import annotations

from localarm.arm import Address
from localarm.calls import not_found
from localarm.errors import Refused, invalid
from localarm.galleries import DEFINITION, VERSION
from localarm.messages import Json
from localarm.platform_images import version_key
from localarm.regions import short
from localarm.resources import Resource
from localarm.world import World


def replication(found: Resource, now: float) -> Json:
    """How far each region is: an object as `$expand=ReplicationStatus` shows it."""
    summary = []
    for region, (since, until) in found.hidden["regions"].items():
        if region in found.hidden.get("failed", {}):
            summary.append({"region": region, "state": "Failed", "progress": found.hidden["failed"][region]})
            continue
        progress = _progress(since, until, now)
        state = "Completed" if progress == 100 else "Replicating"
        summary.append({"region": region, "state": state, "progress": progress})
    states = {each["state"] for each in summary}
    whole = "Failed" if "Failed" in states else "InProgress" if "Replicating" in states else "Completed"
    return {"aggregatedState": whole, "summary": summary}


def broken_off(found: Resource, at: float) -> Resource:
    """A version whose creation or update failed at a moment: regions that it was still being copied to have failed.

    At least one has: the operation would have ended with the last of them.
    """
    regions, begun = found.hidden["regions"], found.hidden.get("replicating", [])
    lost = [region for region in begun if regions[region][1] >= at] or begun[-1:]
    failed = {}
    for region in lost:
        since, until = regions[region]
        failed[region] = min(99, _progress(since, until, at))
    return found.with_hidden(failed=failed)


def _progress(since: float, until: float, now: float) -> int:
    """Per cent."""
    return 100 if now >= until else int(max(0.0, (now - since) / (until - since)) * 100)


def resolved(world: World, reference: str, location: str) -> Resource:
    """The version that a disk's `galleryImageReference.id` names: a version, or a definition or `latest` for its newest.

    Raises:
        Refused: 404 when there is none, or none in this region yet.
    """
    address = Address.parse(reference)
    if address is None or address.kind not in (VERSION, DEFINITION):
        raise invalid(
            "galleryImageReference.id", f"The value '{reference}' of parameter 'galleryImageReference.id' is invalid."
        )
    if address.kind == VERSION and address.name.lower() != "latest":
        found = world.find(VERSION, reference)
        if found is None:
            raise not_found(address)
    else:
        definition = address.id if address.kind == DEFINITION else address.parent.id
        versions = [each for each in world.all(VERSION, definition) if _offered(world, each, location)]
        if not versions:
            raise _unavailable(reference, location)
        found = max(versions, key=lambda each: version_key(each.name))
    if not _in_region(world, found, location):
        raise _unavailable(found.id, location)
    return found


def _offered(world: World, version: Resource, location: str) -> bool:
    excluded = version.properties["publishingProfile"].get("excludeFromLatest", False)
    return not excluded and version.state in ("Succeeded", "Updating") and _in_region(world, version, location)


def _in_region(world: World, version: Resource, location: str) -> bool:
    _, until = version.hidden["regions"].get(short(location), (0, float("inf")))
    if short(location) in version.hidden.get("failed", {}):
        return False
    return bool(world.clock() >= until) and version.state in ("Succeeded", "Updating")


def _unavailable(reference: str, location: str) -> Refused:
    message = (
        f"The gallery image {reference} is not available in {location} region. Please contact image owner to replicate "
        "to this region, or change your requested region."
    )
    return Refused(404, "GalleryImageNotFound", message, target="galleryImageReference")
