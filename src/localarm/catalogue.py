"""Platform images: what there is to start from, made on this machine on first use and kept in a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlatformImage:
    """One version of a platform image, with the values that Azure shows for it."""

    publisher: str
    offer: str
    sku: str
    version: str
    size_gb: int
    hyperv_generation: str
    """``V1`` or ``V2``."""
    architecture: str
    """``x64`` or ``Arm64``."""
    os_type: str

    @property
    def urn(self) -> str:
        """``publisher:offer:sku:version``."""
        return f"{self.publisher}:{self.offer}:{self.sku}:{self.version}"


class CatalogueError(Exception):
    """An image cannot be made; the message holds the last lines of the program that failed and what to install."""


class Catalogue:
    """The platform images. ``cache`` keeps what was made, for all worlds; ``tell`` is given progress lines."""

    def __init__(self, cache: Path, tell: Callable[[str], None]) -> None:
        self._cache = cache
        self._tell = tell

    def images(self) -> tuple[PlatformImage, ...]:
        """All images, each in the one version that is cached or, if none is, would be made."""
        raise NotImplementedError

    def find(self, publisher: str, offer: str, sku: str, version: str) -> PlatformImage | None:
        """The image with these names (case-insensitive); ``latest`` finds the newest version."""
        raise NotImplementedError

    def blob(self, image: PlatformImage) -> Path:
        """The raw disk, made first if it is not in the cache: seconds to minutes; safe in any number of threads and
        processes at once. Not to be changed. Raises :class:`CatalogueError`."""
        raise NotImplementedError

    def refresh(self, image: PlatformImage) -> PlatformImage:
        """Make a new version now, from the present package archives; older versions stay."""
        raise NotImplementedError
