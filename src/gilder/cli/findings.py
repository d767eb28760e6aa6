"""The lines of `gilder doctor`."""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from gilder.cli.terminal import has_colour
from gilder.model.findings import Finding, Verdict
from gilder.runtime.redaction import Redactor

_COLOURS = {Verdict.GOOD: "green", Verdict.BAD: "red", Verdict.UNKNOWN: "yellow"}


@dataclass
class Findings:
    """Prints each finding when it comes, and counts."""

    redactor: Redactor = field(default_factory=lambda: Redactor(()))
    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    def tell(self, finding: Finding) -> None:
        """Print a finding, its remedy below it."""
        self.counts[finding.verdict] += 1
        word = f"{finding.verdict:9}"
        if has_colour(wanted=True):  # where stdout is no terminal, click takes colours out again
            word = click.style(word, fg=_COLOURS[finding.verdict])
        click.echo(word + self.redactor.text(lines(finding)))

    def conclude(self) -> bool:
        """Print the totals; whether nothing is bad."""
        told = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items() if count)
        click.echo(f"         {told}")
        return not self.counts[Verdict.BAD]


def lines(finding: Finding) -> str:
    """A finding as text, without its verdict."""
    first, *more = finding.text.splitlines() or [""]
    found = [f"{finding.subject}: {first}", *(f"           {line}" for line in more)]
    if finding.remedy:
        found.append(f"           to do: {finding.remedy}")
    return "\n".join(found)
