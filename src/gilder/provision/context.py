"""What a provisioner is told about the build it works for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gilder.host.hearing import Lingering, OnLine


def _unheard(text: str) -> None:
    """Where nobody listens."""


def _unheard_line(text: str, stream: str) -> None:
    """Where nobody listens."""


@dataclass(frozen=True, slots=True)
class ProvisionContext:
    """The build's `name`, the `run` (its UUID), the `device` (`/dev/sdc`) and `mount_path` on this machine.

    `data` holds further values for templates (`SourceImageName` …). `say` tells something worth telling, `on_line` a
    line that a program printed, with its stream. `wait_for_person` shows a text and returns when a person has agreed; None
    where there is nobody to ask. `lingering` hears what scripts leave running that are in no sandbox, which does so itself.
    """

    build: str
    run: str
    device: str
    mount_path: Path
    builder_type: str = "azure-chroot"
    data: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = _unheard
    on_line: OnLine = _unheard_line
    wait_for_person: Callable[[str], Awaitable[None]] | None = None
    lingering: Lingering | None = None

    def template_data(self) -> dict[str, str]:
        """The values for templates in provisioners: those of `data`, and the build's own."""
        return {
            **self.data,
            "Device": self.device,
            "MountPath": str(self.mount_path),
            "PackerRunUUID": self.run,
            "BuildName": self.build,
            "BuilderType": self.builder_type,
        }
