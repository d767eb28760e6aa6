"""Packer's functions, where they may stand, and what they say when they cannot."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.template.reading_aids import BUILDER, INPUTS, errors, read, read_builder, spec

from gilder.template import load
from gilder.template.functions import clean_resource_name


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{timestamp}}", "1709647629"),
        ("{{isotime}}", "2024-03-05T14-07-09Z"),
        ("{{isotime `20060102`}}", "20240305"),
        ("{{strftime `%Y`}}", "2024"),
        ("{{uuid}}", "an-id"),
        ("{{`x/tmp` | replace_all `/` `-`}}", "x-tmp"),
        ("{{split `a-b-c` `-` 1}}", "b"),
        ("{{replace `a` `b` 1 `aa`}}{{replace `a` `b` -1 `aa`}}", "babb"),
        ("{{`x` | upper}}{{lower `Y`}}", "Xy"),
        ("{{upper `ßé ŉﬁᾳ`}} {{lower `İΑΣ`}}", "ßÉ ŉﬁᾼ iας".replace("ς", "σ")),
        ("{{clean_resource_name (printf `a%c%cb` 55296 233)}}", "a-----b"),
        ("{{clean_resource_name `a b/c_`}}{{clean_image_name `x!y`}}", "a-b-cx-y"),
        ("{{vm `name`}}-{{vm `location`}}-{{vm `zone`}}", "builder-1-westeurope-2"),
        ("{{build_name}}-{{build_type}}", "azure-chroot-azure-chroot"),
        ("{{packer_version}}", "1.16.0"),
    ],
)
def test_functions_work_in_any_option(text: str, result: str) -> None:
    build = spec(read_builder(tags={"t": text.replace("{{isotime}}", "{{isotime | replace_all `:` `-`}}")}))
    assert build.tags == {"t": result}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{{env `HOME`}}", "env vars are not allowed here", "declare a variable"),
        ("{{vm `names`}}", "unknown metadata key: names", 'did you mean "name"?'),
        ("{{split `a` `-` 1}}", "only 1 values were found", "number 0"),
        ("{{split `a` `-` -1}}", "unavailable", ""),
        ("{{build `Device`}}", "Device is not known here", "inline"),
        ("{{sed `a` `b`}}", "deprecated", "replace"),
        ("{{vault `a` `b`}}", "vault is not allowed here", "give a variable this value"),
        ("{{aws_secretsmanager `a`}}", "does not fetch secrets", "-var"),
        ("{{isotime `a` `b`}}", "too many values", ""),
        ("{{replace `a` `b` 1e30 `x`}}", "expected int; got float64", ""),
        ("{{timestmp}}", 'function "timestmp" not defined', 'did you mean "timestamp"?'),
        ("{{user 3}}", "expected string", "backquotes"),
        ("{{.Device}}", "there is no .Device here", ""),
    ],
)
def test_mistakes_name_option_and_cause(text: str, message: str, hint: str) -> None:
    loaded = read_builder(mount_options=[text])
    (mistake,) = loaded.diagnostics
    assert mistake.summary.startswith("mount_options[0]: ")
    assert message in mistake.summary
    assert hint in mistake.detail


@pytest.mark.parametrize("file", ["t.json", "./t.json", "../tmp/t.json", "/tmp/x/../t.json"])
def test_the_directory_of_a_template_is_a_clean_path(file: str) -> None:
    text = json.dumps({"builders": [BUILDER | {"tags": {"d": "{{template_dir}}"}}]})
    assert spec(load(text, file=file, inputs=INPUTS)).tags == {"d": "/tmp"}


def test_a_mistake_points_into_the_text() -> None:
    text = '{"builders": [{"type": "azure-chroot", "source": "a\\tb{{foo}}"}]}'
    mistake = next(d for d in read(text).diagnostics if "foo" in d.summary)
    assert mistake.where
    assert text[mistake.where.column - 1 : mistake.where.end_column - 1] == "foo"


def test_vm_is_needed_only_when_a_template_asks() -> None:
    assert not read_builder().needs_vm
    assert read_builder(tags={"a": "{{vm `name`}}"}).needs_vm
    assert read_builder(pre_mount_commands=["{{if .Device}}{{vm `name`}}{{end}}"]).needs_vm
    assert read_builder([{"type": "shell", "inline": ["{{vm `name`}}"]}]).needs_vm


def test_offline_placeholders_are_legal_ids() -> None:
    image = (
        "/subscriptions/{{vm `subscription_id`}}"
        "/resourceGroups/{{vm `resource_group`}}/providers/Microsoft.Compute/images/a"
    )
    loaded = read({"builders": [BUILDER | {"image_resource_id": image}]}, vm=None)
    assert errors(loaded) == []
    assert loaded.needs_vm


def test_template_dir_is_absolute() -> None:
    assert spec(read_builder(tags={"a": "{{template_dir}} {{pwd}}"})).tags == {"a": "/tmp /tmp"}


@given(st.text())
def test_clean_names_hold_only_what_azure_allows(text: str) -> None:
    cleaned = clean_resource_name(text)
    assert cleaned == "" or (cleaned.isascii() and cleaned[-1].isalnum())
    assert clean_resource_name(cleaned) == cleaned
