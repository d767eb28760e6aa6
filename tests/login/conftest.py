"""Files to log in with."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.login.service import PASSWORD, assertion, elliptic, pair


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with certificates and assertions."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "good.pem").write_bytes(pair("good").pem())
    (folder / "locked.pem").write_bytes(pair("good").pem(PASSWORD))
    (folder / "other.pem").write_bytes(pair("other").pem())
    (folder / "old.pem").write_bytes(pair("old", -1).pem())
    (folder / "good.p12").write_bytes(pair("good").pkcs12(PASSWORD))
    (folder / "old.p12").write_bytes(pair("old", -1).pkcs12(PASSWORD))
    (folder / "keyless.pem").write_text(pair("good").registered)
    (folder / "elliptic.pem").write_bytes(elliptic())
    # The certificate that is registered, with a key that is not its own.
    (folder / "mixed.pem").write_bytes(
        pair("other").pem().partition(b"-----BEGIN CERT")[0] + pair("good").registered.encode()
    )
    for name, text in {"right": assertion(), "stale": assertion(lasts=-900), "theirs": assertion("repo:other")}.items():
        (folder / f"{name}.jwt").write_text(text + "\n")
    (folder / "garbage.jwt").write_text("not a token")
    return folder
