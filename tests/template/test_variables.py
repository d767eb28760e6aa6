"""Variables: where values come from, what they may use, which are secret."""

from __future__ import annotations

from typing import Any

from tests.template.reading_aids import BUILDER, errors, read, spec, warnings

from gilder.model.spec import ShellProvisioner


def variables(declared: Any, text: str = "{{user `a`}}", root: Any = None, **inputs: Any) -> Any:
    return read({"variables": declared, "builders": [BUILDER | {"tags": {"v": text}}], **(root or {})}, **inputs)


def value(declared: Any, text: str = "{{user `a`}}", **inputs: Any) -> str:
    return spec(variables(declared, text, **inputs)).tags["v"]


def test_the_command_line_wins_over_files_and_the_later_file_over_the_earlier() -> None:
    files = [("one.json", '{"a": "one", "b": "one", "c": "one"}'), ("two.json", '{"a": "two", "b": "two"}')]
    text = "{{user `a`}} {{user `b`}} {{user `c`}} {{user `d`}}"
    declared = dict.fromkeys("abcd", "default")
    loaded = variables(declared, text, variables={"a": "cli"}, var_files=files)
    assert spec(loaded).tags["v"] == "cli two one default"
    assert {v.name: v.origin for v in loaded.variables} == {
        "a": "-var",
        "b": "two.json",
        "c": "one.json",
        "d": "default",
    }


def test_variables_use_each_other_in_any_order_and_the_environment() -> None:
    assert (
        value({"a": "{{user `b`}}/{{user `c`}}", "b": "{{env `HOME`}}", "c": "{{user `b`}}{{env `NONE`}}"})
        == "/root//root"
    )


def test_an_undeclared_variable_that_is_given_can_be_used() -> None:
    assert value({}, variables={"a": "x"}) == "x"


def test_an_unknown_variable_is_empty_with_a_warning_where_it_stands() -> None:
    loaded = variables({"region": "x"}, "[{{user `regoin`}}]")
    assert spec(loaded).tags["v"] == "[]"
    (warning,) = loaded.diagnostics
    assert warning.detail == 'did you mean "region"?'
    assert warning.where


def test_required_variables() -> None:
    loaded = variables({"a": None})
    assert errors(loaded) == ["required variable not set: a"]
    assert not loaded.ok
    assert value({"a": None}, variables={"a": "x"}) == "x"


def test_circles_and_unknown_names_among_variables_are_errors() -> None:
    assert any("circle: a → b → a" in e for e in errors(variables({"a": "{{user `b`}}", "b": "{{user `a`}}"})))
    assert any("there is no variable c" in e for e in errors(variables({"a": "{{user `c`}}"})))


def test_values_must_be_texts() -> None:
    assert any("expected a text, found a number" in e for e in errors(variables({"a": 3})))
    assert any("found a list" in e for e in errors(variables({}, var_files=[("f.json", '{"a": []}')])))
    assert errors(variables({}, var_files=[("v.pkrvars.hcl", 'a = "b"')]))[0].startswith("v.pkrvars.hcl: this is HCL2")
    (mistake,) = variables({}, "", var_files=[("f.json", '{"a": }')]).diagnostics
    assert mistake.where
    assert mistake.where.file == "f.json"


def test_placeholders_for_run_time_survive_in_a_variable() -> None:
    declared = {"run": "{{ .Vars }} {{.Path}} {{user `b`}}", "b": "now"}
    loaded = read(
        {
            "variables": declared,
            "builders": [BUILDER],
            "provisioners": [{"type": "shell", "inline": "x", "execute_command": "sudo {{user `run`}}"}],
        }
    )
    (found,) = spec(loaded).provisioners
    assert isinstance(found, ShellProvisioner)
    command = found.execute_command
    assert command
    assert command.render({"Vars": "A='{{.Path}}'", "Path": "/p"}) == "sudo A='{{.Path}}' /p now"


def test_a_mistake_in_a_variable_is_reported_where_it_stands() -> None:
    loaded = variables({"a": "{{nope}}"})
    (mistake,) = loaded.diagnostics
    assert mistake.summary == 'variable a: function "nope" not defined'
    assert mistake.where


def test_secrets() -> None:
    loaded = variables({"a": "{{env `SECRET`}}", "b": "x"}, root={"sensitive-variables": ["a", "b"]})
    assert loaded.sensitive == ("hunter2-and-more",)
    assert spec(loaded).sensitive == ("hunter2-and-more",)
    assert warnings(loaded) == ["the value of b is too short to be hidden in logs"]
    assert "hunter2" not in repr(loaded.variables)
    unknown = variables({"secret": "x"}, "", root={"sensitive-variables": ["secrets"]})
    assert errors(unknown) == ["there is no variable 'secrets'"]


def test_credentials_are_secret_without_being_named() -> None:
    loaded = read({"builders": [BUILDER | {"client_id": "c", "client_secret": "s3cret-value"}]})
    assert spec(loaded).sensitive == ("s3cret-value",)
    assert "s3cret" not in repr(spec(loaded))
