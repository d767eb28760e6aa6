"""The other provisioners, and post-processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.template.reading_aids import BUILDER, errors, read, read_builder, spec, warnings

from gilder.model.provisioners import (
    AnsibleLocalProvisioner,
    AnsibleProvisioner,
    BreakpointProvisioner,
    FileProvisioner,
    Manifest,
    Provisioner,
    ShellLocal,
    ShellLocalAfter,
    SleepProvisioner,
)
from gilder.template import select, without


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("site.yml", "roles.yml", "a.sh"):
        (tmp_path / name).write_text("x")
    (tmp_path / "roles").mkdir()
    return tmp_path


def one(cwd: Path, **block: Any) -> Provisioner:
    (found,) = spec(read({"builders": [BUILDER], "provisioners": [block]}, cwd=str(cwd))).provisioners
    return found


def test_file(here: Path) -> None:
    found = one(here, type="file", source="a.sh", destination="/tmp/{{build_name}}/", max_retries=1)
    assert isinstance(found, FileProvisioner)
    assert [s.render({}) for s in found.sources] == ["a.sh"]
    assert found.destination.render({}) == "/tmp/azure-chroot/"
    assert found.wrap.max_retries == 1
    made_later = one(here, type="file", source="out/{{build `BuildName`}}", destination="/", generated=True)
    assert isinstance(made_later, FileProvisioner)
    down = one(here, type="file", sources=["/etc/os-release"], destination="here", direction="Download")
    assert isinstance(down, FileProvisioner)
    assert down.direction == "download"
    written = one(here, type="file", content="x={{.Device}}", destination="/x")
    assert isinstance(written, FileProvisioner)
    assert written.content
    assert written.content.render({"Device": "d"}) == "x=d"


def test_shell_local(here: Path) -> None:
    found = one(here, type="shell-local", command="echo {{.MountPath}}", environment_vars=["A={{build `Device`}}"])
    assert isinstance(found, ShellLocal)
    assert found.inline
    assert found.inline[0].render({"MountPath": "/m"}) == "echo /m"
    assert found.environment_vars[0].render({"Device": "d"}) == "A=d"


def test_sleep_and_breakpoint(here: Path) -> None:
    sleep = one(here, type="sleep", duration="1m")
    assert isinstance(sleep, SleepProvisioner)
    assert sleep.duration == 60.0
    stop = one(here, type="breakpoint", note="look", disable="true")
    assert isinstance(stop, BreakpointProvisioner)
    assert (stop.note, stop.disable) == ("look", True)


def test_ansible(here: Path) -> None:
    block = {"type": "ansible", "playbook_file": "site.yml", "galaxy_file": "roles.yml", "groups": ["web"]}
    loaded = read(
        {
            "builders": [BUILDER],
            "provisioners": [block | {"use_proxy": False, "extra_arguments": ["-e", "d={{.Device}}"]}],
        },
        cwd=str(here),
    )
    (found,) = spec(loaded).provisioners
    assert isinstance(found, AnsibleProvisioner)
    assert found.playbook_file == f"{here}/site.yml"
    assert found.extra_arguments[1].render({"Device": "x"}) == "d=x"
    assert warnings(loaded) == ["ansible: the option use_proxy is ignored"]


def test_ansible_local(here: Path) -> None:
    found = one(here, type="ansible-local", playbook_file="site.yml", role_paths=["roles"])
    assert isinstance(found, AnsibleLocalProvisioner)
    assert (found.playbook_file, found.playbook_files) == (f"{here}/site.yml", ())
    assert found.role_paths == (f"{here}/roles",)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "file", "source": "/nowhere", "destination": "/x"}, "Bad source '/nowhere'"),
        ({"type": "file", "source": "/tmp"}, "Destination must be specified."),
        ({"type": "file", "destination": "/x"}, "one of source, sources and content must be given"),
        ({"type": "file", "destination": "/x", "content": "a", "source": "/tmp"}, "exclude each other"),
        ({"type": "file", "destination": "/x", "content": "a", "direction": "download"}, "only be uploaded"),
        ({"type": "file", "destination": "/x", "source": "/tmp", "direction": "up"}, '"up" is not allowed'),
        ({"type": "shell-local"}, "Either a script file or inline script must be specified."),
        ({"type": "shell-local", "command": "a", "inline": ["b"]}, "not both"),
        ({"type": "shell-local", "inline": ["{{.Vars}}"]}, "there is no .Vars here"),
        ({"type": "shell-local", "inline": ["x"], "only_on": ["linus"]}, 'there is no operating system "linus"'),
        ({"type": "sleep"}, "duration is missing"),
        ({"type": "sleep", "duration": "long"}, '"long" is not a duration'),
        ({"type": "ansible"}, "playbook_file must be specified"),
        ({"type": "ansible", "playbook_file": "/nowhere.yml"}, "Bad playbook_file"),
        ({"type": "ansible-local"}, "Either playbook_file or playbook_files must be specified"),
        ({"type": "ansible-local", "playbook_file": "a", "playbook_files": ["b"]}, "not both"),
        ({"type": "breakpoint", "notes": "x"}, "there is no option 'notes'"),
    ],
)
def test_mistakes(block: dict[str, Any], message: str) -> None:
    loaded = read_builder([block])
    assert any(message in e for e in errors(loaded)), errors(loaded)
    assert all(d.where for d in loaded.diagnostics)


def after(*chains: Any) -> Any:
    return read_builder(root={"post-processors": list(chains)})


def test_chains_of_post_processors() -> None:
    loaded = after(
        "manifest", [{"type": "manifest", "output": "m.json", "custom_data": {"a": "{{build_name}}"}}, "manifest"]
    )
    first, second = spec(loaded).post_processors
    assert first == (Manifest(),)
    assert isinstance(second[0], Manifest)
    assert second[0].output == "m.json"
    assert second[0].custom_data["a"].render({}) == "azure-chroot"
    assert len(second) == 2


def test_shell_local_after_a_build() -> None:
    ((found,),) = spec(after({"type": "shell-local", "inline": ["x"], "keep_input_artifact": True})).post_processors
    assert isinstance(found, ShellLocalAfter)
    assert found.keep_input_artifact is True


def test_a_post_processor_for_some_builds() -> None:
    chain = {"type": "manifest", "except": ["a"]}
    loaded = read({"builders": [BUILDER | {"name": "a"}, BUILDER | {"name": "b"}], "post-processors": [chain]})
    assert [len(b.post_processors) for b in loaded.builds] == [0, 1]


def test_post_processors_may_be_left_out_by_name_or_type() -> None:
    build = spec(after([{"type": "shell-local", "name": "tell", "inline": ["x"]}, "manifest"], "manifest"))
    for globs, left in ((["tell"], [1]), (["manifest"], [1]), (["no"], [2, 1]), (["shell*"], [2, 1]), (["*"], [])):
        assert [len(chain) for chain in without(build, globs).post_processors] == left
    assert select(["web"], (), ["manifest"], ["manifest"]) == (("web",), ())
    assert select(["web"], (), ["manifets"], ["manifest"])[1], "a typo is told"


def test_a_directory_that_is_not_there_is_told_before_the_build() -> None:
    loaded = after({"type": "manifest", "output": "/nowhere/m.json"}, {"type": "manifest", "output": "/m.json"})
    assert loaded.ok
    assert [d.summary for d in loaded.diagnostics] == ["output: there is no directory /nowhere"]


def test_keep_input_artifact_false_is_told_to_change_nothing() -> None:
    loaded = after({"type": "manifest", "keep_input_artifact": False})
    assert loaded.ok
    assert [d.summary for d in loaded.diagnostics] == ["the image is kept all the same"]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("docker-push", 'there is no post-processor "docker-push"'),
        ([["manifest"]], "a chain of post-processors inside another"),
        ({"type": "manifest", "outptu": "x"}, "there is no option 'outptu'"),
        ({"type": "shell-local", "inline": ["{{.Device}}"]}, "there is no .Device here"),
        ({"type": "manifest", "outptu": "x", "except": ["azure-chroot"]}, "there is no option 'outptu'"),
        (3, "a post-processor is an object"),
    ],
)
def test_post_processor_mistakes(chain: Any, message: str) -> None:
    assert any(message in e for e in errors(after(chain))), errors(after(chain))
