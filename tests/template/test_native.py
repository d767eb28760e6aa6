"""The matrix format: cells, names, defaults and overrides, named lists; and the choice of builds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.template.reading_aids import COMPUTE, INPUTS, errors, warnings

from gilder.model.provisioners import ShellProvisioner
from gilder.model.spec import BuildSpec
from gilder.template import Loaded, load, select
from gilder.template.destinations import clashes
from gilder.template.go_values import Value
from gilder.template.matrix import Cell, label, read_cells
from gilder.template.nodes import Array, Node, Null, Number, Table, Text
from gilder.template.reading import Notes
from gilder.template.source import Source
from gilder.template.yaml_reader import read_yaml

DEFAULTS = f"""
defaults:
  source: "p:o:s:latest"
  image_resource_id: {COMPUTE}/images/{{{{ build_name }}}}
"""


def read(text: str, **inputs: Any) -> Loaded:
    return load(text, file="site.yaml", inputs=replace(INPUTS, **inputs))


def builds(text: str) -> dict[str, BuildSpec]:
    loaded = read(text + DEFAULTS if "defaults" not in text else text)
    assert errors(loaded) == []
    return {build.name: build for build in loaded.builds}


def cells(text: str) -> list[dict[str, str]]:
    node, _ = read_yaml(Source("m.yaml", text))
    notes = Notes()
    found, _ = read_cells(node, notes)
    assert notes.errors == 0
    return [{key: label(value) for key, value in cell.values.items()} for cell in found]


# --- cells


def test_null_takes_a_default_away() -> None:
    found = builds("""
