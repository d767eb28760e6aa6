"""Which of the builds to run: the globs of -only and -except."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gilder.model.diagnostics import Diagnostic, Severity
from gilder.template.spelling import did_you_mean, listed


def select(
    names: Sequence[str], only: Sequence[str] = (), except_: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """The names that match a glob of `only` (all, when there are none) and none of `except_`, in their order.

    A glob that matches nothing is an error: a typo must not build everything, or nothing, and call that a success.
    Several globs may stand in one text, separated by commas.
    """
    diagnostics: list[Diagnostic] = []
    chosen = list(names)
    for option, texts in (("-only", only), ("-except", except_)):
        globs = [glob.strip() for text in texts for glob in text.split(",") if glob.strip()]
        diagnostics.extend(
            Diagnostic(
                Severity.ERROR,
                f'{option}: no build matches "{glob}"',
                did_you_mean(glob, names, otherwise=f"there is {listed(names)}"),
            )
            for glob in globs
            if not any(fnmatchcase(name, glob) for name in names)
        )
        if globs:
            wanted = option == "-only"
            chosen = [name for name in chosen if any(fnmatchcase(name, glob) for glob in globs) == wanted]
    if not chosen and names and not diagnostics:
        diagnostics.append(Diagnostic(Severity.ERROR, "-only and -except leave no build", f"there is {listed(names)}"))
    return tuple(chosen), tuple(diagnostics)
