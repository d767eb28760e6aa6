"""What a template is read with: everything that comes from outside its text."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gilder.model.vm import VmFacts

OFFLINE_VM = VmFacts(
    name="offline-vm",
    subscription_id="00000000-0000-0000-0000-000000000000",
    resource_group="offline-group",
    location="offline",
    zone="",
    resource_id="/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/offline-group"
    "/providers/Microsoft.Compute/virtualMachines/offline-vm",
)
"""Stands in for the VM when nobody asked the metadata service."""


class NotFetched(Exception):
    """It is not time to ask a store of secrets; nothing is wrong with what is made of its answer."""


def not_fetched(store: str, *which: str) -> str:
    """For those who only look at a template: raises NotFetched."""
    raise NotFetched


def _nowhere(store: str, *which: str) -> str:
    raise LookupError("nobody here fetches secrets")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything outside the text that a template's meaning depends on; nothing else is looked up."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """`-var name=value`; wins over variable files."""
    var_files: Sequence[tuple[str, str]] = ()
    """`-var-file`: (name to show, text) in the order given; a later file wins."""
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The one moment that `timestamp`, `isotime` and `strftime` tell."""
    cwd: str = field(default_factory=lambda: str(Path.cwd()))
    """Where relative paths of the template start."""
    vm: VmFacts | None = None
    """None: not asked yet; `vm` then answers with OFFLINE_VM, and nothing is wrong with what is made of its answers."""
    values_required: bool = True
    """Whether a variable must have a value where the template has none for it; `gilder inspect` looks at it without."""
    syntax_only: bool = False
    """Whether only the structure of the text counts: nothing in it is filled in or looked up."""
    chosen: Callable[[str], bool] = field(default=lambda name: True)
    """Which builds will be asked for; mistakes that only others have are warnings."""
    fetch: Callable[..., str] = field(default=_nowhere)
    """Fetches a value for `vault` or `consul_key`, by the function's name and arguments; raises LookupError or NotFetched."""
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    """The source of `uuid`."""
