"""`tests/run.sh` tells the truth by its exit status: 0 exactly when the checkers and both halves of the tests passed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "run.sh"
CHECKS = ["ruff", "mypy", "lint-imports", "devices", "pure"]

PYTHON = """#!/bin/sh
case "$*" in
*cache_dir=.pytest_cache/pure*) half=pure ;;
*) half=devices ;;
esac
[ "$FAILING" != "$half" ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose set-up does nothing and whose checkers fail when `$FAILING` names them."""
    for folder in ("tests", "examples", "bin", "tmp"):
        (tmp_path / folder).mkdir()
    shutil.copy(SCRIPT, tmp_path / "tests/run.sh")
    functions = "".join(f"{name}() {{ :; }}\n" for name in ("need_root", "need_packages", "want_packages", "need_venv"))
    (tmp_path / "examples/setup.sh").write_text(functions + "GILDER_PACKAGES=\n")
    programs = {name: f'#!/bin/sh\n[ "$FAILING" != {name} ]\n' for name in ("ruff", "mypy", "lint-imports")}
    for name, text in {**programs, "python": PYTHON}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def run(checkout: Path, failing: str) -> int:
    given = {**os.environ, "FAILING": failing, "GILDER_VENV": str(checkout), "TMPDIR": str(checkout / "tmp")}
    return subprocess.run(["sh", "tests/run.sh"], cwd=checkout, env=given, capture_output=True, timeout=30).returncode


def test_a_run_in_which_all_passes_ends_with_zero_and_leaves_no_file(checkout: Path) -> None:
    assert run(checkout, failing="nothing") == 0
    assert list((checkout / "tmp").iterdir()) == []


@pytest.mark.parametrize("failing", CHECKS)
def test_whatever_fails_makes_the_run_fail(checkout: Path, failing: str) -> None:
    assert run(checkout, failing) != 0
    assert list((checkout / "tmp").iterdir()) == []


APT_CACHE = """#!/bin/sh
candidate='(none)'
case "$2" in
always) candidate=1 ;;
listed) [ ! -e lists ] || candidate=2 ;;
unknown) exit 0 ;;
esac
printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$2" "$candidate"
"""


def test_a_package_that_a_release_lacks_is_told_and_left_out(tmp_path: Path) -> None:
    """Debian 13 has no Packer; and a fresh machine has no package lists, without which it seems to lack everything."""
    for name, text in {"apt-cache": APT_CACHE, "apt-get": "#!/bin/sh\n: >lists\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    setup = SCRIPT.parents[1] / "examples/setup.sh"
    words = f'. {setup}; need_packages() {{ echo "needs $*"; }}; want_packages always listed never unknown'
    given = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-euc", words], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout == "needs always\nneeds listed\n"
    lacks = "apt has no package {} here: the tests that use it are skipped\n"
    assert done.stderr == lacks.format("never") + lacks.format("unknown")


BUSY_APT = {
    "dpkg-query": "exit 1",
    "sleep": "exit 0",
    "apt-get": """
echo "$@" >>$CALLS
[ $(grep -c "^$1" $CALLS) -gt $BUSY ] && exit 0
echo "E: Could not get lock /var/lib/$1/lock. It is held by process 4711 (unattended-upgr)" >&2
exit 100
""",
}


@pytest.mark.parametrize(("busy", "status"), [(0, 0), (2, 0), (1000, 1)])
def test_who_else_installs_packages_is_waited_for(busy: int, status: int, tmp_path: Path) -> None:
    for name, text in BUSY_APT.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "BUSY": str(busy)}
    script = f"set -eu; . {SCRIPT.parents[1]}/examples/setup.sh; need_packages hello; say installed"
    done = subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    waits = "somebody else installs packages, waiting for up to five minutes: lock /var/lib/update/lock. It is held by "
    assert done.stderr.count(waits) == (busy > 0)
    if status:
        assert "error: apt-get could not install: hello" in done.stderr
        assert len(calls.read_text().splitlines()) == 61
    else:
        assert done.stderr.endswith("installed\n")
        words = [line.split()[0] for line in calls.read_text().splitlines()]
        assert words == ["update"] * (busy + 1) + ["install"] * (busy + 1)


FRESH_PYTHON = """#!/bin/sh
echo "$*" >>calls
case "$*" in
*print*) echo 3.11 ;;
"-m venv"*) mkdir -p venv/bin && cp "$0" venv/bin/python ;;
*"${BROKEN:-nothing}") echo "no network" && exit 1 ;;
esac
"""


def need_venv(folder: Path, requirement: str, **given: str) -> subprocess.CompletedProcess[str]:
    words = f". {SCRIPT.parents[1]}/examples/setup.sh; need_venv venv '{requirement}'"
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **given}
    return subprocess.run(["sh", "-euc", words], cwd=folder, env=env, capture_output=True, text=True, timeout=30)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout without a venv, on a machine whose Python notes its calls."""
    (tmp_path / "python3").write_text(FRESH_PYTHON)
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return tmp_path


def installed(folder: Path) -> list[str]:
    """What Python was asked to make or to install, in order."""
    calls = (folder / "calls").read_text().splitlines()
    return [call.split()[-1] for call in calls if call.startswith(("-m venv", "-m pip"))]


def test_the_tests_get_their_packages_in_a_venv_that_the_quickstart_made(fresh: Path) -> None:
    """The README's two commands, one after the other: the second once took the venv for complete, and found no ruff."""
    for requirement in (".", ".[test]", ".", ".[test]"):
        assert need_venv(fresh, requirement).returncode == 0
    assert installed(fresh) == ["venv", ".", ".[test]"]

    (fresh / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    assert need_venv(fresh, ".[test]").returncode == 0
    assert installed(fresh)[3:] == ["venv", ".[test]"]
    assert need_venv(fresh, ".").returncode == 0
    assert installed(fresh)[5:] == [], "the extra brings it, and others may be using the venv"


def test_an_installation_that_failed_is_told_and_tried_again(fresh: Path) -> None:
    failed = need_venv(fresh, ".[test]", BROKEN=".[test]")
    assert failed.returncode == 1
    assert failed.stderr.endswith(
        "no network\nerror: gilder could not be installed into venv\n  hint: see the lines above\n"
    )
    assert need_venv(fresh, ".[test]").returncode == 0
    assert installed(fresh) == ["venv", ".[test]", ".[test]"]
