"""The shell provisioner, and what any provisioner may have around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.template.reading_aids import BUILDER, errors, read, read_builder, spec, warnings

from gilder.model.errors import UserError
from gilder.model.spec import ShellProvisioner


def shell(**options: Any) -> ShellProvisioner:
    provisioner = spec(read_builder([{"type": "shell", **options}])).provisioners[0]
    assert isinstance(provisioner, ShellProvisioner)
    return provisioner


def test_inline_lines_are_rendered_with_the_values_of_the_build() -> None:
    found = shell(inline=["echo {{build `Device`}} {{.SourceImageName}}", "plain"], inline_shebang="/bin/bash -x")
    assert found.inline
    data = {"Device": "/dev/sdc", "SourceImageName": "p:o:s:1"}
    assert [line.render(data) for line in found.inline] == ["echo /dev/sdc p:o:s:1", "plain"]
    assert found.inline_shebang == "/bin/bash -x"
    with pytest.raises(UserError, match="does not tell Device"):
        found.inline[0].render({})


def test_one_text_is_split_at_commas_with_a_warning() -> None:
    loaded = read_builder([{"type": "shell", "inline": "echo a, echo b"}])
    (found,) = spec(loaded).provisioners
    assert isinstance(found, ShellProvisioner)
    inline = found.inline
    assert inline
    assert [line.text for line in inline] == ["echo a", " echo b"]
    assert warnings(loaded) == ["inline: one text where a list is expected is split at its commas"]


def test_variables_get_the_values_of_the_build_when_the_script_runs() -> None:
    found = shell(
        inline=["x"],
        environment_vars=["A={{build `SourceImageName`}}", "B={{user `nothing`}}{{.Device}}"],
        env={"C": "{{build `MountPath`}}"},
    )
    data = {"SourceImageName": "p:o:s:1", "Device": "/dev/sdc", "MountPath": "/mnt"}
    assert [pair.render(data) for pair in found.environment_vars] == ["A=p:o:s:1", "B=/dev/sdc"]
    assert found.env["C"].render(data) == "/mnt"


def test_scripts_become_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("x")
    (tmp_path / "b.sh").write_text("x")
    one = read_builder([{"type": "shell", "script": "a.sh"}])
    assert "there is no /tmp/a.sh" in errors(one)[0]
    template = {"builders": [BUILDER], "provisioners": [{"type": "shell", "scripts": ["a.sh", "./b.sh"]}]}
    (found,) = spec(read(template, cwd=str(tmp_path))).provisioners
    assert isinstance(found, ShellProvisioner)
    assert found.scripts == (f"{tmp_path}/a.sh", f"{tmp_path}/b.sh")


def test_wrapper_options_and_durations() -> None:
    found = shell(
        inline=["x"], pause_before="1m30s", timeout="1.5h", max_retries="3", continue_on_error=True, pause_after="5s"
    )
    assert (found.wrap.pause_before, found.wrap.timeout, found.wrap.max_retries) == (90.0, 5400.0, 3)
    assert found.wrap.continue_on_error
    assert found.pause_after == 5.0
    assert shell(inline=["x"], timeout="0").wrap.timeout is None


def test_other_options() -> None:
    found = shell(
        inline=["x"],
        environment_vars="A=1,B=2",
        env={"C": 3},
        valid_exit_codes=["0", 2],
        remote_folder="/var/tmp",
        execute_command="{{.Vars}} sh {{.Path}} {{.EnvVarFile}}",
        use_env_var_file="true",
        start_retry_timeout="5m",
    )
    assert [pair.render({}) for pair in found.environment_vars] == ["A=1", "B=2"]
    assert {name: value.render({}) for name, value in found.env.items()} == {"C": "3"}
    assert found.valid_exit_codes == (0, 2)
    assert found.use_env_var_file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Either a script file or inline script must be specified."),
        ({"inline": []}, "Either a script file or inline script must be specified."),
        ({"inline": ["x"], "script": "y"}, "Only a script file or an inline script can be specified, not both."),
        ({"script": "x", "scripts": ["y"]}, "Only one of script or scripts can be specified."),
        ({"script": "/nowhere"}, "Bad script '/nowhere'"),
        ({"script": "/tmp"}, "it is no readable file"),
        ({"inline": ["x"], "environment_vars": ["A"]}, "Environment variable not in format 'key=value': A"),
        ({"inline": ["x"], "pause_before": "10"}, '"10" is not a duration'),
        ({"inline": ["x"], "pause_before": 10}, "expected a duration"),
        ({"inline": ["x"], "max_retries": -1}, "max_retries cannot be negative"),
        ({"inline": ["{{.Vars}}"]}, "there is no .Vars here"),
        ({"inline": ["{{build `Host`}}"]}, "couldnt find Host in it."),
        ({"inline": ["x"], "inlines": []}, "there is no option 'inlines'"),
        ({"inline": ["x"], "only": ["nobody"]}, 'only: there is no build "nobody"'),
        ({"inline": ["x"], "except": "azure-chrot"}, 'except: there is no build "azure-chrot"'),
        ({"inline": ["x"], "only": "azure-chroot", "except": "azure-chroot"}, "only and except exclude each other"),
        ({"inline": ["x"], "override": {"nobody": {}}}, 'override: there is no build "nobody"'),
        ({"inline": ["x"], "override": {"azure-chroot": {"inlin": 1}}}, "there is no option 'inlin'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    loaded = read_builder([{"type": "shell", **options}])
    assert any(message in e for e in errors(loaded)), errors(loaded)
    assert all(d.where for d in loaded.diagnostics)
    assert not loaded.ok


@pytest.mark.parametrize(
    ("type_", "hint"), [("shel", 'did you mean "shell"?'), ("powershell", "Linux"), ("puppet", "supported: ")]
)
def test_other_types_are_refused_with_what_is_supported(type_: str, hint: str) -> None:
    (mistake,) = read_builder([{"type": type_}]).diagnostics
    assert mistake.summary == f'there is no provisioner "{type_}"'
    assert hint in mistake.detail


def test_selection_and_override_by_build() -> None:
    provisioners = [
        {"type": "shell", "inline": ["all"], "override": {"b": {"inline": ["only b"]}}},
        {"type": "shell", "inline": ["just a"], "only": ["a"]},
        {"type": "shell", "inline": ["not a {{build_name}}"], "except": ["a"]},
    ]
    loaded = read({"builders": [BUILDER | {"name": "a"}, BUILDER | {"name": "b"}], "provisioners": provisioners})
    lines = {
        b.name: [p.inline[0].render({}) for p in b.provisioners if isinstance(p, ShellProvisioner) and p.inline]
        for b in loaded.builds
    }
    assert lines == {"a": ["all", "just a"], "b": ["only b", "not a b"]}


def test_a_mistake_that_builds_share_is_told_once() -> None:
    loaded = read({"builders": [BUILDER | {"name": "a"}, BUILDER | {"name": "b"}], "provisioners": [{"type": "shell"}]})
    assert len(loaded.diagnostics) == 1


def test_a_provisioner_of_no_build_is_checked_too() -> None:
    loaded = read_builder([{"type": "shell", "inlin": ["x"], "except": ["azure-chroot"]}])
    assert any("'inlin'" in e for e in errors(loaded))


def test_error_cleanup_provisioner() -> None:
    rescue = {"error-cleanup-provisioner": {"type": "shell", "inline": ["rescue"]}}
    after = spec(read_builder(root=rescue)).error_cleanup_provisioner
    assert isinstance(after, ShellProvisioner)
    assert after.inline
