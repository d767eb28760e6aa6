"""Frozen values that all packages share: ids, specs, events, outcomes, errors; nothing that waits."""

from gilder.model.diagnostics import Diagnostic, Severity, Span, render
from gilder.model.ids import ArmId

__all__ = ["ArmId", "Diagnostic", "Severity", "Span", "render"]
