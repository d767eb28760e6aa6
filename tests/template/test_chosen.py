"""Templates of which not everything is built: what -only and -except leave out may be wrong, or another program's."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from tests.template.reading_aids import BUILDER, errors, read, warnings
from tests.template.test_native import read as read_native

from gilder.template import Loaded, is_chosen

ARM = {"type": "azure-arm", "name": "arm", "vm_size": "Standard_D2s_v5"}
OURS = BUILDER | {"name": "chroot"}
BAD = BUILDER | {"name": "bad", "source": ""}
SHELL: dict[str, Any] = {"type": "shell", "inline": ["x"]}


def chosen(builders: list[Any], *provisioners: Any, only: str = "", except_: str = "", root: Any = None) -> Loaded:
    template = {"builders": builders, "provisioners": list(provisioners), **(root or {})}
    return read(template, chosen=partial(is_chosen, only=[only], except_=[except_]))


@pytest.mark.parametrize("choice", [{"only": "chroot"}, {"only": "ch*"}, {"except_": "arm*"}])
def test_builders_of_other_programs_do_no_harm_where_they_are_left_out(choice: dict[str, str]) -> None:
    root: dict[str, Any] = {
        "variables": {"n": "arm-2"},
        "post-processors": [[{"type": "vagrant", "only": ["arm"]}, "manifest"]],
        "error-cleanup-provisioner": {"type": "windows-shell", "except": ["chroot"]},
    }
    loaded = chosen(
        [OURS, ARM, ARM | {"name": "{{user `n`}}", "x": "{{nope}}"}],
        SHELL | {"only": ["arm", "chroot"], "override": {"arm": {"inlines": 3}}},
        {"type": "powershell", "inline": ["x"], "only": "arm"},
        SHELL | {"script": "/nowhere", "except": ["chroot"]},
        root=root,
        **choice,
    )
    assert loaded.diagnostics == ()
    assert loaded.names == ("chroot", "arm", "arm-2")
    (build,) = loaded.builds
    assert (len(build.provisioners), len(build.post_processors)) == (1, 1)


@pytest.mark.parametrize("choice", [{}, {"only": "arm"}, {"except_": "chroot"}])
def test_a_chosen_builder_of_another_program_is_refused(choice: dict[str, str]) -> None:
    loaded = chosen([OURS, ARM], SHELL | {"only": ["arm"]}, **choice)
    assert errors(loaded) == ['a builder of type "azure-arm": gilder builds azure-chroot only']
    assert "-except=arm" in loaded.diagnostics[0].detail


def test_names_of_other_programs_builders_are_checked_as_ours_are() -> None:
    assert errors(chosen([OURS, ARM, ARM], only="chroot")) == ['a second builder with the name "arm"']
    assert errors(chosen([OURS, ARM], SHELL | {"only": ["amr"]}, only="chroot")) == ['only: there is no build "amr"']


def test_a_provisioner_that_gilder_lacks_is_refused_where_a_chosen_build_runs_it() -> None:
    puppet = {"type": "puppet-masterless"}
    assert errors(chosen([OURS, ARM], puppet, only="chroot")) == ['there is no provisioner "puppet-masterless"']
    loaded = chosen([OURS, BUILDER | {"name": "other"}], puppet | {"only": ["other"]}, only="chroot")
    assert (errors(loaded), len(warnings(loaded))) == ([], 1)


def test_mistakes_of_builds_that_are_not_chosen_are_warnings() -> None:
    loaded = chosen([OURS, BAD], SHELL | {"script": "/nowhere", "only": ["bad"]}, only="chroot")
    assert loaded.ok
    assert warnings(loaded) == [
        "source is missing",
        "Only a script file or an inline script can be specified, not both.",
        "Bad script '/nowhere': there is no /nowhere",
    ]
    assert all(d.detail.endswith("none of the chosen builds has it") for d in loaded.diagnostics)
    assert [build.name for build in loaded.builds] == ["chroot"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_mistake_that_a_chosen_build_has_too_is_an_error(order: int) -> None:
    loaded = chosen([BAD, OURS][::order], {"type": "shell"}, only="chroot")
    assert errors(loaded) == ["Either a script file or inline script must be specified."]
    assert warnings(loaded) == ["source is missing"]
    assert loaded.builds == ()


def test_mistakes_of_the_file_itself_are_errors_whatever_is_chosen() -> None:
    loaded = chosen([OURS, BAD], only="chroot", root={"variables": {"a": None}, "bogus": 1})
    assert errors(loaded) == ["required variable not set: a", "Unknown root level key in template: 'bogus'"]


@pytest.mark.parametrize("text", ["{}", "{a: [x], exclude: [{b: y}]}"])
def test_of_the_syntax_alone_nothing_is_judged_but_the_structure(text: str) -> None:
    rest = "defaults: {sorce: 3, source: '{{nope}}', provisioners: [{type: puppet}]}\nvariables: {a: null}"
    found = errors(read_native(f"matrix: {text}\n{rest}", syntax_only=True))
    assert found == (
        ["the matrix has no cells"] if text == "{}" else ['exclude: there is nothing called "b" in the matrix']
    )
    builder = {"type": "puppet-builder", "name": "{{nope}}", "sorce": 3}
    assert read({"builders": [builder], "variables": {"a": None}}, syntax_only=True).diagnostics == ()


def test_cells_of_a_matrix_that_are_not_chosen() -> None:
    text = """
matrix: {a: [x, y]}
defaults: {source: "p:o:s:1", skip_create_image: true}
overrides: [{match: {a: y}, sorce: z, provisioners: [{type: puppet}]}]
"""
    loaded = read_native(text, chosen=partial(is_chosen, only=["x"], except_=[]))
    assert (loaded.names, [build.name for build in loaded.builds]) == (("x", "y"), ["x"])
    assert (errors(loaded), len(warnings(loaded))) == ([], 2)
