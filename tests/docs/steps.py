"""Makes docs/provisioners.md from the models: `python -m tests.docs.steps`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.docs.options import _default, _type

from gilder.model.base import Spec
from gilder.model.described import described
from gilder.model.provisioners import Wrap
from gilder.template import post_processors, provisioners
from gilder.template.provisioners import Kind

FILE = Path(__file__).parents[2] / "docs" / "provisioners.md"

INTRODUCTION = """\
# Provisioners and post-processors

What the provisioners and post-processors are told, with Packer's names and defaults; what gilder does differently is in
docs/cli.md. Times are written as `90s` or `1h30m`. This file is made from the models by `python -m tests.docs.steps`; a test
compares them.

Texts marked *for run time* may use `{{build `MountPath`}}` and its like: `Device`, `MountPath`, `SourceImageName`,
`PackerRunUUID`, `BuildName`, `BuilderType` (post-processors: the last four).
"""
ASIDE = {"type", "wrap"}


def page() -> str:
    """The text of docs/provisioners.md."""
    return INTRODUCTION + "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from ("", "## Around any provisioner", "", "Also `only`, `except` and `override`, as under Packer.", "")
    yield from _table(Wrap, frozenset())
    for title, kinds in (("Provisioner", provisioners.KINDS), ("Post-processor", post_processors.KINDS)):
        yield from _kinds(title, kinds)


def _kinds(title: str, kinds: Mapping[str, Kind]) -> Iterator[str]:
    for name, kind in kinds.items():
        yield from ("", f"## {title} `{name}`", "", " ".join((kind.model.__doc__ or "").split()), "")
        yield from _table(kind.model, kind.shape.durations)
        if kind.shape.ignored:
            words = ", ".join(f"`{option}`" for option in sorted(kind.shape.ignored))
            yield from ("", f"Ignored, with a warning: {words}.")


def _table(model: type[Spec], durations: frozenset[str]) -> Iterator[str]:
    words: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Spec) and each is not Spec:
            words |= described(each)
    yield from ("| option | type | default | meaning |", "|---|---|---|---|")
    for option, field in model.model_fields.items():
        if option in ASIDE:
            continue
        is_time = option in durations or option in ("pause_before", "timeout")
        kind = "duration" if is_time else _type(field.annotation)
        default = {"": "–", "(0,)": "0", "0.0": "0"}.get(str(field.default)) or _default(field)
        cells = (f"`{option}`", kind, default, words[option].replace(", in seconds", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "\\n") for cell in cells) + " |"


if __name__ == "__main__":
    FILE.write_text(page())
