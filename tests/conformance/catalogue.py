"""The platform images that a flow names: the catalogue of its world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.conformance.flows import Exchange
from tests.conformance.story import Json, bodies, references

from localarm.arm import Address
from localarm.catalogue import PlatformImage

Names = tuple[str, str, str, str]
UNNAMED: Names = ("x", "x", "x", "1.0.0")


class Images:
    """A catalogue of what the flow names; their content is a few bytes."""

    def __init__(self, folder: Path, flow: list[Exchange]) -> None:
        self._found = platform_images(flow)
        self._file = folder / "content"
        self._file.write_bytes(b"content")

    def images(self) -> list[Any]:
        return self._found

    def blob(self, image: Any, wanted: Callable[[], bool]) -> Path:
        return self._file


def platform_images(flow: list[Exchange]) -> list[PlatformImage]:
    """The platform images that a flow's references and listings name."""
    found: dict[Names, PlatformImage] = {}
    for exchange in flow:
        for document in [*bodies(exchange.answer), *_documents(exchange)]:
            _of_disk(document, found)
        for reference in _image_references([exchange.answer, exchange.body]):
            names = (
                reference["publisher"], reference["offer"], reference["sku"],
                reference.get("exactVersion") or reference["version"],
            )  # fmt: skip
            if names[3] != "latest":
                found.setdefault(names, PlatformImage(*names, 30, "V1", "x64", "Linux"))
    for exchange in sorted(flow, key=lambda each: -len(each.path.split("/"))):  # the deepest first
        for entry in exchange.answer if isinstance(exchange.answer, list) else [exchange.answer]:
            if isinstance(entry, dict) and "/publishers" in str(entry.get("id", "")).lower():
                _of_listing(entry, found)
        _of_path(exchange, found)
    return list(found.values())


def _documents(exchange: Exchange) -> list[Json]:
    body = exchange.body
    return [body] if isinstance(body, dict) and isinstance(body.get("properties"), dict) else []


def _of_disk(document: Json, found: dict[Names, PlatformImage]) -> None:
    """The image that a disk was made of: the disk shows its facts."""
    properties = document.get("properties") or {}
    for reference in references({"creationData": properties.get("creationData")}):
        address = Address.parse(reference)
        if address is not None and address.kind.endswith("skus/versions"):
            names = (address.names[1], address.names[3], address.names[4], address.names[5])
            capabilities = properties.get("supportedCapabilities") or {}
            known = found.get(names)
            if known is None or "osType" in properties:
                found[names] = PlatformImage(
                    *names, int(properties.get("diskSizeGB") or 30), properties.get("hyperVGeneration", "V1"),
                    capabilities.get("architecture", ""), properties.get("osType", "Linux"),
                )  # fmt: skip


def _image_references(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if all(isinstance(value.get(name), str) for name in ("publisher", "offer", "sku", "version")):
            yield value
        for child in value.values():
            yield from _image_references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _image_references(child)


def _of_listing(entry: Json, found: dict[Names, PlatformImage]) -> None:
    address = Address.parse(entry["id"])
    assert address is not None
    parts = _parts(address)
    if len(parts) < 4 and any(_lower(each[: len(parts)]) == _lower(parts) for each in found):
        return
    names: Names = (*parts, *UNNAMED[len(parts) :])  # type: ignore[assignment]
    properties = entry.get("properties") or {}
    if not properties and names in found:
        return
    disk = properties.get("osDiskImage") or {}
    found[names] = PlatformImage(
        *names, int(disk.get("sizeInBytes") or 30 << 30) >> 30, properties.get("hyperVGeneration", "V1"),
        properties.get("architecture", "x64"), disk.get("operatingSystem", "Linux"),
    )  # fmt: skip


def _of_path(exchange: Exchange, found: dict[Names, PlatformImage]) -> None:
    """What is asked about is there, be it that nothing of it is listed."""
    address = exchange.address
    if address is None or not address.kind.startswith("locations/publishers") or exchange.status != 200:
        return
    parts = _parts(address)
    if parts and not any(_lower(each[: len(parts)]) == _lower(parts) for each in found):
        names: Names = (*parts, *UNNAMED[len(parts) :])  # type: ignore[assignment]
        found[names] = PlatformImage(*names, 30, "V1", "x64", "Linux")


def _parts(address: Address) -> tuple[str, ...]:
    return tuple(name for index, name in enumerate(address.names) if index not in (0, 2))


def _lower(parts: tuple[str, ...]) -> list[str]:
    return [part.lower() for part in parts]
