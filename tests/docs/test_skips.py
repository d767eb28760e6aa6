"""What is skipped in continuous integration proves nothing there, and nobody looks: so it fails, with few exceptions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="needs loop devices")
def test_marked():
    pass

def test_inside():
    pytest.skip("xfsprogs is not installed")

@pytest.mark.skipif(True, reason="compares with the real Packer, which is not installed")
def test_excused():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    raise AssertionError

def test_plain():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "ends"), [("true", "1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error"), ("", "3 skipped")]
)
def test_in_continuous_integration_a_skip_is_a_failure(ci: str, ends: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, "CI": ci}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ends in done.stdout
    assert ("CI must have what this test needs; Skipped: needs loop devices" in done.stdout) == (ci == "true")
    assert done.returncode == (ci == "true")
