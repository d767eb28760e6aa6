"""The disks and guests of tests/host, and a context that remembers what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.host.conftest import box, disk, guest, image, ledger, tree

from gilder.host.guest import Guest
from gilder.provision.context import ProvisionContext

__all__ = ["box", "disk", "guest", "image", "ledger", "tree"]


@dataclass(frozen=True)
class Text:
    """A delayed text: `{{.Name}}` and nothing more."""

    text: str

    def render(self, data: Mapping[str, str]) -> str:
        done = self.text
        for name, value in data.items():
            done = done.replace(f"{{{{.{name}}}}}", value)
        return done


@dataclass
class Heard:
    """What a provisioner said and what its programs printed."""

    said: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> list[str]:
        return [line for line, _ in self.lines]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(guest: Guest, heard: Heard) -> ProvisionContext:
    return ProvisionContext(
        build="bookworm",
        run="11111111-2222",
        device="/dev/sdc",
        mount_path=Path(guest.root),
        say=heard.said.append,
        on_line=lambda line, stream: heard.lines.append((line, stream)),
    )
