"""Kinds of builds that between them use every operation that gilder uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from tests.virtual import furnishing
from tests.virtual.place import GROUP, Place, image_spec

from gilder.model.spec import BuildSpec, Caching, GalleryDestination, GalleryVersion, ManagedDisk, TargetRegion
from localarm.faults import Fault

DATA_LUN = 3
DATA_MARK = b"data of the source"
"""Where the data disk of the source version belongs, and what is on it."""


async def _nothing(place: Place) -> None:
    """Nothing has to be there."""


async def _definition(place: Place) -> None:
    await furnishing.gallery(place)
    await furnishing.definition(place)


async def _disk(place: Place) -> None:
    await furnishing.disk(place, "source")


async def _all(place: Place) -> None:
    """A source disk, and a gallery with a source version that has a data disk."""
    await _definition(place)
    await _disk(place)
    data = await furnishing.disk(place, "source-data")
    found = place.world.find("disks", str(data))
    assert found is not None
    with place.world.blobs.path(found.blob).open("r+b") as file:
        file.write(DATA_MARK)
    source = furnishing.id_of("disks", "source")
    await furnishing.definition(place, "source")
    await furnishing.version(place, "0.0.1", source, data={DATA_LUN: data}, of="source")


def _image(name: str, number: int) -> BuildSpec:
    return image_spec(name, tags={"made-for": name})


def _written_back(name: str, number: int) -> BuildSpec:
    return image_spec(name, os_disk_cache_type=Caching.READ_WRITE)


def _destination(number: int) -> GalleryDestination:
    regions = (TargetRegion(name="westeurope"), TargetRegion(name="northeurope"))
    return GalleryDestination(
        resource_group=GROUP,
        gallery_name="gallery",
        image_name="linux",
        image_version=f"1.0.{number}",
        target_regions=regions,
    )


def _version(name: str, number: int) -> BuildSpec:
    return _image(name, number).model_copy(
        update={"image_resource_id": None, "shared_image_destination": _destination(number)}
    )


def _both(name: str, number: int) -> BuildSpec:
    source = ManagedDisk(furnishing.id_of("disks", "source"))
    return _image(name, number).model_copy(update={"source": source, "shared_image_destination": _destination(number)})


def _with_data(name: str, number: int) -> BuildSpec:
    version = furnishing.id_of("galleries/images/versions", "gallery/source/latest")
    return image_spec(name).model_copy(update={"source": GalleryVersion(version)})


def _scratch(name: str, number: int) -> BuildSpec:
    return image_spec(name).model_copy(update={"source": None, "from_scratch": True, "os_disk_size_gb": 1})


def _named(name: str, number: int) -> BuildSpec:
    """A build whose temporary resources have names that the template gives."""
    prefix = str(furnishing.id_of("disks", f"chosen-{name}-data"))
    chosen = {
        "temporary_os_disk_id": furnishing.id_of("disks", f"chosen-{name}"),
        "temporary_os_disk_snapshot_id": furnishing.id_of("snapshots", f"chosen-{name}"),
        "temporary_data_disk_id_prefix": prefix,
        "temporary_data_disk_snapshot_id": str(furnishing.id_of("snapshots", f"chosen-{name}-data")),
    }
    return _with_data(name, number).model_copy(update=chosen)


@dataclass(frozen=True)
class Scenario:
    """One kind of build: what must be there, the spec of a build by name and number, and what goes wrong anyway."""

    furnish: Callable[[Place], Awaitable[None]]
    spec: Callable[[str, int], BuildSpec]
    standing: tuple[Fault, ...] = ()


_ALWAYS = 10_000
SCENARIOS = {
    "image": Scenario(_nothing, _image),
    "written back": Scenario(_nothing, _written_back),
    "version": Scenario(_definition, _version),
    "both": Scenario(_all, _both),
    "with data": Scenario(_all, _with_data),
    "named": Scenario(_all, _named),
    "scratch": Scenario(_nothing, _scratch),
    "old service": Scenario(
        _nothing,
        _image,
        (Fault("refuse", "POST", "virtualmachines/attachdetachdatadisks", status=501, times=_ALWAYS),),
    ),
    "image fails": Scenario(_nothing, _image, (Fault("fail", "PUT", "images", times=_ALWAYS),)),
    "version fails": Scenario(
        _definition, _version, (Fault("fail", "PUT", "galleries/images/versions", times=_ALWAYS),)
    ),
}


def widest(names: Collection[str]) -> Callable[[Place], Awaitable[None]]:
    """Puts there what any of these scenarios needs."""
    return max((SCENARIOS[name].furnish for name in names), key=_FROM_LITTLE_TO_MUCH.index)


_FROM_LITTLE_TO_MUCH = (_nothing, _definition, _all)
"""Each puts there all that those before it do."""
