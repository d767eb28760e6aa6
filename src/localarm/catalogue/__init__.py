"""Platform images: what there is to start from, made on this machine on first use and kept in a cache."""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from localarm.blobs import copy_sparse
from localarm.catalogue import busybox, debian
from localarm.catalogue.making import CatalogueError, Making

__all__ = ["Catalogue", "CatalogueError", "PlatformImage"]

_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_TEMPORARY: Final = ".part-"
_PAUSE: Final = 0.05
"""Seconds between looks whether somebody else has made an image."""


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


@dataclass(frozen=True)
class _Recipe:
    """How the versions of one image are made. ``next_version`` is given the versions there are."""

    image: PlatformImage
    make: Callable[[Making, Path, int], None]
    next_version: Callable[[tuple[str, ...]], str]

    @property
    def key(self) -> str:
        return f"{self.image.publisher}-{self.image.offer}-{self.image.sku}".lower()


def _recipes() -> tuple[_Recipe, ...]:
    """Images for the processor of this machine, as their programs are run here."""
    arm = platform.machine() == "aarch64"
    architecture = "Arm64" if arm else "x64"
    tiny = PlatformImage("localarm", "busybox", "1", "", busybox.SIZE_GB, "V2", architecture, "Linux")
    recipes = [_Recipe(tiny, busybox.make, lambda _made: busybox.VERSION)]
    for release in debian.RELEASES:
        sku = f"{release.number}-{'arm64' if arm else 'gen2'}"
        offer = f"debian-{release.number}"
        image = PlatformImage("Debian", offer, sku, "", debian.SIZE_GB, "V2", architecture, "Linux")
        recipes.append(_Recipe(image, release.make, debian.next_version))
    return tuple(recipes)


class Catalogue:
    """The platform images.

    Args:
        cache: a directory which keeps what was made; any number of worlds may share it.
        tell: is given progress lines, from whatever thread asked for an image.
    """

    def __init__(self, cache: Path, tell: Callable[[str], None]) -> None:
        self._cache = cache
        self._tell = tell
        self._recipes = _recipes()
        self._asking: dict[str, list[Callable[[], bool]]] = {}

    def images(self) -> tuple[PlatformImage, ...]:
        """All images, oldest version first: every version in the cache, or if there is none, the one to be made."""
        return tuple(image for recipe in self._recipes for image in self._versions(recipe))

    def find(self, publisher: str, offer: str, sku: str, version: str) -> PlatformImage | None:
        """The image with these names (case-insensitive); ``latest`` finds the newest version."""
        wanted = (publisher.lower(), offer.lower(), sku.lower())
        found = [i for i in self.images() if (i.publisher.lower(), i.offer.lower(), i.sku.lower()) == wanted]
        if version.lower() == "latest":
            return found[-1] if found else None
        return next((image for image in found if image.version == version), None)

    def blob(self, image: PlatformImage, wanted: Callable[[], bool] = lambda: True) -> Path:
        """The raw disk, made first if it is not in the cache; a file that must not be changed.

        Making takes a fraction of a second (busybox) or a minute (Debian). It is done once, in however many threads and
        processes it is asked for at once. A version in the cache stays as it is, however old: see :meth:`refresh`.

        Args:
            wanted: whether the caller still wants it, asked now and then from any thread; the making ends when nobody does.

        Raises:
            CatalogueError: it cannot be made; says why and what to install. Or it is not wanted any more.
        """
        recipe = self._recipe(image)
        made = self._file(recipe, image.version)
        if not made.exists():
            with self._asked_for(recipe, wanted) as by_anybody, self._making(recipe, wanted, by_anybody) as making:
                if not made.exists():
                    self._make(recipe, making, made)
        return made

    def refresh(self, image: PlatformImage) -> PlatformImage:
        """Make a new version now, from the present package archives; older versions stay.

        An image that has but one version (busybox) is made again.
        """
        recipe = self._recipe(image)
        with self._making(recipe) as making:
            version = recipe.next_version(self._cached(recipe))
            self._make(recipe, making, self._file(recipe, version))
        return replace(recipe.image, version=version)

    def _recipe(self, image: PlatformImage) -> _Recipe:
        for recipe in self._recipes:
            if replace(recipe.image, version=image.version) == image and _VERSION.fullmatch(image.version):
                return recipe
        raise CatalogueError(f"there is no platform image {image.urn}")

    def _versions(self, recipe: _Recipe) -> Iterator[PlatformImage]:
        for version in self._cached(recipe) or (recipe.next_version(()),):
            yield replace(recipe.image, version=version)

    def _cached(self, recipe: _Recipe) -> tuple[str, ...]:
        found = (file.stem for file in (self._cache / recipe.key).glob("*.raw"))
        versions = (version for version in found if _VERSION.fullmatch(version))
        return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")]))

    def _file(self, recipe: _Recipe, version: str) -> Path:
        return self._cache / recipe.key / f"{version}.raw"

    @contextmanager
    def _asked_for(self, recipe: _Recipe, wanted: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
        """Be one of those who want this image; yields whether any of them still does."""
        asking = self._asking.setdefault(recipe.key, [])
        asking.append(wanted)
        try:
            yield lambda: any(each() for each in tuple(asking))
        finally:
            asking.remove(wanted)

    @contextmanager
    def _making(
        self, recipe: _Recipe, wanted: Callable[[], bool] = lambda: True, by_anybody: Callable[[], bool] = lambda: True
    ) -> Iterator[Making]:
        """The right to make this image, waited for while it is `wanted`, and an empty directory to do it in.

        Programs started while making inherit the lock, so that what a killed process leaves running is waited for.
        """
        home = self._cache / recipe.key
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell(f"waiting for {recipe.image.offer} {recipe.image.sku}, which is being made already")
                _wait_locked(lock, wanted)
            for leftover in home.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=home) as folder:
                yield Making(Path(folder), self._tell, lock, by_anybody)
        finally:
            os.close(lock)

    def _make(self, recipe: _Recipe, making: Making, made: Path) -> None:
        draft, disk = making.folder / "draft.raw", making.folder / "disk.raw"
        recipe.make(making, draft, recipe.image.size_gb << 30)
        copy_sparse(draft, disk)  # mke2fs allocates what it zeroes (for Debian 470 MiB); that stays behind
        making.run("fallocate", "--dig-holes", disk)
        disk.chmod(0o444)
        disk.replace(made)


def _wait_locked(lock: int, wanted: Callable[[], bool]) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wanted():
                raise CatalogueError("it is not wanted any more") from None
            time.sleep(_PAUSE)
        else:
            return
