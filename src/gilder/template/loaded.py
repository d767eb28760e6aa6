"""What came out of a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gilder.model.diagnostics import Diagnostic, Severity, Span
from gilder.model.spec import BuildSpec


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a template. `origin` is `default`, `-var`, or the name of a variable file."""

    name: str
    value: str | None = field(repr=False)
    """None: required, and nobody gave a value; or there is a mistake in it."""
    default: str | None = field(repr=False)
    """As written, before placeholders are filled in; None: required, or not declared."""
    origin: str
    sensitive: bool
    declared: bool
    """Whether the template knows it; else only the command line or a file does."""
    where: Span | None
    """Its declaration; None when only the command line or a file knows it."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a template means. `builds` holds those without mistakes; look at `ok` before building any of them."""

    names: tuple[str, ...] = ()
    """All builds that it names, also those with mistakes, and those of builders that gilder does not have."""
    builds: tuple[BuildSpec, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    """In the order of the text."""
    needs_vm: bool = False
    """The template asks for `vm` facts: load it again with real ones before building."""
    variables: tuple[Variable, ...] = ()
    sensitive: tuple[str, ...] = field(default=(), repr=False)
    """Values that must never be shown."""
    description: str = ""
    origins: Mapping[str, Mapping[str, Span]] = field(default_factory=dict)
    """Build name → option → where its value stands."""
    cells: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Build name → axis → the value in the cell of a matrix that it is built for."""

    @property
    def ok(self) -> bool:
        """Whether there are no errors (warnings may be)."""
        return all(d.severity is not Severity.ERROR for d in self.diagnostics)
