"""Platform images: publishers, offers, skus and versions, out of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable

from localarm.arm import Address
from localarm.calls import Call
from localarm.errors import Refused
from localarm.messages import Json, Response
from localarm.parts import Image
from localarm.world import World


def publishers(call: Call) -> Response:
    """List publishers."""
    names = {image.publisher: None for image in call.world.catalogue.images()}
    return _names(call, "", names)


def offers(call: Call) -> Response:
    """List the offers of a publisher."""
    names = {image.offer: None for image in _matching(call)}
    return _names(call, "Offers", names)


def skus(call: Call) -> Response:
    """List the skus of an offer."""
    names = {image.sku: None for image in _matching(call)}
    return _names(
        call, "Skus", names, {"properties": {"automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False}}}
    )


def versions(call: Call) -> Response:
    """List the versions of a sku; `$top` and `$orderby=name desc` give the newest."""
    images = sorted(_matching(call), key=lambda image: version_key(image.version))
    query = {name.lower(): value for name, value in call.request.query.items()}
    if query.get("$orderby", "").lower().strip().endswith(" desc"):
        images.reverse()
    if query.get("$top", "").isdigit():
        images = images[: int(query["$top"])]
    if "properties" in query.get("$expand", "").lower():
        return Response(200, [_shown(call, image) for image in images])
    return Response(
        200, [{"location": call.address.names[0], "name": image.version, "id": _id(call, image)} for image in images]
    )


def version(call: Call) -> Response:
    """Show one version; `latest` is none."""
    wanted = call.address.names[-1]
    for image in _matching(call):
        if image.version == wanted:
            return Response(200, _shown(call, image))
    raise _missing(call.address)


def by_id(world: World, reference: str) -> Image:
    """The platform image that a disk's `imageReference.id` names.

    Raises:
        Refused: 400 when the id is of another form, 404 when there is no such image.
    """
    address = Address.parse(reference)
    if address is None or address.kind != "locations/publishers/artifacttypes/offers/skus/versions":
        message = (
            f"Parameter 'imageReference.id' has the invalid value '{reference}': it must name a platform image version."
        )
        raise Refused(400, "InvalidParameter", message, target="imageReference.id")
    for image in world.catalogue.images():
        if _parts(image) == _wanted(address):
            return image
    raise _missing(address)


def version_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Orders versions by number, part by part."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


def _wanted(address: Address) -> tuple[str, ...]:
    return tuple(name.lower() for index, name in enumerate(address.names) if index not in (0, 2))


def _parts(image: Image) -> tuple[str, ...]:
    return image.publisher.lower(), image.offer.lower(), image.sku.lower(), image.version.lower()


def _matching(call: Call) -> list[Image]:
    wanted = _wanted(call.address)
    found = [image for image in call.world.catalogue.images() if _parts(image)[: len(wanted)] == wanted]
    if not found:
        raise _missing(call.address)
    return found


def _missing(address: Address) -> Refused:
    spelled = ", ".join(f"{kind} '{name}'" for kind, name in zip(address.types, address.names, strict=False))
    return Refused(404, "NotFound", f"Artifact: VMImage was not found: {spelled}.")


def _names(call: Call, kind: str, names: Iterable[str], more: Json | None = None) -> Response:
    parts = call.address.names
    head = f"/Subscriptions/{call.address.subscription}/Providers/Microsoft.Compute/Locations/{parts[0]}/Publishers"
    if kind:
        head += f"/{parts[1]}/ArtifactTypes/VMImage"
        head += f"/Offers/{parts[3]}/Skus" if kind == "Skus" else "/Offers"
    return Response(
        200, [{**(more or {}), "location": parts[0], "name": name, "id": f"{head}/{name}"} for name in names]
    )


def _id(call: Call, image: Image) -> str:
    return (
        f"/Subscriptions/{call.address.subscription}/Providers/Microsoft.Compute/Locations/{call.address.names[0]}"
        f"/Publishers/{image.publisher}/ArtifactTypes/VMImage/Offers/{image.offer}/Skus/{image.sku}/Versions/{image.version}"
    )


def _shown(call: Call, image: Image) -> Json:
    properties = {
        "hyperVGeneration": image.hyperv_generation,
        "architecture": image.architecture,
        "replicaType": "Unmanaged",
        "disallowed": {"vmDiskType": "None"},
        "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
        "imageDeprecationStatus": {"imageState": "Active"},
        "osDiskImage": {"operatingSystem": image.os_type, "sizeInBytes": image.size_gb << 30},
        "dataDiskImages": [],
    }
    return {"properties": properties, "location": call.address.names[0], "name": image.version, "id": _id(call, image)}
