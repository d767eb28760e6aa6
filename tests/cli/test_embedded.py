"""The embedded cloud, as gilder starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gilder.cli.embedded import leased


def test_nothing_of_the_working_directory_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs as root, wherever the user stands: in a folder that somebody else has filled, say."""
    mark = tmp_path / "was-run"
    for name in ("localarm", "json", "sitecustomize", "asyncio"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    with leased(("--state", str(tmp_path / "state"), "--devices", "none")) as lease:
        assert lease.cloud().metadata_url
    assert not mark.exists()
