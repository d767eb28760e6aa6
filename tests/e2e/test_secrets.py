"""Secrets of real runs: whatever a provisioner does with them, nothing that gilder writes contains them."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.e2e.conftest import Ended, Program, builder, shell

from gilder.runtime.redaction import MASK

pytestmark = pytest.mark.root

PASSWORD = "pa55/w+rd'of\"the%build"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----"
FROM_ENVIRONMENT = "arm~client.secret_1"

ECHO = """
import base64, json, os, shlex, sys, urllib.parse
for name in ("PASSWORD", "KEY", "ARM"):
    secret = os.environ[name]
    data = secret.encode()
    print("plain", secret, "and", shlex.quote(secret), json.dumps(secret), urllib.parse.quote(secret, safe=""))
    for before in (b"", b"1", b"12"):
        print("base64", base64.b64encode(before + data + b" and so on").decode(), data.hex(), file=sys.stderr)
    print(base64.encodebytes(data * 3).decode())
    bold, normal = chr(27) + "[1m", chr(27) + "[0m"
    print("coloured", "".join(f"{bold}{c}{normal}{chr(0)}" for c in secret.splitlines()[0]))
    # gilder cuts lines of 65,536 characters: here, within the secret
    print("." * (65536 - 7) + secret.splitlines()[0] + "." * 70000)
    sys.stdout.flush()
    for half in (data[:5], data[5:]):
        os.write(1, half)
    print()
"""


def _template(gilder: Program, provisioners: list[dict[str, Any]]) -> str:
    file = Path(gilder.template([builder("tiny")], provisioners))
    template = json.loads(file.read_text())
    template["variables"] = {"password": None, "key": None}
    template["sensitive-variables"] = ["password", "key"]
    file.write_text(json.dumps(template, indent=1))
    return str(file)


def _variables(gilder: Program) -> str:
    file = gilder.folder / "secrets.json"
    file.write_text(json.dumps({"password": PASSWORD, "key": KEY}))
    file.chmod(0o644)
    return f"-var-file={file}"


def _leaks(gilder: Program, ended: Ended) -> list[str]:
    """Where a secret shows, in any spelling, in anything that gilder wrote."""
    files = [*gilder.logs.rglob("*"), *gilder.folder.glob("journal.sqlite*")]
    written = {str(file): file.read_bytes() for file in files if file.is_file()}
    # As a terminal shows it, and what reads JSON.
    for name, data in list(written.items()):
        bare = re.sub(rb"(?:\x1b|\\u001b)\[[01]m|\0|\\u0000", b"", data)
        written |= {f"{name}, bare": bare}
    written |= {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    assert any(name.endswith("events.jsonl") for name in written)
    assert any(name.endswith("journal.sqlite") for name in written)
    return [f"{name}: {form}" for name, data in written.items() for form in _spelled() if form.encode() in data]


def _spelled() -> list[str]:
    secrets = [PASSWORD, FROM_ENVIRONMENT, *KEY.splitlines()]
    forms = [*secrets, *(secret[7:] for secret in secrets)]
    for data in (secret.encode() for secret in secrets):
        forms += [data.hex(), base64.b64encode(data).decode()[:-4]]
        forms += [base64.b64encode(b"1" * n + data).decode()[4:-4] for n in (1, 2)]
    forms += [quote(secret, safe="") for secret in secrets]
    return forms + [json.dumps(secret)[1:-1] for secret in secrets] + [json.dumps(json.dumps(PASSWORD)[1:-1])[1:-1]]


def test_secrets_in_every_spelling_reach_nothing_that_is_written(
    gilder: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", FROM_ENVIRONMENT)
    script = gilder.folder / "echo.py"
    script.write_text(ECHO)
    # Not environment_vars: gilder refuses a quote in them on the command line of a shell.
    local: dict[str, Any] = {
        "type": "shell-local",
        "execute_command": ["/usr/bin/env", "python3", "{{.Script}}"],
        "scripts": [str(script)],
    }
    monkeypatch.setenv("PASSWORD", PASSWORD)
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("ARM", FROM_ENVIRONMENT)
    inside = shell(
        "cat <<'END' | tee /etc/key", "{{user `key`}}", "{{user `password`}}", "END", "base64 /etc/key; false"
    )
    ended = gilder.run(gilder.build_command(_template(gilder, [local, inside]), _variables(gilder)))
    assert ended.status == 1
    assert "failed     tiny" in ended.out, ended.err
    assert "ended with status 1" in ended.out, ended.out + ended.err
    assert MASK in ended.out
    assert ended.err.count(MASK) > 30
    assert _leaks(gilder, ended) == []
    assert "secrets.json (values of sensitive variables) can be read by every user" in ended.err
    with sqlite3.connect(gilder.folder / "journal.sqlite") as journal:
        assert MASK in journal.execute("SELECT error FROM build").fetchone()[0]
    journal.close()


def test_a_secret_too_short_to_be_hidden_is_named(gilder: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_SECRET", "abc")
    ended = gilder.build([builder("tiny")], [shell("echo abcdef")])
    assert ended.status == 0, ended.err
    assert "warning: the value of ARM_CLIENT_SECRET is too short to be hidden" in ended.err
    assert "tiny: abcdef" in ended.err
