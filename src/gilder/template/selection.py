"""Which of the builds to run: the globs of -only and -except."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import takewhile

from gilder.model.diagnostics import Diagnostic, Severity
from gilder.model.spec import BuildSpec, PostProcessor
from gilder.template.spelling import glob_meant, listed


def is_chosen(name: str, only: Sequence[str], except_: Sequence[str]) -> bool:
    """Whether a build of this name is asked for."""
    wanted, unwanted = separated(only), separated(except_)
    return (not wanted or _matches(name, wanted)) and not _matches(name, unwanted)


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def select(
    names: Sequence[str], only: Sequence[str] = (), except_: Sequence[str] = (), others: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """The names that match a glob of `only` (all, when there are none) and none of `except_`, in their order.

    A glob that matches nothing is an error: a typo must not build everything, or nothing, and call that a success.
    Several globs may stand in one text, separated by commas. `others` are names that `except_` may mean beside builds:
    those of post-processors.
    """
    diagnostics: list[Diagnostic] = []
    chosen = [name for name in names if is_chosen(name, only, except_)]
    for option, texts in (("-only", only), ("-except", except_)):
        known = [*names, *others] if option == "-except" else names
        diagnostics.extend(
            Diagnostic(
                Severity.ERROR,
                f'{option}: no build matches "{glob}"',
                glob_meant(glob, known, otherwise=f"there is {listed(names)}"),
            )
            for glob in separated(texts)
            if not any(fnmatchcase(name, glob) for name in known)
        )
    if not chosen and names and not diagnostics:
        diagnostics.append(Diagnostic(Severity.ERROR, "-only and -except leave no build", f"there is {listed(names)}"))
    return tuple(chosen), tuple(diagnostics)


def without(spec: BuildSpec, except_: Sequence[str]) -> BuildSpec:
    """The build without the post-processors that a glob of `except_` means by name, and those that follow them."""
    globs = separated(except_)
    if not globs:
        return spec

    def kept(chain: tuple[PostProcessor, ...]) -> tuple[PostProcessor, ...]:
        return tuple(takewhile(lambda p: not _matches(p.name or p.type, globs), chain))

    chains = tuple(chain for chain in map(kept, spec.post_processors) if chain)
    return spec.model_copy(update={"post_processors": chains})


def separated(texts: Sequence[str]) -> list[str]:
    """The globs in texts of -only or -except."""
    return [glob.strip() for text in texts for glob in text.split(",") if glob.strip()]