matrix: {a: [x, y]}
defaults: {source: "p:o:s:1", skip_create_image: true, copy_files: [], error_cleanup_provisioner: {type: shell, inline: [x]}}
overrides:
- {match: {a: y}, copy_files: null, error_cleanup_provisioner: null}
""")
    assert (found["x"].copy_files, found["y"].copy_files) == ((), ("/etc/resolv.conf",))
    assert found["x"].error_cleanup_provisioner
    assert found["y"].error_cleanup_provisioner is None


def test_cells_are_all_combinations_less_the_excluded() -> None:
    found = cells("{a: [1, 2], b: [x, y], exclude: [{a: 2, b: y}]}")
    assert found == [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "2", "b": "x"}]


def test_an_included_entry_extends_the_cells_that_agree_or_is_a_cell() -> None:
    assert cells("{a: [1, 2], include: [{a: 2, more: z}, {a: 3}, {all: q}]}") == [
        {"a": "1", "all": "q"},
        {"a": "2", "more": "z", "all": "q"},
        {"a": "3"},
    ]


def test_excluding_takes_patterns_and_lists() -> None:
    assert cells("{a: [deb-1, deb-2, sles], exclude: [{a: ['*-1', sles]}]}") == [{"a": "deb-2"}]


def test_only_included_cells() -> None:
    assert cells("{include: [{a: 1}, {b: 2}]}") == [{"a": "1"}, {"b": "2"}]


axes = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.sampled_from(["x", "y", "z", "1"]), min_size=1, max_size=4, unique=True),
    max_size=4,
)


@given(axes, st.data())
def test_cells_are_what_a_simple_count_says(axes: dict[str, list[str]], data: st.DataObject) -> None:
    excluded = [
        {key: data.draw(st.sampled_from(values)) for key, values in axes.items()} for _ in range(2 if axes else 0)
    ]
    found = cells(yaml.safe_dump({**axes, "exclude": excluded})) if axes else [{}]
    count = 1
    for values in axes.values():
        count *= len(values)
    assert len(found) == count - len({tuple(sorted(e.items())) for e in excluded})
    assert all(cell not in excluded for cell in found if cell)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("3", "matrix: expected an object of lists, found a number"),
        ("{a: []}", "the axis a has no values"),
        ("{a: [1, 1]}", '"1" stands twice in a'),
        ("{a: [[1]]}", "a list cannot be a value of a"),
        ("{a: [{x: 1}]}", "an object cannot be a value of a"),
        ("{a: [1], exclude: [{b: 1}]}", 'exclude: there is nothing called "b" in the matrix'),
        ("{a: [one], exclude: [{a: on}]}", 'exclude: no a is "on"'),
        ("{a: [1], exclude: {a: 1}}", "exclude is a list of objects"),
        ("{a: [1], include: [x]}", "include has a text where an object is expected"),
    ],
)
def test_matrix_mistakes(matrix: str, message: str) -> None:
    loaded = read(f"matrix: {matrix}\n{DEFAULTS}")
    assert any(message in e for e in errors(loaded)), errors(loaded)
    assert all(d.where for d in loaded.diagnostics)


def test_a_huge_matrix_is_refused_at_once() -> None:
    axes = "".join(f"  a{i}: [{', '.join(map(str, range(50)))}]\n" for i in range(5))
    assert any("312500000 cells are more than 10000" in e for e in errors(read(f"matrix:\n{axes}{DEFAULTS}")))


# --- names and values


def test_names_are_the_values_joined_or_a_template() -> None:
    assert list(builds("matrix: {distro: [deb-12, deb-13], kind: [plain]}")) == ["deb-12-plain", "deb-13-plain"]
    assert list(builds('name: "x.{{ .Matrix.a | upper }}"\nmatrix: {a: [b]}')) == ["x.B"]
    assert list(builds("description: no matrix at all")) == ["site"]


def test_names_that_a_template_cannot_write_are_reached_by_index() -> None:
    assert list(builds("name: '{{ index .Matrix \"os-name\" }}'\nmatrix: {os-name: [deb]}")) == ["deb"]
    for written, by_index in (
        (".Matrix.os-name", '.Matrix "os-name"'),
        (".os-name", '. "os-name"'),
        (".a.b-c-d", '.a "b-c-d"'),
    ):
        (mistake,) = read(f'name: "{{{{ {written} | upper }}}}"\nmatrix: {{os-name: [deb]}}\n{DEFAULTS}').diagnostics
        assert mistake.detail == f"for a name with - in it, write {{{{ index {by_index} }}}}"


@pytest.mark.parametrize("value", ["012", "1.10", "1_0", "'7'", "true", "no", "1e3", "0x10"])
def test_values_print_as_they_are_written(value: str) -> None:
    defaults = f'source: "p:o:s:1", image_resource_id: "{COMPUTE}/images/i"'
    tags = 'tags: {v: "{{ .Matrix.a }}"}'
    (build,) = builds(f"name: n\nmatrix: {{a: [{value}]}}\ndefaults: {{{defaults}, {tags}}}").values()
    assert build.tags == {"v": value.strip("'")}


def test_a_number_can_be_a_version() -> None:
    text = """
defaults:
  source: "p:o:s:1"
  shared_image_destination: {resource_group: rg, gallery_name: g, image_name: 7.10, image_version: 1.2.3}
"""
    (build,) = builds(text).values()
    assert build.shared_image_destination
    assert build.shared_image_destination.image_name == "7.10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: same\nmatrix: {a: [1, 2]}", 'two builds end up with the name "same"'),
        ('name: "{{ .Matrix.a }}"\nmatrix: {a: ["x/y"]}', '"x/y" cannot be the name of a build'),
        ('name: "{{ .Matrix.b }}"\nmatrix: {a: [1]}', "name: there is no .b here"),
        ('name: "{{ .Matrx.a }}"\nmatrix: {a: [1]}', "name: there is no .Matrx here"),
        ("source: x", "there is no key 'source' at the top of a matrix file"),
        ("overrides: [{match: {a: 2}}]\nmatrix: {a: [1]}", 'match: no a is "2"'),
        ("overrides: [{match: {b: 2}}]\nmatrix: {a: [1]}", 'match: there is nothing called "b"'),
        ("overrides: [{source: x}]", "an override needs match"),
        ("overrides: [{match: {a: 1}, sorce: x}]\nmatrix: {a: [1]}", "there is no option 'sorce'"),
        ("variables: {a: {defalt: 1}}", "variable a: there is no option 'defalt'"),
        ("a: 1\na: 2", "the key 'a' stands here a second time"),
        ("[1]", "a matrix file is an object, found a list"),
        ("", "the file is empty"),
        ("a: [", "YAML syntax: "),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    loaded = read(text + (DEFAULTS if text and text[0] not in "[" and not text.endswith("[") else ""))
    assert any(message in e for e in errors(loaded)) or message == "the file is empty", errors(loaded)


# --- options


def test_overrides_are_laid_over_the_defaults_and_later_ones_win() -> None:
    text = f"""
