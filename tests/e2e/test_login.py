"""Logging in for real runs: tokens that end again and again, and a login that is refused."""

from __future__ import annotations

import itertools
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.e2e.conftest import Program, builder

from localarm.settings import APPLICATION, TENANT

pytestmark = pytest.mark.root

LIFE = 2
"""Seconds that a token lives."""
LOGINS = ("/oauth2/v2.0/token", "/metadata/identity/oauth2/token")


class World:
    """The embedded cloud, kept alive while a test looks at what was asked of it."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._url = f"{facts['resource_manager']}/_localarm/audit"
        self._trust = ssl.create_default_context(cafile=facts["ca_file"])

    def logins(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(self._url, context=self._trust, timeout=10) as answer:
            return [entry for entry in json.load(answer)["value"] if entry["path"].endswith(LOGINS)]


@contextmanager
def kept(gilder: Program, *options: str) -> Iterator[World]:
    """An embedded cloud with these options, which gilder's commands then use."""
    command = [sys.executable, "-m", "localarm", "lease", "--state", str(gilder.state), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield World(json.loads(process.stdout.readline()))
        process.stdin.close()


def test_a_run_outlives_its_tokens(gilder: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_ID", APPLICATION)
    monkeypatch.setenv("ARM_CLIENT_SECRET", "local-secret")
    # They come back to Azure at different times, each after the end of the token that it began with.
    builders = [builder(f"b{wait}", post_mount_commands=[f"sleep {wait}"]) for wait in (LIFE, 2 * LIFE, 3 * LIFE)]
    with kept(gilder, f"--token-lifetime={LIFE}") as world:
        ended = gilder.build(builders, [])
        logins = world.logins()
    assert ended.status == 0, ended.err
    assert len(gilder.images()) == len(builders)
    assert len(logins) > len(builders)
    assert all(entry["path"].startswith(f"/{TENANT}/") for entry in logins)
    assert min(b["time"] - a["time"] for a, b in itertools.pairwise(logins)) > LIFE / 2


def test_a_login_that_fails_is_told_once_and_before_anything(gilder: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARM_CLIENT_ID", APPLICATION)
    monkeypatch.setenv("ARM_CLIENT_SECRET", "guessed-wrongly")
    with kept(gilder) as world:
        ended = gilder.build([builder("one"), builder("two")], [])
        logins = world.logins()
    assert ended.status == 1
    assert ended.err.count("the client secret is wrong (AADSTS7000215)") == 1
    assert "client_secret must be the secret's value, not its id" in ended.err
    assert "Microsoft Entra ID error" not in ended.err, "azure-identity's log goes past the redactor"
    assert "guessed-wrongly" not in ended.err + ended.out
    assert [entry["status"] for entry in logins] == [401]
    assert gilder.images() == []
