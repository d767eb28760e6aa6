"""What the tests of the template package share: one moment, one VM, short ways to load and to look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gilder.model.diagnostics import Severity
from gilder.model.spec import BuildSpec
from gilder.model.vm import VmFacts
from gilder.template import Inputs, Loaded, load

VM = VmFacts(
    name="builder-1",
    subscription_id="11111111-2222-3333-4444-555555555555",
    resource_group="rg-build",
    location="westeurope",
    zone="2",
    resource_id="/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-build"
    "/providers/Microsoft.Compute/virtualMachines/builder-1",
)
INPUTS = Inputs(
    env={"HOME": "/root", "SECRET": "hunter2-and-more"},
    now=datetime(2024, 3, 5, 14, 7, 9, 123456, tzinfo=UTC),
    cwd="/tmp",
    vm=VM,
    new_id=lambda: "an-id",
)
IMAGE = f"/subscriptions/{VM.subscription_id}/resourceGroups/rg/providers/Microsoft.Compute/images/img"
COMPUTE = f"/subscriptions/{VM.subscription_id}/resourceGroups/rg/providers/Microsoft.Compute"
BUILDER: dict[str, Any] = {"type": "azure-chroot", "source": "p:o:s:latest", "image_resource_id": IMAGE}


def read(template: object, **inputs: Any) -> Loaded:
    """Load a template given as text, or as data that becomes JSON with a value a line."""
    text = template if isinstance(template, str) else json.dumps(template, indent=1)
    return load(text, file="t.json", inputs=replace(INPUTS, **inputs))


def read_builder(provisioners: Sequence[object] = (), /, root: Any = None, **options: Any) -> Loaded:
    """Load a template of one builder; an option that is None is left out."""
    builder = {k: v for k, v in (BUILDER | options).items() if v is not None}
    return read({"builders": [builder], "provisioners": list(provisioners), **(root or {})})


def spec(loaded: Loaded) -> BuildSpec:
    """The one build of a template without errors."""
    assert errors(loaded) == []
    (build,) = loaded.builds
    return build


def errors(loaded: Loaded) -> list[str]:
    """The summaries of the errors."""
    return [d.summary for d in loaded.diagnostics if d.severity is Severity.ERROR]


def warnings(loaded: Loaded) -> list[str]:
    """The summaries of the warnings."""
    return [d.summary for d in loaded.diagnostics if d.severity is Severity.WARNING]
