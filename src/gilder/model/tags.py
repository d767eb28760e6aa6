"""The tags by which gilder knows its temporary resources."""

from __future__ import annotations

from collections.abc import Mapping

RUN, BUILD, HOST, CREATED = "gilder-run", "gilder-build", "gilder-host", "gilder-created"
"""The run, the build and the VM that a resource is for, and when it was made."""

_LONGEST = 256
"""Characters in the value of a tag (learn.microsoft.com, tag limits)."""


def of_build(run: str, build: str) -> dict[str, str]:
    """The tags that say for which build a resource was made."""
    return {RUN: run, BUILD: build[:_LONGEST]}


def carries(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a resource with these tags was made for the build that `wanted` names: a name alone does not say it."""
    return all(tags.get(tag) == wanted.get(tag) for tag in (RUN, BUILD))
