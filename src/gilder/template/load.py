"""The one way in: a template's text, whatever its format."""

from __future__ import annotations

from gilder.model.diagnostics import Diagnostic, Severity
from gilder.template.inputs import Inputs
from gilder.template.legacy import load_legacy
from gilder.template.loaded import Loaded
from gilder.template.native import load_native
from gilder.template.source import Source

NO_HCL = "gilder reads Packer's JSON templates, and matrix files in YAML"


def is_hcl(file: str) -> bool:
    """Whether a file is in Packer's other language, by its name, as Packer tells it."""
    return file.lower().endswith((".hcl", ".pkr.json"))


def load(text: str, *, file: str, inputs: Inputs) -> Loaded:
    """Read a template: the legacy JSON of Packer, or gilder's matrix YAML when `file` ends in .yaml or .yml.

    Never raises for a user's mistake: every mistake of the file is a diagnostic of the result. `file` is shown in
    them, and its directory is where `template_dir` points.
    """
    if is_hcl(file):
        summary = "this is HCL2, which gilder does not read"
        return Loaded(diagnostics=(Diagnostic(Severity.ERROR, summary, NO_HCL, Source(file, text).span(0, 0)),))
    if file.lower().endswith((".yaml", ".yml")):
        return load_native(text, file=file, inputs=inputs)
    return load_legacy(text, file=file, inputs=inputs)
