"""Builds that would write to one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gilder.model.diagnostics import Diagnostic, Severity, Span
from gilder.model.spec import BuildSpec


def clashes(builds: Sequence[BuildSpec], origins: Mapping[str, Mapping[str, Span]]) -> tuple[Diagnostic, ...]:
    """An error for each image, gallery version or temporary resource that more than one of the builds wants to make.

    To be asked about the builds that are chosen, of all files together; `origins` as in `Loaded`.
    """
    first: dict[tuple[str, str], BuildSpec] = {}
    found: list[Diagnostic] = []
    for build in builds:
        for option, what, place in _makes(build):
            other = first.setdefault((what, place.lower()), build)
            if other is not build:
                where = origins.get(build.name, {}).get(option)
                summary = f"{option}: the builds {other.name} and {build.name} would both make {place}"
                hint = "give each its own: {{ build_name }} or {{ .Matrix.… }} in the name tells them apart"
                found.append(Diagnostic(Severity.ERROR, summary, hint, where))
    return tuple(found)


def _makes(build: BuildSpec) -> Iterator[tuple[str, str, str]]:
    """What a build makes: (option, kind of thing, its name)."""
    for option in ("image_resource_id", "temporary_os_disk_id", "temporary_os_disk_snapshot_id"):
        if (id_ := getattr(build, option)) is not None:
            yield option, "resource", str(id_)
    for option in ("temporary_data_disk_id_prefix", "temporary_data_disk_snapshot_id"):
        if (prefix := getattr(build, option)) is not None:
            yield option, "prefix", prefix
    if (to := build.shared_image_destination) is not None:
        own = to.subscription or build.auth.subscription_id or ""  # else that of az or the VM, which nobody knows here
        name = f"{own}/{to.resource_group}/{to.gallery_name}/{to.image_name}/{to.image_version}"
        yield "shared_image_destination", "version", name.lstrip("/")
