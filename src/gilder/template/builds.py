"""One build with all that belongs to it; what the formats of templates share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gilder.model.diagnostics import Span
from gilder.model.spec import BuildSpec, Provisioner
from gilder.template.azure_chroot import TYPE, read_build
from gilder.template.blocks import Block
from gilder.template.nodes import Table
from gilder.template.post_processors import Chain, read_chain
from gilder.template.provisioners import read_provisioner
from gilder.template.reading import Reading


@dataclass(frozen=True)
class Around:
    """What surrounds the builder's own options."""

    provisioners: Sequence[Block] = ()
    rescue: Block | None = None
    """The error-cleanup-provisioner."""
    chains: Sequence[Chain] = ()
    secrets: tuple[str, ...] = ()

    def blocks(self) -> list[Block]:
        """All blocks."""
        return [*self.provisioners, *([self.rescue] if self.rescue else []), *(b for c in self.chains for b in c)]


def whole_build(
    name: str, reference: str, options: Table, around: Around, reading: Reading, at: Span
) -> tuple[BuildSpec | None, dict[str, Span]]:
    """The build and where its options stand; None when anything is wrong with it, which is then noted.

    `reference` is the name by which only, except and override mean it.
    """
    if not name.strip() or not name.isprintable():
        reading.notes.error(f"{name!r} cannot be the name of a build", at, "use letters, digits, . _ and -")
        return None, {}
    reading = reading.within(replace(reading.scope, build_name=name, build_type=TYPE))
    before = reading.notes.errors
    provisioners = [read_provisioner(b, reference, reading) for b in around.provisioners if b.is_for(reference)]
    rescue: Provisioner | None = None
    if around.rescue is not None and around.rescue.is_for(reference):
        rescue = read_provisioner(around.rescue, reference, reading)
    chains = [read_chain(chain, reference, reading) for chain in around.chains]
    broken = reading.notes.errors > before
    spec, decoded = read_build(
        name,
        options,
        reading,
        at,
        provisioners=tuple(p for p in provisioners if p),
        error_cleanup_provisioner=rescue,
        post_processors=tuple(chain for chain in chains if chain),
        sensitive=around.secrets,
    )
    return None if broken else spec, decoded.places


def check_unused(around: Around, references: Sequence[str], reading: Reading) -> None:
    """Blocks that none of the builds runs are read all the same, for their mistakes."""
    reading = reading.within(replace(reading.scope, build_name=TYPE, build_type=TYPE))
    after = {block for chain in around.chains for block in chain}
    for block in around.blocks():
        if any(block.is_for(name) for name in references):
            continue
        if block in after:
            read_chain((replace(block, only=frozenset(), excluded=frozenset()),), "", reading)
        else:
            read_provisioner(block, "", reading)


def one_name_each(specs: Sequence[BuildSpec], reading: Reading, at: Span | None) -> None:
    """Note names that two builds ended up with."""
    names = [spec.name for spec in specs]
    for name in sorted({n for n in names if names.count(n) > 1}):
        with reading.notes.aside(unless=reading.scope.inputs.chosen(name)):
            reading.notes.error(f'two builds end up with the name "{name}"', at)
