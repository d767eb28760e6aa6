"""The one way in: a template's text, whatever its format."""

from __future__ import annotations

from gilder.template.inputs import Inputs
from gilder.template.legacy import load_legacy
from gilder.template.loaded import Loaded
from gilder.template.native import load_native


def load(text: str, *, file: str, inputs: Inputs) -> Loaded:
    """Read a template: the legacy JSON of Packer, or gilder's matrix YAML when `file` ends in .yaml or .yml.

    Never raises for a user's mistake: every mistake of the file is a diagnostic of the result. `file` is shown in
    them, and its directory is where `template_dir` points.
    """
    if file.lower().endswith((".yaml", ".yml")):
        return load_native(text, file=file, inputs=inputs)
    return load_legacy(text, file=file, inputs=inputs)
