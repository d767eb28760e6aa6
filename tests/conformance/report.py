"""The whole conformance run as a report: what was compared, what differs, why that is accepted.

`python -m tests.conformance.report [FOLDER]` prints it; exit status 1 when a difference is not accepted.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import absent
from tests.conformance.accepted import reason
from tests.conformance.compare import Difference
from tests.conformance.flows import Exchange, load, wire_folder
from tests.conformance.replay import Replay, Result

from localarm.routes import TABLE


@dataclass
class Verdict:
    """One flow judged."""

    result: Result
    accepted: list[tuple[str, Difference]] = field(default_factory=list)
    open: list[Difference] = field(default_factory=list)


def judged(flow: list[Exchange], folder: Path) -> Verdict:
    """Replay a flow and sort its differences."""
    verdict = Verdict(Replay(flow, folder).run())
    by_file = {exchange.file: exchange for exchange in flow}
    for difference in verdict.result.differences:
        why = reason(difference, by_file[difference.file])
        if why is None:
            verdict.open.append(difference)
        else:
            verdict.accepted.append((why, difference))
    return verdict


def written(verdicts: dict[str, Verdict]) -> str:
    """The report as text."""
    results = [each.result for each in verdicts.values()]
    lines = [
        (
            f"{len(verdicts)} flows: {sum(each.compared for each in results)} exchanges compared, "
            f"{sum(each.given for each in results)} given (read before anything was written), "
            f"{sum(len(each.skipped) for each in results)} not replayed"
        ),
        "",
    ]
    by_reason: dict[str, list[Difference]] = defaultdict(list)
    for verdict in verdicts.values():
        for why, difference in verdict.accepted:
            by_reason[why].append(difference)
    for why, found in sorted(by_reason.items(), key=lambda each: -len(each[1])):
        lines += [f"ACCEPTED ({len(found)}): {why}", *(f"    {each}" for each in found), ""]
    skipped = [each for result in results for each in result.skipped]
    lines += [f"COVERAGE LOST, not replayed ({len(skipped)}):", *(f"    {each}" for each in skipped), ""]
    made = {absent.route(each) for result in results for each, _ in result.answers}
    unreached = [" ".join(each) for each in TABLE if each not in made]
    lines += [
        f"COVERAGE LOST, calls that no recording makes ({len(unreached)}):",
        *(f"    {each}" for each in unreached),
        "",
    ]
    still_open = [each for verdict in verdicts.values() for each in verdict.open]
    lines += [f"OPEN ({len(still_open)}):", *(f"    {each}" for each in still_open)]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the report."""
    wire = wire_folder()
    folder = Path(arguments[0]) if arguments else (wire / "flows" if wire else None)
    if folder is None:
        print("no recordings: set GILDER_WIRE or name a folder of flows", file=sys.stderr)
        return 2
    verdicts = {}
    for name, flow in load(folder).items():
        with tempfile.TemporaryDirectory() as scratch:
            verdicts[name] = judged(flow, Path(scratch))
    print(written(verdicts))
    return 1 if any(verdict.open for verdict in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
