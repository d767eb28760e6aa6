"""The schema for editors, asked of a validator: what the reader takes it takes, and what is wrong by its shape it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.template.reading_aids import COMPUTE, INPUTS, errors

from gilder.model.spec import BuildSpec
from gilder.template import load, post_processors, provisioners
from gilder.template.azure_chroot import SHAPE
from gilder.template.nodes import Array, Node, Null, Table
from gilder.template.schema import schema
from gilder.template.source import Source
from gilder.template.yaml_reader import read_yaml

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
EXAMPLES = Path(__file__).parents[2] / "examples"


def data(node: Node) -> Any:
    """What a node is as JSON."""
    match node:
        case Array(items=items):
            return [data(item) for item in items]
        case Table(entries=entries):
            return {key.value: data(value) for key, value in entries}
        case Null():
            return None
        case _:
            return node.value


def complaints(text: str) -> list[str]:
    """What the schema finds wrong with a matrix file."""
    node, mistakes = read_yaml(Source("m.yaml", text))
    assert mistakes == []
    assert node is not None
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in VALIDATOR.iter_errors(data(node))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(re.findall(r"#/\$defs/(\w+)", str(SCHEMA))) == set(SCHEMA["$defs"])


def test_it_knows_every_option_and_what_it_means() -> None:
    options = SCHEMA["$defs"]["options"]["properties"]
    assert set(BuildSpec.model_fields) - {"name", "auth", "sensitive"} - set(options) == set()
    assert "client_secret" in options
    assert options["os_disk_size_gb"]["description"].startswith("Size of the OS disk in GiB")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_it_takes_the_examples(path: Path) -> None:
    assert complaints(path.read_text()) == []


SAMPLES: tuple[Any, ...] = (
    "text", "", "30", "true", "10s", "1.2.3", "{{ .Matrix.a }}", 30, 0, 1.5, True, None,
    [], ["a"], ["a", "b", "c"], ["a", ["b", "c", "d"]], [30], [None], {}, {"k": "v"}, {"k": None}, {"k": 3}, [{"k": "v"}],
)  # fmt: skip
"""Values to be written for every option."""
BASE = {"source": "p:o:s:1", "image_resource_id": f"{COMPUTE}/images/x"}
BLOCKS: dict[str, dict[str, Any]] = {
    "shell": {"inline": ["x"]},
    "shell-local": {"inline": ["x"]},
    "file": {"source": "/etc/hostname", "destination": "/x"},
    "sleep": {"duration": "1s"},
    "ansible": {"playbook_file": "/dev/null"},
    "ansible-local": {"playbook_file": "/dev/null"},
}
"""What a block needs besides the option that is tried."""


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option of builds, provisioners and post-processors with every sample: what it is, and the options of a build."""
    for option in SHAPE.options:
        for sample in SAMPLES:
            yield f"{option}: {sample!r}", {**BASE, option: sample}
    for part, kinds in (("provisioners", provisioners.KINDS), ("post_processors", post_processors.KINDS)):
        for name, kind in kinds.items():
            for option in kind.shape.options:
                for sample in SAMPLES:
                    block = {"type": name, **BLOCKS.get(name, {}), option: sample}
                    yield f"{name}.{option}: {sample!r}", {**BASE, part: [block]}


ODD: tuple[Any, ...] = (0, 1.5, 30, True, {}, [None])
"""What works for old templates' sake although it is no value of the kind: a number as true or false, true as a number, an
empty object as a list, null in a list. An editor does well to complain."""


@pytest.mark.parametrize("place", ["defaults", "overrides"])
def test_what_the_reader_takes_it_takes(place: str) -> None:
    refused = []
    for what, options in written():
        matrix = {"matrix": {"a": ["x"]}}
        whole = {"defaults": options} if place == "defaults" else {"overrides": [{"match": {"a": "x"}, **options}]}
        text = json.dumps(matrix | whole)
        if not errors(load(text, file="m.yaml", inputs=INPUTS)) and (found := complaints(text)):
            refused.append((what, found[0][:100]))
    assert [one for one in refused if not one[0].endswith(tuple(f": {value!r}" for value in ODD))] == []


HEAD = f'defaults: {{source: "p:o:s:1", image_resource_id: "{COMPUTE}/images/x"}}\n'
TAKEN = [
    "description: no matrix at all",
    "_anchors: {whatever: [1]}\nmatrix: {a: [1]}",
    "matrix: {a: one, b: [true, 1.10, x], c: {name: y, more: 1}}",
    "matrix: {a: [1, 2], include: [{a: 3, b: x}], exclude: [{a: [1, '2*']}]}",
    "variables: {a: x, b: 30, c: null, d: {default: 30, sensitive: true}, e: {default: null, description: x}}",
    "matrix: {a: [1]}\noverrides: [{match: {a: '*'}, os_disk_size_gb: null, tags: null, provisioners: null}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, os_disk_size_gb: '30', skip_cleanup: 'true'}]",
    "provisioners: {base: [{type: shell, inline: x}]}\nmatrix: {a: [1]}\noverrides: [{match: {a: 1}, provisioners: base}]",
]
REFUSED = [
    "source: x",
    "matrix: [1]",
    "matrix: {a: [[1]]}",
    "matrix: {a: []}",
    "matrix: {a: [{x: 1}]}",
    "matrix: {a: [1], exclude: {a: 1}}",
    "matrix: {a: [1], include: [x]}",
    "variables: {a: {defalt: 1}}",
    "variables: {a: [1]}",
    "variables: {a: true}",
    "overrides: [{source: x}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, sorce: x}]",
    "matrix: {a: [1]}\noverrides: {match: {a: 1}}",
    "provisioners: {base: [{type: shell, inlin: x}]}\nmatrix: {a: [1]}\noverrides: [{match: {a: 1}, provisioners: base}]",
    "provisioners: {base: [{type: sell, inline: x}]}",
    "provisioners: {base: [{inline: x}]}",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, os_disk_size_gb: x}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, skip_cleanup: perhaps}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, os_disk_cache_type: some}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, tags: [x]}]",
    "matrix: {a: [1]}\noverrides: [{match: {a: 1}, chroot_mounts: [[bind, /dev]]}]",
]


@pytest.mark.parametrize("text", TAKEN)
def test_it_takes(text: str) -> None:
    loaded = load(text + "\n" + HEAD, file="m.yaml", inputs=INPUTS)
    assert [error for error in errors(loaded) if "required variable" not in error] == []
    assert complaints(text + "\n" + HEAD) == []


@pytest.mark.parametrize("text", REFUSED)
def test_it_refuses_as_the_reader_does(text: str) -> None:
    assert errors(load(text + "\n" + HEAD, file="m.yaml", inputs=INPUTS))
    assert complaints(text + "\n" + HEAD)
