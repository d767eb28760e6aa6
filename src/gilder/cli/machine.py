"""`-machine-readable`: progress and results on standard output as Packer's tools expect them.

Each line is `unix time,target,category,argument,…`; commas, carriage returns and newlines in arguments are written as
`%!(PACKER_COMMA)`, `\\r` and `\\n` (observed with Packer 1.6.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from gilder.cli.plain import Flush, at_once, ended_line, plain_lines, spoken
from gilder.model.events import Event, Finished, LeftBehind, OutputLine
from gilder.model.gauges import Gauges
from gilder.model.ids import ArmId
from gilder.model.outcomes import Built, Failed, Outcome

BUILDER_ID = "azure.chroot"


def machine_line(moment: float, target: str, category: str, *arguments: str) -> str:
    """One line of the format."""
    words = (word.replace(",", "%!(PACKER_COMMA)").replace("\r", "\\r").replace("\n", "\\n") for word in arguments)
    return ",".join((str(int(moment)), target, category, *words))


class MachineLines:
    """A sink that prints lines for machines."""

    def __init__(
        self, echo: Callable[[str], None], clock: Callable[[], float] = time.time, flush: Flush = at_once
    ) -> None:
        self.flush = flush
        self._echo = echo
        self._clock = clock

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._ended(event)
            return
        kind = "message" if isinstance(event, OutputLine) else "error" if isinstance(event, LeftBehind) else "say"
        for line in plain_lines(event):
            self.tell("", "ui", kind, line)

    def say(self, text: str) -> None:
        """Print a remark about the whole run."""
        self.tell("", "ui", "say", f"==> {text}")

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Not shown here: lines are for what changes."""

    def entered(self) -> None:
        """Nothing moves here."""

    def tell(self, target: str, category: str, *arguments: str) -> None:
        """Print one line."""
        self._echo(machine_line(self._clock(), target, category, *arguments))

    def _ended(self, event: Finished) -> None:
        self.tell("", "ui", "say" if event.status == "built" else "error", ended_line(event))

    def results(self, outcomes: Sequence[Outcome], took: float) -> None:
        """Print how the run ended: errors first, then what was made."""
        self.tell("", "ui", "say", f"\n==> Wait completed after {spoken(took)}")
        errors = {
            o.build: o.error if isinstance(o, Failed) else "cancelled" for o in outcomes if not isinstance(o, Built)
        }
        if errors:
            self.tell("", "error-count", str(len(errors)))
            self.tell("", "ui", "error", "\n==> Some builds didn't complete successfully and had errors:")
            for build, error in errors.items():
                self.tell(build, "error", error)
                self.tell("", "ui", "error", f"--> {build}: {error}")
        self._artifacts([outcome for outcome in outcomes if isinstance(outcome, Built) and outcome.artifacts])

    def _artifacts(self, built: Iterable[Built]) -> None:
        built = list(built)
        if not built:
            self.tell("", "ui", "say", "\n==> Builds finished but no artifacts were created.")
            return
        self.tell("", "ui", "say", "\n==> Builds finished. The artifacts of successful builds are:")
        for outcome in built:
            text = artifact_text(outcome.artifacts)
            self.tell(outcome.build, "artifact-count", "1")
            for name, *values in (
                ("builder-id", BUILDER_ID),
                ("id", ",".join(_ids(outcome.artifacts))),
                ("string", text),
                ("files-count", "0"),
                ("end",),
            ):
                self.tell(outcome.build, "artifact", "0", name, *values)
            self.tell("", "ui", "say", f"--> {outcome.build}: {text}")


def artifact_text(artifacts: Sequence[ArmId]) -> str:
    """What Packer's azure-chroot builder says of its artifact."""
    return "Azure resources created:\n" + "".join(f"{id_}\n" for id_ in _ids(artifacts))


def _ids(artifacts: Sequence[ArmId]) -> list[str]:
    return sorted(str(artifact).lower() for artifact in artifacts)
