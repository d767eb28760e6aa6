"""What every value read from a template is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen value read from a template; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


@runtime_checkable
class Delayed(Protocol):
    """A text whose placeholders (`{{.Device}}`, `{{.Command}}` …) get their values only when the build runs."""

    @property
    def text(self) -> str:
        """The text as written."""
        ...

    def render(self, data: Mapping[str, str]) -> str:
        """The text with its placeholders filled in; raises UserError if it cannot be."""
        ...
