"""What is said of templates with mistakes, and of files that others can read, shows no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from gilder import api
from gilder.azure.cloud import PUBLIC
from gilder.azure.metadata import Machine
from gilder.cli.asked import DoctorOptions
from gilder.cli.errand import Errand
from gilder.cli.examination import Examination
from gilder.cli.findings import Findings
from gilder.cli.places import Places
from gilder.cli.secrecy import errors_hidden, open_files
from gilder.cli.templates import TemplateFile, Templates
from gilder.model.errors import UserError
from gilder.model.ids import ArmId
from gilder.model.spec import Auth
from gilder.runtime.redaction import Redactor
from gilder.template import Inputs, load
from gilder.template.secrecy import environment_secrets, written_secrets

SECRET = 'hunter2"\\hunter2'
BUILDER: dict[str, Any] = {
    "type": "azure-chroot",
    "source": "Debian:debian-13:13-gen2:latest",
    "image_resource_id": "/subscriptions/{{vm `subscription_id`}}/resourceGroups/g/providers/Microsoft.Compute/images/i",
}


def said(folder: Path, text: str, *arguments: str, name: str = "t.json", **environment: str) -> str:
    """What `gilder validate` says of a template with mistakes."""
    (folder / name).write_text(text)
    command = [sys.executable, "-m", "gilder", "validate", *arguments, str(folder / name)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 1, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    return done.stderr


def legacy(*, variables: dict[str, str] | None = None, **options: Any) -> str:
    """A template on one line: every message quotes it whole."""
    more = {"variables": variables, "sensitive-variables": list(variables)} if variables else {}
    return json.dumps({"builders": [BUILDER | options], **more})


def test_a_mistake_beside_a_secret_is_told_without_it(tmp_path: Path) -> None:
    text = said(tmp_path, legacy(client_secret=SECRET, os_disk_size_gb="large"))
    assert "os_disk_size_gb" in text
    assert "<sensitive>" in text


def test_a_mistake_beside_a_secret_in_yaml(tmp_path: Path) -> None:
    options = "{client_secret: hunter2hunter2, os_disk_size_gb: large}"
    text = said(tmp_path, f"defaults: {options}\nmatrix: {{release: ['13']}}\n", name="t.yaml")
    assert "os_disk_size_gb" in text


@pytest.mark.parametrize("place", ["default", "-var", "-var-file", "environment"])
def test_the_value_of_a_sensitive_variable_is_not_quoted(tmp_path: Path, place: str) -> None:
    (tmp_path / "vars.json").write_text(json.dumps({"size": SECRET}))
    arguments = {"-var": [f"-var=size={SECRET}"], "-var-file": [f"-var-file={tmp_path}/vars.json"]}.get(place, [])
    value = {"default": SECRET, "environment": "{{env `WHERE_IT_IS`}}"}.get(place, "none")
    text = legacy(variables={"size": value}, os_disk_size_gb="{{user `size`}}")
    assert "os_disk_size_gb" in said(tmp_path, text, *arguments, WHERE_IT_IS=SECRET)


def test_secrets_of_the_environment_are_not_quoted(tmp_path: Path) -> None:
    template = {"builders": [BUILDER | {"os_disk_size_gb": "{{user `size`}}"}]}
    template["variables"] = {"size": "{{env `ARM_CLIENT_SECRET`}}"}  # type: ignore[assignment] # a mapping, not a list
    assert "os_disk_size_gb" in said(tmp_path, json.dumps(template), ARM_CLIENT_SECRET=SECRET)


def test_secrets_of_the_environment_are_those_of_logins_stores_and_proxies() -> None:
    found = environment_secrets(
        {
            "ARM_CLIENT_SECRET": "one",
            "VAULT_TOKEN": "two",
            "CONSUL_HTTP_TOKEN": "three",
            "https_proxy": "http://me:fo%75r@proxy:3128/",
            "ALL_PROXY": "me:fi@ve@proxy",
            "http_proxy": "http://proxy:3128",
            "no_proxy": "a:b@c",
            "AZURE_FEDERATED_TOKEN_FILE": "/token",
        }
    )
    assert sorted(set(found.values())) == ["fi@ve", "fo%75r", "four", "one", "three", "two"]


@pytest.mark.parametrize(
    "values",
    ['{"size": 12345678}', '{"size": ["12345678"]}', '{"size": "12345678" "x": "y"}', '{"size": "12345678',
     '{"size": "other", "size": "12345678"}'],
)  # fmt: skip
def test_a_value_that_cannot_be_taken_is_not_quoted(tmp_path: Path, values: str) -> None:
    (tmp_path / "vars.json").write_text(values)
    text = said(tmp_path, legacy(variables={"size": "30"}), f"-var-file={tmp_path}/vars.json")
    assert '{"size": ' in text
    assert "12345678" not in text
    assert "<sensitive>" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"sensitive-variables": ["size"], "variables": {"size": "12345678" "x": "y"}}'),
        ("t.json", '{"sensitive-variables": ["size"], "variables": {"size": 12345678}}'),
        ("t.yaml", "variables:\n  size: {default: 12345678, sensitive: true]\nmatrix: {}\n"),
        ("t.yaml", "variables:\n  size: {default: [12345678], sensitive: true}\nmatrix: {}\n"),
    ],
)
def test_a_secret_in_a_template_that_cannot_be_read_is_not_quoted(tmp_path: Path, name: str, text: str) -> None:
    told = said(tmp_path, text, name=name)
    assert "size" in told
    assert "12345678" not in told


def test_a_secret_is_not_cut_where_a_long_line_is(tmp_path: Path) -> None:
    """A part of it would not be known for one."""
    for place in range(20, 90, 10):
        text = legacy(_a="." * place, os_disk_size_gb="large", _b="." * place, client_cert_password="hunter2" * 10)
        assert "os_disk_size_gb" in said(tmp_path, text)


@pytest.mark.parametrize("machine", [(), ("-machine-readable",)])
def test_inspect_shows_no_secret_that_is_part_of_another_value(tmp_path: Path, machine: tuple[str, ...]) -> None:
    variables = {
        "key": "",
        "arm": "{{env `ARM_CLIENT_SECRET`}}",
        "url": "https://me:{{user `key`}}@host/?hunter2,{{user `arm`}}",
    }
    template = {
        "builders": [BUILDER],
        "variables": variables,
        "sensitive-variables": ["key"],
        "provisioners": [{"type": "shell", "inline": ["echo {{user `key`}}"], "env": {"ARM": "{{user `arm`}}"}}],
    }
    (tmp_path / "t.json").write_text(json.dumps(template))
    command = [
        sys.executable,
        "-m",
        "gilder",
        "inspect",
        *machine,
        "-var=key=hunter2\nhunter3",
        str(tmp_path / "t.json"),
    ]
    environment = {**os.environ, "ARM_CLIENT_SECRET": "?hunter2,", "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "hunter" not in done.stdout + done.stderr
    assert "<sensitive>" in done.stdout


def test_what_is_no_variable_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(legacy())
    command = [sys.executable, "-m", "gilder", "validate", "-var", "=hunter2", str(tmp_path / "t.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "NAME=VALUE" in done.stderr
    assert "hunter2" not in done.stderr


def test_mistakes_that_the_api_tells_show_no_secret(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(legacy(client_secret=SECRET, os_disk_size_gb="large"))
    with pytest.raises(UserError) as mistakes:
        api.load(tmp_path / "t.json")
    assert "os_disk_size_gb" in mistakes.value.message
    assert "hunter2" not in mistakes.value.message


def test_errors_and_what_is_noted_of_them_show_no_secret() -> None:
    error = ExceptionGroup("several", [ValueError(SECRET)])
    error.exceptions[0].add_note(f"tried with {SECRET}")
    with pytest.raises(ExceptionGroup) as hidden, errors_hidden(Redactor([SECRET])):
        raise error
    assert "hunter2" not in "".join(traceback.format_exception(hidden.value))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"client_secret": "a\\"b"}', ['a\\"b']),
        ('{"client_secret": "{{user `s`}}", "client_jwt":"x y"}', ["x y"]),
        ("client_cert_password: p@ss word  # why\n", ["p@ss word"]),
        ("oidc_request_token: 'it is'\n", ["it is"]),
        ("client_secret:\n  nested: no\n", ["nested: no"]),
        ("client_id: x", []),
    ],
)
def test_secrets_are_found_in_the_text_of_a_template(text: str, found: list[str]) -> None:
    assert written_secrets(text) == found


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False), (0o600, False)])
def test_files_with_secrets_that_everybody_may_read_are_pointed_out(tmp_path: Path, mode: int, warned: bool) -> None:
    template, certificate, token, variables = (tmp_path / name for name in ("t.json", "c.pem", "token", "vars.json"))
    text = legacy(variables={"size": ""}, client_secret=SECRET)
    for file in (template, certificate, token, variables):
        file.write_text('{"size": "30"}' if file is variables else text)
        file.chmod(mode)
    auth = Auth(client_id="x", client_jwt=str(token), client_cert_path=str(certificate))
    loaded = load(text, file=str(template), inputs=Inputs(var_files=[(str(variables), '{"size": "30"}')]))
    warnings = "\n".join(open_files(loaded, auth, {str(template): text, "<stdin>": text}))
    for file in (template, certificate, token, variables):
        assert (f"chmod 600 {file}" in warnings) is warned


@pytest.mark.parametrize(("default", "warned"), [("hunter2hunter2", True), ("{{env `KEY`}}", False), ("", False)])
def test_a_template_that_everybody_may_read_with_the_value_of_a_sensitive_variable(
    tmp_path: Path, default: str, warned: bool
) -> None:
    template = tmp_path / "t.json"
    text = legacy(variables={"key": default})
    template.write_text(text)
    template.chmod(0o644)
    loaded = load(text, file=str(template), inputs=Inputs())
    warnings = open_files(loaded, Auth(), {str(template): text})
    assert [f"{template} (values of sensitive variables)" in warning for warning in warnings] == [True] * warned


def test_a_doctor_points_out_files_with_secrets_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "t.json"
    template.write_text(legacy(variables={"key": "hunter2hunter2"}))
    template.chmod(0o644)
    templates = Templates((TemplateFile(str(template), template.read_text()),), Inputs())
    options = DoctorOptions(Places(tmp_path / "journal.sqlite", "local", tmp_path), tmp_path, force=False)
    Examination(templates, options, None, Findings())._template(templates.loaded())
    assert f"warning: {template} (values of sensitive variables) can be read by every" in capsys.readouterr().err


def test_what_a_recovery_or_collection_says_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(
        ArmId.parse("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/m/t/n"), "", "", ""
    )
    here = Errand(PUBLIC, Auth(), machine, Redactor([SECRET]))
    here.tell(f"LEFT disk: {SECRET}")
    here.show(f"deleted {SECRET}")
    said = capsys.readouterr()
    assert (said.err, said.out) == ("==> LEFT disk: <sensitive>\n", "deleted <sensitive>\n")