matrix: {{a: [x, y, z]}}
defaults:
  source: "p:o:s:1"
  image_resource_id: {COMPUTE}/images/{{{{ .Matrix.a }}}}
  tags: {{one: "1", two: "2"}}
overrides:
  - {{match: {{a: [x, y]}}, tags: {{two: over}}, os_disk_size_gb: 10}}
  - {{match: {{a: y}}, os_disk_size_gb: 20}}
"""
    found = builds(text)
    assert [found[a].os_disk_size_gb for a in "xyz"] == [10, 20, None]
    assert found["x"].tags == {"one": "1", "two": "over"}
    assert found["z"].tags == {"one": "1", "two": "2"}


LISTS = (
    """
matrix: {flavour: [plain, tools]}
provisioners:
  base: [{type: shell, inline: [apt-get update]}]
  tools: [{type: shell, inline: ["echo {{ .Matrix.flavour }} {{ .Device }}"]}]
"""
    + DEFAULTS.replace("defaults:", "defaults:\n  provisioners: [base]")
    + """
overrides:
  - match: {flavour: tools}
    provisioners: [base, "{{ .Matrix.flavour }}", {type: sleep, duration: 1s}]
"""
)


def test_named_lists_of_provisioners() -> None:
    found = builds(LISTS)
    assert [p.type for p in found["plain"].provisioners] == ["shell"]
    assert [p.type for p in found["tools"].provisioners] == ["shell", "shell", "sleep"]
    tools = found["tools"].provisioners[1]
    assert isinstance(tools, ShellProvisioner)
    assert tools.inline
    assert tools.inline[0].render({"Device": "/dev/sdc"}) == "echo tools /dev/sdc"


def test_a_list_that_is_not_there_or_not_used() -> None:
    missing = read(LISTS.replace("[base]", "[bass]"))
    assert errors(missing) == ['there is no list of provisioners "bass"']
    assert any(d.detail == 'did you mean "base"?' for d in missing.diagnostics)
    assert warnings(read(LISTS.replace('"{{ .Matrix.flavour }}"', "base"))) == ["no build uses the provisioners tools"]


def test_variables_and_secrets() -> None:
    given = 'n: 1.10, m: {default: 1.20}, s: {default: "{{env `SECRET`}}", sensitive: true}, r: null'
    text = f"variables: {{{given}}}\n{DEFAULTS}"
    loaded = read(text, variables={"r": "x"})
    assert errors(loaded) == []
    assert {v.name: v.value for v in loaded.variables} == {"n": "1.10", "m": "1.20", "r": "x", "s": "hunter2-and-more"}
    assert loaded.sensitive == ("hunter2-and-more",)
    assert errors(read(text)) == ["required variable not set: r"]


def test_mistakes_point_into_the_yaml() -> None:
    text = 'matrix: {a: [1]}\ndefaults:\n  source: "p:o:s:1"\n  image_resource_id: x{{ vmm `name` }}\n'
    (mistake,) = read(text).diagnostics
    assert mistake.where
    assert (mistake.where.line, mistake.where.column, mistake.where.end_column) == (4, 26, 29)


def test_a_mistake_of_many_cells_is_shown_a_few_times() -> None:
    text = "matrix: {a: [1, 2, 3, 4, 5, 6]}\n" + DEFAULTS.replace('"p:o:s:latest"', '"bad {{ .Matrix.a }}"')
    loaded = read(text)
    assert len(loaded.diagnostics) == 3
    assert loaded.diagnostics[-1].detail.endswith("and 3 more like this")
    scripts = "provisioners: [{type: shell, script: '/no/{{.Matrix.a}}.sh'}]"
    loaded = read(
        f"matrix: {{a: [1, 2, 3, 4, 5, 6]}}\ndefaults: {{source: 'p:o:s:1', skip_create_image: 1, {scripts}}}"
    )
    assert len(loaded.diagnostics) == 3
    assert not loaded.ok


def test_the_example() -> None:
    path = Path(__file__).parents[2] / "examples" / "matrix.yaml"
    loaded = load(path.read_text(), file=str(path), inputs=INPUTS)
    assert loaded.diagnostics == ()
    assert [b.name for b in loaded.builds] == [f"debian-{n}-{kind}" for n in (12, 13) for kind in ("plain", "tools")]
    assert len({b.image_resource_id for b in loaded.builds}) == 4


# --- YAML


def plain(node: Node) -> Value:
    match node:
        case Array(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key.value: plain(value) for key, value in entries}
        case Null():
            return None
        case _:
            return node.value


ONLY_NOW_A_NUMBER = re.compile(r"[-+]\.[0-9]+|[-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)[eE][-+]?[0-9]+|0o[0-7]+")
"""Texts that the writer, which knows YAML 1.1, leaves without quotes, and that are numbers in YAML 1.2."""
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(lambda t: not ONLY_NOW_A_NUMBER.fullmatch(t))
leaves = st.none() | st.booleans() | st.integers(0, 10**6) | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=3),
)


@given(values, st.booleans())
def test_yaml_is_read_as_it_was_written(value: object, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    node, mistakes = read_yaml(Source("f", text))
    assert mistakes == []
    assert node is not None
    assert plain(node) == value


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t0.") | st.characters(), max_size=40))
def test_any_text_is_read_or_a_mistake_inside_it(text: str) -> None:
    lines = len(text.splitlines()) + 1
    for diagnostic in read_yaml(Source("f", text))[1]:
        assert diagnostic.where
        assert 1 <= diagnostic.where.line <= lines


# --- choosing, clashes


def test_choosing_by_glob() -> None:
    names = ["debian-12-plain", "debian-12-tools", "debian-13-plain"]
    assert select(names) == (tuple(names), ())
    assert select(names, ["*-plain"])[0] == ("debian-12-plain", "debian-13-plain")
    assert select(names, ["debian-13-plain,*tools"])[0] == ("debian-12-tools", "debian-13-plain")
    assert select(names, ["debian-12*"], ["*-tools"])[0] == ("debian-12-plain",)


def test_a_glob_that_matches_nothing_is_an_error() -> None:
    _, (mistake,) = select(["debian-12"], ["debain-12"])
    assert mistake.summary == '-only: no build matches "debain-12"'
    assert mistake.detail == 'did you mean "debian-12"?'
    many = ["debian-12-plain", "debian-13-plain", "sles-15-tools"]
    for glob, meant in (
        ("debain-*", "debian-*"),
        ("*-plane", "*-plain"),
        ("debain-1?-*", "debian-1?-*"),
        ("slse-1?-to*", "sles-1?-to*"),
    ):
        assert select(many, [glob])[1][0].detail == f'did you mean "{meant}"?', glob
    assert select(many, ["xyz*"])[1][0].detail == "there is debian-12-plain, debian-13-plain or sles-15-tools"
    assert len(select(["a"], [], ["b"])[1]) == 1
    assert select(["a"], [], ["a"])[1][0].summary == "-only and -except leave no build"


def test_two_builds_with_one_destination() -> None:
    loaded = read(f'matrix: {{a: [1, 2]}}\ndefaults: {{source: "p:o:s:1", image_resource_id: "{COMPUTE}/images/same"}}')
    (mistake,) = clashes(loaded.builds, loaded.origins)
    assert "the builds 1 and 2 would both make" in mistake.summary
    assert mistake.where
    assert clashes(loaded.builds[:1], loaded.origins) == ()


def test_cells_can_be_compared() -> None:
    assert Cell({"a": 1}).agrees({"a": ["1"]})
    assert not Cell({}).agrees({"a": ["1"]})
    assert isinstance(read_cells(None, Notes())[0][0], Cell)


def test_kinds_of_nodes_are_kept() -> None:
    node, _ = read_yaml(Source("f", "[1, 1.5, x, ~]"))
    assert isinstance(node, Array)
    assert [type(n) for n in node.items] == [Number, Number, Text, Null]
