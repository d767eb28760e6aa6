"""What happens after a build: chains of post-processors, for one build."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from gilder.model.provisioners import Manifest, PostProcessor, ShellLocalAfter
from gilder.template.blocks import Block, read_block
from gilder.template.decode import Shape, options_of
from gilder.template.nodes import Array, Node, Table, Text
from gilder.template.provisioners import Kind, Work, check_scripts, read_as, shell_local_shape
from gilder.template.reading import Reading
from gilder.template.texts import Promise

_VALUES = frozenset(("SourceImageName", "PackerRunUUID", "BuildName", "BuilderType"))
"""The device is gone by then."""
_AFTER = Promise(fields=_VALUES, build=_VALUES)


def _check_manifest(work: Work) -> None:
    _check_kept(work)
    if not work.values.get("output", "x").strip("/"):
        work.wrong("output: a file name is expected", "output")
    elif isinstance(output := work.values.get("output"), str):
        folder = os.path.dirname(work.absolute(output))  # noqa: PTH120 — text
        if not os.path.isdir(folder):  # noqa: PTH112 — as above
            hint = "make it before the build ends, or its manifest cannot be written"
            work.reading.notes.warning(f"output: there is no directory {folder}", work.decoded.place("output"), hint)


def _check_script(work: Work) -> None:
    _check_kept(work)
    check_scripts(work)


def _check_kept(work: Work) -> None:
    if work.values.get("keep_input_artifact") is False:
        hint = "this post-processor makes nothing in its place (Packer keeps it too)"
        work.reading.notes.warning("the image is kept all the same", work.decoded.place("keep_input_artifact"), hint)


KINDS: Mapping[str, Kind] = {
    "manifest": Kind(
        Manifest,
        Shape(noun="manifest", options=options_of(Manifest, "type"), promises={"custom_data": _AFTER}),
        _check_manifest,
    ),
    "shell-local": Kind(ShellLocalAfter, shell_local_shape(ShellLocalAfter, _AFTER), _check_script),
}
"""The post-processors that there are, by type."""

Chain = tuple[Block, ...]


def read_chains(nodes: tuple[Node, ...], builds: frozenset[str], reading: Reading) -> list[Chain]:
    """The chains as written: each element is a post-processor, the name of one, or a list of those."""
    chains = (tuple(_chain(node, builds, reading)) for node in nodes)
    return [chain for chain in chains if chain]


def _chain(node: Node, builds: frozenset[str], reading: Reading) -> Iterator[Block]:
    for item in node.items if isinstance(node, Array) else (node,):
        if isinstance(item, Array):
            reading.notes.error("a chain of post-processors inside another", item.region.span, "move it one level up")
            continue
        if isinstance(item, Text):
            item = Table(((Text("type", item.region), item),), item.region)
        block = read_block(item, builds, reading, KINDS, "post-processor")
        if block is not None:
            yield block


def read_chain(chain: Chain, build: str, reading: Reading) -> tuple[PostProcessor, ...]:
    """The chain in one build; what is wrong is noted and left out."""
    found: list[PostProcessor] = []
    for block in chain:
        if not block.is_for(build):
            continue
        if block.refusal:
            reading.notes.add(block.refusal)
            continue
        after = read_as(KINDS[block.type], block.table_for(build), reading, block.at)
        if after is not None:
            assert isinstance(after, PostProcessor)
            found.append(after)
    return tuple(found)
