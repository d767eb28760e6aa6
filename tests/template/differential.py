"""Prints how far gilder and Packer 1.6.6 agree on template expressions, templates and options, and explains each difference.

python -m tests.template.differential
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.template import chroot_corpus
from tests.template.peer import PACKER, can_be_offline
from tests.template.test_differential import (
    EXPLAINED,
    EXPRESSIONS,
    TEMPLATES,
    differences,
    disagreements,
    random_expressions,
)


def main() -> int:
    """Compare all; 1 when a difference is not explained."""
    if PACKER is None:
        print("there is no packer on $PATH to compare with", file=sys.stderr)
        return 2
    unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        for what, expressions in (("expressions", EXPRESSIONS), ("expressions by chance", random_expressions())):
            found = differences(expressions, Path(folder))
            _figure(what, len(expressions), len(found))
            for text, (theirs, ours) in found.items():
                why = EXPLAINED.get(text, "NOT EXPLAINED")
                unexplained += text not in EXPLAINED
                print(f"  {text}\n    Packer {theirs!r}, gilder {ours!r}: {why}")
        different = disagreements(Path(folder))
    _figure("templates", len(TEMPLATES), len(different))
    for template, explanation, accepted in different:
        unexplained += explanation is None
        print(f"  {template}\n    Packer {'accepts' if accepted else 'refuses'} it: {explanation or 'NOT EXPLAINED'}")
    if can_be_offline():
        unexplained += _chroot()
    return 1 if unexplained else 0


def _chroot() -> int:
    with tempfile.TemporaryDirectory() as folder:
        count, different = chroot_corpus.differences(Path(folder))
    _figure("options of azure-chroot templates", count, len(different))
    reasons = {case: chroot_corpus.explanation(case) for case in different}
    for case, accepted in different.items():
        print(f"  {case}\n    Packer {'accepts' if accepted else 'refuses'} it: {reasons[case] or 'NOT EXPLAINED'}")
    return list(reasons.values()).count(None)


def _figure(what: str, count: int, different: int) -> None:
    print(f"{what}: {count - different} of {count} alike ({(count - different) / count:.1%})")


if __name__ == "__main__":
    sys.exit(main())
