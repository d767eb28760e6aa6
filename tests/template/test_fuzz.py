"""Whatever the text, loading ends in builds and diagnostics: never an exception, every span inside its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.template.reading_aids import BUILDER, COMPUTE, INPUTS, read_builder, spec

from gilder.model import render
from gilder.model.spec import BuildSpec, ChrootMount, Spec
from gilder.template import Loaded, load
from gilder.template.azure_chroot import SHAPE
from gilder.template.provisioners import KINDS
from gilder.template.texts import RunTimeText

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = {path.name: path.read_text() for path in sorted(EXAMPLES.iterdir()) if path.suffix in (".json", ".yaml")}
BITS = [
    *"{}[]:,\"'\\ \n-&*|>#",
    "{{",
    "}}",
    "{{vm `name`}}",
    "{{.Device}}",
    "{{user `x`}}",
    "true",
    "3",
    "null",
    "[]",
    "{}",
    "é",
    "\x00",
]


def check(text: str, file: str) -> Loaded:
    loaded = load(text, file=file, inputs=INPUTS)
    lines = text.splitlines() or [""]
    for diagnostic in loaded.diagnostics:
        assert diagnostic.summary
        if (where := diagnostic.where) is not None:
            assert where.file == file
            assert (1, 1) <= (where.line, where.column) <= (where.end_line, where.end_column)
            assert where.end_line <= len(lines) + 1
            if where.line <= len(lines):
                assert where.column <= len(lines[where.line - 1]) + 2
        assert render(diagnostic, text)
    if not loaded.builds:
        assert loaded.diagnostics
    return loaded


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    file = draw(st.sampled_from(sorted(SEEDS)))
    text = SEEDS[file]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 12))
        text = text[:at] + draw(st.sampled_from(["", *BITS])) + text[at + cut :]
    return file, text


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_mutated_examples(example: tuple[str, str]) -> None:
    file, text = example
    check(text, file)


texts = st.sampled_from(
    ["", "x", "1", "/a", "a:b:c:d", "{{.Device}}", "{{nope}}", "{{vm `name`}}", COMPUTE + "/images/i", "a,b", "10s"]
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-5, 5000) | st.just(1.5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.sampled_from(["name", "match", "type"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ROOT = [
    "builders",
    "provisioners",
    "post-processors",
    "variables",
    "sensitive-variables",
    "error-cleanup-provisioner",
    "min_packer_version",
]
blocks = st.builds(
    lambda kind, options: {"type": kind, **options},
    st.sampled_from([*KINDS, "manifest", "other"]),
    st.dictionaries(
        st.sampled_from(sorted({"only", "except", "override", *(o for k in KINDS.values() for o in k.shape.options)})),
        values,
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(ROOT), values, max_size=3),
    st.dictionaries(st.sampled_from(sorted(SHAPE.options)), values, max_size=5),
    st.lists(blocks, max_size=2),
)
def test_any_value_in_any_option(
    root: dict[str, Any], options: dict[str, Any], provisioners: list[dict[str, Any]]
) -> None:
    template = {
        "builders": [BUILDER | options],
        "provisioners": provisioners,
        "post-processors": provisioners[:1],
        **root,
    }
    check(json.dumps(template, indent=1), "t.json")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "matrix", "defaults", "overrides", "provisioners", "variables"]), values, max_size=4
    ),
    st.dictionaries(st.sampled_from([*sorted(SHAPE.options), "provisioners", "post_processors"]), values, max_size=5),
)
def test_any_value_in_a_matrix_file(root: dict[str, Any], options: dict[str, Any]) -> None:
    check(json.dumps({"defaults": BUILDER | options, **root}, indent=1), "t.yaml")


def plain(value: Any) -> Any:
    """A value of a spec as JSON would have it."""
    match value:
        case RunTimeText(text=text):
            return text
        case ChrootMount():
            return [value.type, value.source, value.target]
        case Spec():
            return {
                name: plain(getattr(value, name))
                for name in type(value).model_fields
                if getattr(value, name) is not None
            }
        case tuple():
            return [plain(item) for item in value]
        case str() | int() | float() | bool() | dict():
            return value
        case _:
            return str(value)


def written(build: BuildSpec) -> dict[str, Any]:
    """The options of a build as a template would write them."""
    found: dict[str, Any] = plain(build)
    for part in ("name", "provisioners", "error_cleanup_provisioner", "post_processors", "sensitive"):
        found.pop(part, None)
    auth: dict[str, Any] = found.pop("auth")
    return found | auth


paths = st.from_regex(r"/[a-z]{1,8}", fullmatch=True)
legal = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from(
            ["a:b:c:1.2.3", f"{COMPUTE}/disks/d", f"{COMPUTE}/galleries/g/images/i/versions/latest"]
        ),
        "os_disk_size_gb": st.integers(1, 4095) | st.integers(1, 4095).map(str),
        "mount_partition": st.integers(1, 128),
        "mount_options": st.lists(st.text("abc=", min_size=1)),
        "copy_files": st.lists(paths),
        "chroot_mounts": st.lists(st.tuples(st.just("bind"), paths, paths)),
        "pre_mount_commands": st.lists(st.sampled_from(["mkfs {{.Device}}", "true", "{{if .Device}}x{{end}}"])),
        "os_disk_cache_type": st.sampled_from(["none", "ReadOnly", "readwrite"]),
        "skip_cleanup": st.booleans(),
        "tags": st.dictionaries(st.text("abc", min_size=1), st.text("xyz")),
        "shared_image_destination": st.fixed_dictionaries(
            {
                "resource_group": st.just("rg"),
                "gallery_name": st.just("g"),
                "image_name": st.just("i"),
                "image_version": st.just("1.0.0"),
            },
            optional={"target_regions": st.lists(st.fixed_dictionaries({"name": st.just("westus")}), max_size=1)},
        ),
        "client_id": st.just("c"),
        "metadata_host": st.just("host"),
    },
)


@settings(deadline=None)
@given(legal)
def test_a_build_written_out_and_read_again_is_the_same(options: dict[str, Any]) -> None:
    build = spec(read_builder(**options))
    again = spec(read_builder(**written(build)))
    assert again == build
