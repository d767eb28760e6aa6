"""What is said at the end: a value in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gilder.cli.machine import artifact_text
from gilder.cli.plain import seconds
from gilder.model.outcomes import Built, Cancelled, Failed, Outcome


def summary(outcomes: Sequence[Outcome], log_of: Mapping[str, Path], took: float) -> list[str]:
    """How each build ended, in the order of the template, what was left behind, and the totals."""
    lines: list[str] = []
    for outcome in outcomes:
        lines.extend(_one(outcome, log_of.get(outcome.build)))
    left = [residue for outcome in outcomes for residue in outcome.residues]
    if left:
        lines.append("Left behind:")
        lines.extend(f"  {residue.what}\n    remove it with: {residue.remedy}" for residue in left)
    lines.append(f"           {totals(outcomes)} in {seconds(took)}")
    return lines


def totals(outcomes: Sequence[Outcome]) -> str:
    """How many ended how: `3 built, 1 failed`."""
    counts = {word: sum(isinstance(o, kind) for o in outcomes) for word, kind in _ENDS.items()}
    left = sum(len(outcome.residues) for outcome in outcomes)
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([*parts, f"{left} left behind"] if left else parts) or "nothing built"


_ENDS = {"built": Built, "failed": Failed, "cancelled": Cancelled}


def _one(outcome: Outcome, log: Path | None) -> list[str]:
    match outcome:
        case Built():
            lines = [f"built      {outcome.build} in {seconds(outcome.seconds)}"]
            text = artifact_text(outcome.artifacts) if outcome.artifacts else ""
            return [*lines, *(f"           {line}" for line in text.splitlines())]
        case Failed():
            lines = [f"failed     {outcome.build} after {seconds(outcome.seconds)}, while {outcome.stage}"]
            lines.extend(f"           {line}" for line in outcome.error.splitlines())
            if outcome.hint:
                lines.append(f"           hint: {outcome.hint}")
            if log:
                lines.append(f"           log: {log}")
            return lines
        case Cancelled():
            where = f", while {outcome.stage}" if outcome.stage else ", before it started"
            return [f"cancelled  {outcome.build} after {seconds(outcome.seconds)}{where}"]


def succeeded(outcomes: Sequence[Outcome]) -> bool:
    """Whether all were built and nothing was left behind: what the exit code tells."""
    return all(isinstance(outcome, Built) and not outcome.residues for outcome in outcomes)
