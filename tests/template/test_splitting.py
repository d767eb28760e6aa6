"""One text where a list is wanted: as Packer has it, filled in first and then split at its commas."""

from __future__ import annotations

from typing import Any

import pytest
from tests.template.reading_aids import BUILDER, errors, read, read_builder, spec, warnings

from gilder.model.base import Delayed
from gilder.model.provisioners import ShellLocal
from gilder.template import Loaded

VALUES = {"Device": "/dev/sdc", "MountPath": "/mnt", "SourceImageName": "p,o"}


def loaded(option: str, text: Any, **variables: str) -> Loaded:
    block = {"type": "shell-local", "inline": ["x"]} | {option: text}
    return read({"variables": variables, "builders": [BUILDER], "provisioners": [block]})


def rendered(option: str, text: Any, **variables: str) -> list[str]:
    (found,) = spec(loaded(option, text, **variables)).provisioners
    return [each.render(VALUES) if isinstance(each, Delayed) else each for each in getattr(found, option)]


SPLIT: list[tuple[str, dict[str, str], list[str]]] = [
    ("echo a,echo b", {}, ["echo a", "echo b"]),
    ("{{user `cmds`}}", {"cmds": "echo a,echo b"}, ["echo a", "echo b"]),
    ("[{{user `x`}}]", {"x": "{{user `y`}},c", "y": "a,b"}, ["[a", "b", "c]"]),
    ("{{user `x` | upper}}", {"x": "a,b"}, ["A", "B"]),
    ("echo {{split `a,b` `,` 1}}", {}, ["echo b"]),
    ("{{if true}}a,b{{end}}", {}, ["a", "b"]),
    ("a{{build `Device`}},{{.MountPath}}", {}, ["a/dev/sdc", "/mnt"]),
    ("{{user `x`}}", {"x": "a {{.Device}},b {{.MountPath}}"}, ["a /dev/sdc", "b /mnt"]),
    ("{{build `SourceImageName`}},x", {}, ["p,o", "x"]),
    ("{{replace_all `,` `-` (build `SourceImageName`)}},x", {}, ["p-o", "x"]),
    ("{{if .Device}}a,b{{end}},c", {}, ["a,b", "c"]),
    ("  {{- user `x` -}}  {{- .Device -}} ,b", {"x": " a,"}, [" a", "/dev/sdc", "b"]),
    ("{{`{{.State}}`}},{{`{`}}{{`{a}`}}", {}, ["{{.State}}", "{{a}"]),
    ("{{user `x`}}", {"x": "{{user `y`}}{{`,`}}{{.Device}}", "y": ""}, ["", "/dev/sdc"]),
]


@pytest.mark.parametrize(("text", "variables", "expected"), SPLIT, ids=[text for text, _, _ in SPLIT])
def test_run_time_texts(text: str, variables: dict[str, str], expected: list[str]) -> None:
    assert rendered("inline", text, **variables) == expected


@pytest.mark.parametrize("text", ["", "{{user `nothing`}}", "{{if false}}x{{end}}"])
def test_an_empty_text_is_an_empty_list(text: str) -> None:
    assert rendered("environment_vars", text, nothing="") == []


def test_what_is_a_list_already_is_not_split() -> None:
    assert rendered("inline", ["{{user `x`}}", "c,d"], x="a,b") == ["a,b", "c,d"]


def test_the_parts_are_filled_in_once() -> None:
    loaded = read_builder(root={"variables": {"x": "{{ .a }},{{`{{`}}user"}}, mount_options="{{user `x`}}")
    assert spec(loaded).mount_options == ("{{ .a }}", "{{user")


def test_options_that_packer_leaves_alone_are_split_as_written() -> None:
    command = "{{user `shell`}},-c,{{.Vars}} {{.Script}} {{split `a,b` `,` 1}}"
    (found,) = spec(loaded("execute_command", command, shell="/bin/bash,--norc")).provisioners
    assert isinstance(found, ShellLocal)
    data = {"Vars": "A=1", "Script": "s.sh"}
    assert [word.render(data) for word in found.execute_command or ()] == ["/bin/bash,--norc", "-c", "A=1 s.sh b"]
    build = spec(read_builder(root={"variables": {"x": "a,b"}}, pre_mount_commands="{{user `x`}} {{.Device}},c"))
    assert [command.render({"Device": "d"}) for command in build.pre_mount_commands] == ["a,b d", "c"]


def test_assignments_are_checked_as_they_will_be() -> None:
    for texts in (["{{user `e`}}"], "{{user `e`}}", ["{{build `Device`}}=1", "{{user `e`}}{{.Device}}"]):
        assert errors(loaded("environment_vars", texts, e="A=1,B=2")) == [], texts
    for text in ("{{user `e`}}", "{{build `Device`}}"):
        assert errors(loaded("environment_vars", [text], e="A")) == [
            f"Environment variable not in format 'key=value': {text}"
        ]


def test_a_split_that_may_surprise_is_told() -> None:
    told = "inline: one text where a list is expected is split at its commas"
    assert warnings(loaded("inline", "{{user `x`}}", x="a,b")) == [told]
    assert warnings(loaded("inline", "{{split `a,b` `,` 1}}")) == []


def test_placeholders_that_a_split_would_tear_apart_are_a_mistake() -> None:
    (mistake,) = errors(loaded("inline", "{{$x := .Device}}a,{{$x}}"))
    assert "$x" in mistake
