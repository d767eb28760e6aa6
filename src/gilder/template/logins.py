"""Builds that would log in in different ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gilder.model.diagnostics import Diagnostic, Severity, Span
from gilder.model.spec import BuildSpec


def differing(builds: Sequence[BuildSpec], origins: Mapping[str, Mapping[str, Span]]) -> tuple[Diagnostic, ...]:
    """An error for each build that logs in otherwise than the first: one VM has one identity towards its disk list.

    To be asked about the builds that are chosen, of all files together; `origins` as in `Loaded`.
    """
    found: list[Diagnostic] = []
    for build in builds[1:]:
        for option in builds[0].auth.differences(build.auth):
            places = (origins.get(name, {}).get(option) for name in (build.name, builds[0].name))
            where = next((place for place in places if place), None)
            summary = f"{option}: the builds {builds[0].name} and {build.name} log in in different ways"
            hint = "give all of them the same authentication options, or build them in separate runs (-only)"
            found.append(Diagnostic(Severity.ERROR, summary, hint, where))
    return tuple(found)
