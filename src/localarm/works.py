"""Local work of operations (copying and sharing blobs), as data: what it reads and what it makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from localarm.messages import Json


def parts(work: Json) -> list[Json]:
    """The single pieces of a work."""
    return [part for each in work["works"] for part in parts(each)] if "works" in work else [work]


def several(works: list[Json]) -> Json | None:
    """Several works as one; None when there is nothing to do."""
    return {"do": "several", "works": works} if works else None


def sources(work: Json | None) -> set[str]:
    """The blobs that a work reads."""
    return {name for part in parts(work) for name in part.get("sources", ())} if work else set()


def made(work: Json | None) -> set[str]:
    """The blobs that a work makes."""
    return {part["name"] for part in parts(work) if "name" in part} if work else set()


def held(work: Json | None) -> Iterable[str]:
    """The names that a work has for its sources alone."""
    return work.get("held", ()) if work else ()


def holding(work: Json, names: Mapping[str, str]) -> Json:
    """The same work, reading its sources by names of its own: these stay when the sources go."""

    def renamed(part: Json) -> Json:
        if "works" in part:
            return {**part, "works": [renamed(each) for each in part["works"]]}
        return {**part, "sources": [names[each] for each in part["sources"]]} if "sources" in part else part

    return {**renamed(work), "held": list(names.values())}
