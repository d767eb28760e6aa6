"""What a world is given at birth to work with, as far as it uses it: blobs, platform images, a workshop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol


class Blobs(Protocol):
    """The blob store, as far as the world uses it (`localarm.blobs.BlobStore`)."""

    def create(self, name: str, size_bytes: int) -> Any: ...
    def copy(self, source: Path | str, name: str, size_bytes: int | None = None) -> Any: ...
    def share(self, name: str, as_name: str) -> Any: ...
    def thaw(self, name: str) -> Any: ...
    def resize(self, name: str, size_bytes: int) -> Any: ...
    def delete(self, name: str) -> Any: ...
    def path(self, name: str) -> Path: ...
    def exists(self, name: str) -> bool: ...
    def names(self) -> Iterable[str]: ...


class Image(Protocol):
    """A platform image (`localarm.catalogue.PlatformImage`)."""

    @property
    def publisher(self) -> str: ...
    @property
    def offer(self) -> str: ...
    @property
    def sku(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def size_gb(self) -> int: ...
    @property
    def hyperv_generation(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def os_type(self) -> str: ...


class Images(Protocol):
    """The catalogue of platform images (`localarm.catalogue.Catalogue`)."""

    def images(self) -> Iterable[Image]: ...
    def blob(self, image: Any, wanted: Callable[[], bool]) -> Path: ...


Job = Callable[[], None]
Workshop = Callable[[Job, Callable[[BaseException | None], None]], None]
"""Runs a job (off the event loop, where there is one) and calls back, in the world's thread, when it is over."""


def inline_workshop(job: Job, over: Callable[[BaseException | None], None]) -> None:
    """A workshop that works at once."""
    try:
        job()
    except Exception as error:  # noqa: BLE001 - the operation fails with it, whatever it is
        over(error)
    else:
        over(None)
