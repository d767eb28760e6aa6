"""The three ways to name what an image is built from."""

from __future__ import annotations

from gilder.model.ids import ArmId
from gilder.model.spec import GalleryVersion, ManagedDisk, PlatformImage, Source
from gilder.template.weak import Unfit

FORMS = (
    "allowed: publisher:offer:sku:version (the version may be latest),\n"
    "the id of a managed disk (…/providers/Microsoft.Compute/disks/NAME),\n"
    "or the id of a gallery image version (…/galleries/GALLERY/images/IMAGE/versions/VERSION)"
)


def parse_source(text: str) -> Source:
    """The source that a text names; raises Unfit."""
    if text.startswith("/"):
        return _resource(text)
    parts = text.split(":")
    if len(parts) != 4:
        raise Unfit(f'"{text}" is not a source', FORMS)
    for name, part in zip(("publisher", "offer", "sku", "version"), parts, strict=True):
        if not part:
            raise Unfit(f'"{text}" is not a source: its {name} is empty', FORMS)
        if any(c.isspace() or c == "/" for c in part):
            raise Unfit(f'"{text}" is not a source: its {name} {part!r} holds a space or a slash', FORMS)
    return PlatformImage(*parts)


def _resource(text: str) -> Source:
    try:
        id_ = ArmId.parse(text)
    except ValueError as error:
        raise Unfit(str(error), FORMS) from None
    if id_.is_type("disks"):
        return ManagedDisk(id_)
    if id_.is_type("galleries", "images", "versions"):
        return GalleryVersion(id_)
    if id_.is_type("galleries", "images"):
        raise Unfit(f'"{text}" lacks its version', "append /versions/latest or /versions/MAJOR.MINOR.PATCH")
    raise Unfit(f"a resource of type {id_.type} cannot be a source", FORMS)
